package gateway

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/nexus-rpc/sdk-go/nexus"
)

func TestAnOperationThatEndsAtOnceIsAnsweredWithItsResult(t *testing.T) {
	against(t, "itself showcase", func(t *testing.T, target target) {
		client, wire := target.watched(t)
		started, err := client.StartOperation(within(t), "echo", map[string]any{"n": 7}, nexus.StartOperationOptions{})
		if err != nil {
			t.Fatal(err)
		}
		var result map[string]int
		if err := started.Successful.Consume(&result); err != nil {
			t.Fatal(err)
		}
		equal(t, "result", result["n"], 7)
		equal(t, "status", wire.last().status, 200)
		equal(t, "content type", wire.last().header.Get("Content-Type"), "application/json")
	})
}

func TestAnOperationThatTakesTimeIsAnsweredWithATokenThatIsAlsoItsID(t *testing.T) {
	against(t, "itself showcase behind", func(t *testing.T, target target) {
		client, wire := target.watched(t)
		handle := begin(t, client, "run", instruction{Hold: true})
		reply := wire.last()
		equal(t, "status", reply.status, 201)
		equal(t, "content type", reply.header.Get("Content-Type"), "application/json")
		var body map[string]string
		if err := json.Unmarshal(raw(reply.body), &body); err != nil {
			t.Fatal(err)
		}
		equal(t, "id", body["id"], handle.Token)
		equal(t, "token", body["token"], handle.Token)
		equal(t, "state", body["state"], "running")
		// Temporal refuses longer ones, and they have to fit into a header and a path segment.
		if len(handle.Token) > 4096 {
			t.Errorf("a token of %d bytes", len(handle.Token))
		}
		if err := handle.Cancel(within(t), nexus.CancelOperationOptions{}); err != nil {
			t.Fatal(err)
		}
	})
}

func TestExecutingWaitsForTheResult(t *testing.T) {
	against(t, "itself showcase behind", func(t *testing.T, target target) {
		told := instruction{Duration: "300ms", Result: raw(`{"done": true}`)}
		value, err := target.client(t).ExecuteOperation(within(t), "run", told, nexus.ExecuteOperationOptions{})
		if err != nil {
			t.Fatal(err)
		}
		var result struct{ Done bool }
		if err := value.Consume(&result); err != nil {
			t.Fatal(err)
		}
		equal(t, "done", result.Done, true)
	})
}

func TestATypedReferenceFindsItsTypes(t *testing.T) {
	type content struct{ Text string }
	against(t, "itself showcase behind", func(t *testing.T, target target) {
		echo := nexus.NewOperationReference[content, content]("echo")
		sent := content{"typed"}
		found, err := nexus.ExecuteOperation(within(t), target.client(t), echo, sent, nexus.ExecuteOperationOptions{})
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "content", found, sent)
	})
}

func TestAFailureAtOnceIsAnOperationError(t *testing.T) {
	against(t, "itself showcase", func(t *testing.T, target target) {
		for operation, state := range map[string]nexus.OperationState{
			"fail": nexus.OperationStateFailed, "cancel": nexus.OperationStateCanceled,
		} {
			client, wire := target.watched(t)
			told := instruction{Message: "no such scene: ü"}
			_, err := client.StartOperation(within(t), operation, told, nexus.StartOperationOptions{})
			ended := operationError(t, err)
			equal(t, "state", ended.State, state)
			equal(t, "message", ended.Cause.Error(), told.Message)
			equal(t, "status", wire.last().status, 424)
		}
	})
}

func TestExecutingAnOperationThatFailsIsAnOperationError(t *testing.T) {
	against(t, "itself showcase behind", func(t *testing.T, target target) {
		for _, state := range []nexus.OperationState{nexus.OperationStateFailed, nexus.OperationStateCanceled} {
			told := instruction{Duration: "100ms", Outcome: string(state), Message: "no such scene: ü"}
			_, err := target.client(t).ExecuteOperation(within(t), "run", told, nexus.ExecuteOperationOptions{})
			ended := operationError(t, err)
			equal(t, "state", ended.State, state)
			equal(t, "message", ended.Cause.Error(), told.Message)
		}
	})
}

func TestADeadlineOfTheContextIsSentAndDoesNoHarm(t *testing.T) {
	against(t, "itself showcase behind", func(t *testing.T, target target) {
		ctx, cancel := context.WithTimeout(within(t), patience)
		defer cancel()
		client, wire := target.watched(t)
		told := instruction{Duration: "100ms", Result: raw(`1`)}
		value, err := client.ExecuteOperation(ctx, "run", told, nexus.ExecuteOperationOptions{})
		if err != nil {
			t.Fatal(err)
		}
		text, _ := read(t, value)
		equal(t, "result", text, "1")
		if wire.exchanges[0].request.Get(nexus.HeaderRequestTimeout) == "" {
			t.Error("the SDK did not send a Request-Timeout")
		}
	})
}

func TestAnOperationTimeoutEndsTheOperation(t *testing.T) {
	// The SDK leaves the time limit to its handlers.
	against(t, "showcase behind", func(t *testing.T, target target) {
		options := nexus.StartOperationOptions{Header: nexus.Header{nexus.HeaderOperationTimeout: "300ms"}}
		started := time.Now()
		handle := beginWith(t, target.client(t), "run", instruction{Hold: true}, options)
		ended := failure(t, handle)
		equal(t, "state", ended.State, nexus.OperationStateFailed)
		if took := time.Since(started); took < 300*time.Millisecond {
			t.Errorf("it ended after %v", took)
		}
	})
}

func TestStartsOfWhatIsNotThereAreNotFound(t *testing.T) {
	daemonOnly(t)
	for _, unknown := range []target{{showcase(t).base, "showcase"}, {showcase(t).base, "nothing"}} {
		_, err := unknown.client(t).StartOperation(within(t), "nothing", nil, nexus.StartOperationOptions{})
		refused := handlerError(t, err)
		equal(t, "type", refused.Type, nexus.HandlerErrorTypeNotFound)
		equal(t, "retryable", refused.Retryable(), false)
	}
}
