// Command handler is an upstream of opgate's: it charges, and calls back when it is done.
//
//	handler 127.0.0.1:9090
package main

import (
	"context"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"

	"github.com/nexus-rpc/sdk-go/nexus"
)

type handler struct {
	nexus.UnimplementedHandler
}

// StartOperation answers at once with a token. A repeat has the same request id, and so the same token.
func (handler) StartOperation(
	_ context.Context, service, operation string, input *nexus.LazyValue, options nexus.StartOperationOptions,
) (nexus.HandlerStartOperationResult[any], error) {
	var order struct{ Amount int }
	if err := input.Consume(&order); err != nil || order.Amount <= 0 {
		return nil, nexus.HandlerErrorf(nexus.HandlerErrorTypeBadRequest, "amount: must be a number above 0")
	}
	fmt.Println(service, operation, order.Amount)
	go charge(order.Amount, options)
	return &nexus.HandlerStartOperationResultAsync{OperationToken: options.RequestID}, nil
}

// charge tells of the end, with the headers that came with the callback's address.
func charge(amount int, options nexus.StartOperationOptions) {
	completion, err := nexus.NewOperationCompletionSuccessful(
		map[string]int{"charged": amount}, nexus.OperationCompletionSuccessfulOptions{OperationToken: options.RequestID})
	if err != nil {
		log.Fatal(err)
	}
	completion.Header = options.CallbackHeader
	request, err := nexus.NewCompletionHTTPRequest(context.Background(), options.CallbackURL, completion)
	if err != nil {
		log.Fatal(err)
	}
	reply, err := http.DefaultClient.Do(request)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("callback:", reply.Status)
}

func main() {
	listener, err := net.Listen("tcp", os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("serving on", listener.Addr())
	serve := nexus.NewHTTPHandler(nexus.HandlerOptions{Handler: handler{}})
	log.Fatal(http.Serve(listener, http.StripPrefix("/nexus", serve)))
}
