// Command caller starts an operation over Nexus, and waits for its result:
//
//	caller http://127.0.0.1:8080/nexus SERVICE OPERATION INPUT
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/nexus-rpc/sdk-go/nexus"
)

func main() {
	base, service, operation, input := os.Args[1], os.Args[2], os.Args[3], os.Args[4]
	client, err := nexus.NewHTTPClient(nexus.HTTPClientOptions{BaseURL: base, Service: service})
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	started, err := client.StartOperation(ctx, operation, json.RawMessage(input), nexus.StartOperationOptions{})
	if err != nil {
		log.Fatal(err)
	}
	// One that has ended at once is answered with its result, any other with a token.
	value := started.Successful
	if handle := started.Pending; handle != nil {
		fmt.Println("started")
		value, err = handle.GetResult(ctx, nexus.GetOperationResultOptions{Wait: time.Minute})
		if err != nil {
			log.Fatal(err)
		}
	}
	var result json.RawMessage
	if err := value.Consume(&result); err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(result))
}
