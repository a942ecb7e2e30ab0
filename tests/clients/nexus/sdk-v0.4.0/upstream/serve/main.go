// Command serve runs the handler on a free loopback port until it is killed. Its first line of
// output is its address. Beside the handler, under /nexus, it tells what it saw:
//
//	GET /starts    every start so far
//	GET /cancels   the token of every cancel request so far
package main

import (
	"encoding/json"
	"fmt"
	"log"
	"net"
	"net/http"

	"github.com/nexus-rpc/sdk-go/nexus"

	"opgate/tests/clients/nexus/sdk-v0.4.0/upstream"
)

func main() {
	handler := upstream.New()
	mux := http.NewServeMux()
	// The handler splits the escaped path by itself; StripPrefix keeps it escaped.
	mux.Handle("/nexus/", http.StripPrefix("/nexus",
		nexus.NewHTTPHandler(nexus.HandlerOptions{Handler: handler})))
	tell(mux, "/starts", func() any { return handler.Starts() })
	tell(mux, "/cancels", func() any { return handler.Cancels() })

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(listener.Addr())
	log.Fatal(http.Serve(listener, mux))
}

func tell(mux *http.ServeMux, path string, what func() any) {
	mux.HandleFunc(path, func(writer http.ResponseWriter, _ *http.Request) {
		writer.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(writer).Encode(what()); err != nil {
			log.Print(err)
		}
	})
}
