package rabbitmq

import (
	"context"
	"os"
	"testing"

	"github.com/Azure/go-amqp"
	rmq "github.com/rabbitmq/rabbitmq-amqp-go-client/pkg/rabbitmqamqp"
)

// paint starts an operation for workers, and gives its path.
func paint(ctx context.Context, t *testing.T, management *rmq.AmqpManagement) string {
	t.Helper()
	body := map[string]any{"route": "paint", "input": map[string]any{"json": map[string]any{}}}
	started, err := management.Request(ctx, body, "/opgate/v1/operations", "POST", []int{200})
	if err != nil {
		t.Fatal(err)
	}
	return "/opgate/v1/operations/" + started["id"].(string)
}

// ended waits for the end of the operation at a path.
func ended(ctx context.Context, t *testing.T, management *rmq.AmqpManagement, path string) map[string]any {
	t.Helper()
	ended, err := management.Request(ctx, amqp.Null{}, path+":wait?timeout=60s", "GET", []int{200})
	if err != nil {
		t.Fatal(err)
	}
	return ended
}

// Azure's client, on which RabbitMQ's is built, as a worker. Its error has strings for the keys of its info, where the
// specification has symbols, and there is nothing else that a caller could give.
func TestAWorkerSaysWhyAndMore(t *testing.T) {
	ctx, management := open(t)
	path := paint(ctx, t, management)
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
	done := ended(ctx, t, management, path)
	failure, is := done["error"].(map[string]any)
	if !is || failure["code"] != "NOT_FOUND" || failure["message"] != "no paint" {
		t.Fatalf("%v", done)
	}
	// The connection is not closed over it.
	if err = worker.Close(ctx); err != nil {
		t.Fatal(err)
	}
}

// RabbitMQ's own consumer: it names the queue in its own way.
func TestAConsumerIsAWorker(t *testing.T) {
	ctx, connection := connect(t)
	path := paint(ctx, t, connection.Management())
	consumer, err := connection.NewConsumer(ctx, "paint", nil)
	if err != nil {
		t.Fatal(err)
	}
	delivery, err := consumer.Receive(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err = delivery.Accept(ctx); err != nil {
		t.Fatal(err)
	}
	if done := ended(ctx, t, connection.Management(), path); done["state"] != "SUCCEEDED" {
		t.Fatalf("%v", done)
	}
	if err = consumer.Close(ctx); err != nil {
		t.Fatal(err)
	}
}
