package rabbitmq

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/Azure/go-amqp"
	rmq "github.com/rabbitmq/rabbitmq-amqp-go-client/pkg/rabbitmqamqp"
)

const patience = 90 * time.Second

// open connects as the suite says, and gives the management link of the connection.
func open(t *testing.T) (context.Context, *rmq.AmqpManagement) {
	t.Helper()
	ctx, connection := connect(t)
	return ctx, connection.Management()
}

// connect connects as the suite says.
func connect(t *testing.T) (context.Context, *rmq.AmqpConnection) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	environment := rmq.NewEnvironment("amqp://"+os.Getenv("OPGATE_AMQP"), nil)
	connection, err := environment.NewConnection(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := connection.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return ctx, connection
}

// start starts an operation of the showcase, and gives its identity.
func start(ctx context.Context, t *testing.T, management *rmq.AmqpManagement, input map[string]any) string {
	t.Helper()
	body := map[string]any{"route": "showcase-run", "input": map[string]any{"json": input}}
	// The library checks the status of replies without a map only.
	operation, err := management.Request(ctx, body, "/opgate/v1/operations", "POST", []int{200})
	if err != nil {
		t.Fatal(err)
	}
	id, is := operation["id"].(string)
	if !is || len(id) != 26 {
		t.Fatalf("no identity: %v", operation)
	}
	return id
}

func TestAnOperationIsStartedReadCanceledAndDeleted(t *testing.T) {
	ctx, management := open(t)
	id := start(ctx, t, management, map[string]any{"hold": true})
	path := "/opgate/v1/operations/" + id

	read, err := management.Request(ctx, amqp.Null{}, path, "GET", []int{200})
	if err != nil || read["id"] != id {
		t.Fatalf("%v: %v", read, err)
	}
	if _, err = management.Request(ctx, amqp.Null{}, path+":cancel", "POST", []int{200}); err != nil {
		t.Fatal(err)
	}
	canceled, err := management.Request(ctx, amqp.Null{}, path+":wait?timeout=60s", "GET", []int{200})
	if err != nil || canceled["state"] != "CANCELED" {
		t.Fatalf("%v: %v", canceled, err)
	}
	if _, err = management.Request(ctx, amqp.Null{}, path, "DELETE", []int{200, 204}); err != nil {
		t.Fatal(err)
	}
	_, err = management.Request(ctx, amqp.Null{}, path, "GET", []int{404})
	if !errors.Is(err, rmq.ErrDoesNotExist) {
		t.Fatalf("it is still there: %v", err)
	}
}

func TestTheSameOperationIsReadAsGooglesRestHasIt(t *testing.T) {
	ctx, management := open(t)
	id := start(ctx, t, management, map[string]any{"result": map[string]any{"x": 1}})
	path := "/v1/operations/" + id
	done, err := management.Request(ctx, amqp.Null{}, "/opgate/v1/operations/"+id+":wait?timeout=60s", "GET", []int{200})
	if err != nil || done["state"] != "SUCCEEDED" {
		t.Fatalf("%v: %v", done, err)
	}
	read, err := management.Request(ctx, amqp.Null{}, path, "GET", []int{200})
	if err != nil || read["done"] != true || !strings.HasSuffix(read["name"].(string), id) {
		t.Fatalf("%v: %v", read, err)
	}
}

func TestWhatIsRabbitsOwnIsRefusedWithAStatus(t *testing.T) {
	ctx, management := open(t)
	_, err := management.DeclareQueue(ctx, &rmq.ClassicQueueSpecification{Name: "q1"})
	if err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("a queue was declared: %v", err)
	}
	if err = management.DeleteQueue(ctx, "q1"); err == nil {
		t.Error("a queue was deleted")
	}
	if _, err = management.QueueInfo(ctx, "q1"); !errors.Is(err, rmq.ErrDoesNotExist) {
		t.Errorf("a queue was found: %v", err)
	}
	// The link serves on.
	start(ctx, t, management, map[string]any{})
}
