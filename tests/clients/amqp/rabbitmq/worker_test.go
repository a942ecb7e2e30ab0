package rabbitmq

import (
	"os"
	"testing"

	"github.com/Azure/go-amqp"
)

// Azure's client, on which RabbitMQ's is built, as a worker. Its error has strings for the keys of its info, where the
// specification has symbols, and there is nothing else that a caller could give.
func TestAWorkerSaysWhyAndMore(t *testing.T) {
	ctx, management := open(t)
	body := map[string]any{"route": "paint", "input": map[string]any{"json": map[string]any{}}}
	started, err := management.Request(ctx, body, "/opgate/v1/operations", "POST", []int{200})
	if err != nil {
		t.Fatal(err)
	}
	connection, err := amqp.Dial(ctx, "amqp://"+os.Getenv("OPGATE_AMQP"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	session, err := connection.NewSession(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	worker, err := session.NewReceiver(ctx, "queue/paint", &amqp.ReceiverOptions{Credit: 1})
	if err != nil {
		t.Fatal(err)
	}
	delivery, err := worker.Receive(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	why := amqp.Error{Condition: "amqp:not-found", Description: "no paint", Info: map[string]any{"colour": "blue"}}
	if err = worker.RejectMessage(ctx, delivery, &why); err != nil {
		t.Fatal(err)
	}
	path := "/opgate/v1/operations/" + started["id"].(string) + ":wait?timeout=60s"
	ended, err := management.Request(ctx, amqp.Null{}, path, "GET", []int{200})
	if err != nil {
		t.Fatal(err)
	}
	failure, is := ended["error"].(map[string]any)
	if !is || failure["code"] != "NOT_FOUND" || failure["message"] != "no paint" {
		t.Fatalf("%v", ended)
	}
	// The connection is not closed over it.
	if err = worker.Close(ctx); err != nil {
		t.Fatal(err)
	}
}
