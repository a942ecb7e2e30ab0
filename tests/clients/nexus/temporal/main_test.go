// A real Temporal server and unmodified SDK against the daemon: workflows call operations of opgate
// as Nexus operations, and opgate calls operations that Temporal's workers handle.
//
// OPGATE_HTTP is where the daemon is, TEMPORAL_HTTP where it expects Temporal to be.
package temporal

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"testing"
	"time"

	nexuspb "go.temporal.io/api/nexus/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/worker"
)

const (
	endpoint = "opgate"   // what Temporal calls the daemon
	callers  = "callers"  // the queue of workflows that call operations
	handlers = "handlers" // the queue of operations that opgate calls
)

var at client.Client

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (int, error) {
	server, grpc, err := serve(os.Getenv("TEMPORAL_HTTP"))
	if err != nil {
		return 0, err
	}
	defer func() { _ = server.Stop() }()
	at, err = client.Dial(client.Options{
		HostPort: grpc, Namespace: namespace,
		Logger: log.NewStructuredLogger(slog.New(slog.DiscardHandler)),
	})
	if err != nil {
		return 0, err
	}
	defer at.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	_, err = at.OperatorService().CreateNexusEndpoint(ctx, &operatorservice.CreateNexusEndpointRequest{
		Spec: &nexuspb.EndpointSpec{
			Name: endpoint,
			Target: &nexuspb.EndpointTarget{Variant: &nexuspb.EndpointTarget_External_{
				External: &nexuspb.EndpointTarget_External{
					Url: "http://" + os.Getenv("OPGATE_HTTP") + "/nexus",
				},
			}},
		},
	})
	if err != nil {
		return 0, err
	}
	for queue, fill := range map[string]func(worker.Registry){callers: call, handlers: handle} {
		worker := worker.New(at, queue, worker.Options{})
		fill(worker)
		if err := worker.Start(); err != nil {
			return 0, err
		}
		defer worker.Stop()
	}
	return m.Run(), nil
}
