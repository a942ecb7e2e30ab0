package gateway

import (
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/nexus-rpc/sdk-go/nexus"
)

func TestOneRequestIDIsOneOperationHoweverOftenItComes(t *testing.T) {
	against(t, "itself showcase behind", func(t *testing.T, target target) {
		client := target.client(t)
		options := nexus.StartOperationOptions{RequestID: uuid.NewString()}
		told := instruction{Hold: true}
		var together sync.WaitGroup
		tokens := make([]string, 16)
		for index := range tokens {
			together.Add(1)
			go func() {
				defer together.Done()
				started, err := client.StartOperation(within(t), "run", told, options)
				if err != nil || started.Pending == nil {
					t.Errorf("%+v %v", started, err)
					return
				}
				tokens[index] = started.Pending.Token
			}()
		}
		together.Wait()
		for _, token := range tokens {
			equal(t, "token", token, tokens[0])
		}
		handle := beginWith(t, client, "run", told, options)
		equal(t, "once more", handle.Token, tokens[0])
		if err := handle.Cancel(within(t), nexus.CancelOperationOptions{}); err != nil {
			t.Fatal(err)
		}
		failure(t, handle)

		other := beginWith(t, client, "run", told, nexus.StartOperationOptions{RequestID: uuid.NewString()})
		if other.Token == tokens[0] {
			t.Error("another request id is another operation")
		}
		if err := other.Cancel(within(t), nexus.CancelOperationOptions{}); err != nil {
			t.Fatal(err)
		}
	})
}

// The caller may not have heard of the end: it is told the outcome, or gets it by the same token.
func TestARepeatAfterTheEndFindsTheSameOutcome(t *testing.T) {
	against(t, "itself showcase behind", func(t *testing.T, target target) {
		client := target.client(t)
		options := nexus.StartOperationOptions{RequestID: uuid.NewString()}
		// The id makes the result one that no second run would have.
		told := instruction{Duration: "50ms", Result: raw(`"` + options.RequestID + `"`)}
		handle := beginWith(t, client, "run", told, options)
		wanted := result(t, handle)
		again, err := client.StartOperation(within(t), "run", told, options)
		if err != nil {
			t.Fatal(err)
		}
		if again.Successful != nil {
			text, _ := read(t, again.Successful)
			equal(t, "result", text, wanted)
		} else {
			equal(t, "token", again.Pending.Token, handle.Token)
		}
	})
}

func TestARequestIDIsOneOfItsOperationOnly(t *testing.T) {
	against(t, "showcase", func(t *testing.T, target target) {
		client := target.client(t)
		options := nexus.StartOperationOptions{RequestID: uuid.NewString()}
		held := beginWith(t, client, "run", instruction{Hold: true}, options)
		started, err := client.StartOperation(within(t), "echo", "something else", options)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := read(t, started.Successful)
		equal(t, "result", text, `"something else"`)
		if err := held.Cancel(within(t), nexus.CancelOperationOptions{}); err != nil {
			t.Fatal(err)
		}
	})
}

// Neither a second operation, nor one that the caller did not ask for.
func TestARequestIDThatCameWithAnotherInputIsRefused(t *testing.T) {
	against(t, "showcase behind", func(t *testing.T, target target) {
		client, wire := target.watched(t)
		options := nexus.StartOperationOptions{RequestID: uuid.NewString()}
		handle := beginWith(t, client, "run", instruction{Hold: true}, options)
		_, err := client.StartOperation(within(t), "run", instruction{Hold: true, Message: "other"}, options)
		if err == nil {
			t.Fatal("it was taken")
		}
		// This version of the SDK has no type for it.
		equal(t, "status", wire.last().status, 409)
		equal(t, "retryable", wire.last().header.Get("Nexus-Request-Retryable"), "false")
		if err := handle.Cancel(within(t), nexus.CancelOperationOptions{}); err != nil {
			t.Fatal(err)
		}
	})
}
