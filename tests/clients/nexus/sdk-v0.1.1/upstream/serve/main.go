// Command serve runs the handler on a free loopback port, under /nexus, until it is killed. Its
// first line of output is its address.
package main

import (
	"fmt"
	"log"
	"net"
	"net/http"

	"github.com/nexus-rpc/sdk-go/nexus"

	"opgate/tests/clients/nexus/sdk-v0.1.1/upstream"
)

func main() {
	handler := nexus.NewHTTPHandler(nexus.HandlerOptions{Handler: upstream.New()})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(listener.Addr())
	log.Fatal(http.Serve(listener, http.StripPrefix("/nexus", handler)))
}
