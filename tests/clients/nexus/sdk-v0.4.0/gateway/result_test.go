package gateway

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/nexus-rpc/sdk-go/nexus"
)

// Both ways to name an operation: its token in a header, its id in the path.
func bothWays(t *testing.T, test func(t *testing.T, option func(*nexus.HTTPClientOptions))) {
	t.Run("by token", func(t *testing.T) { test(t, func(*nexus.HTTPClientOptions) {}) })
	t.Run("by id", func(t *testing.T) { test(t, byID) })
}

func TestInfoTellsTheState(t *testing.T) {
	against(t, "itself showcase behind", func(t *testing.T, target target) {
		bothWays(t, func(t *testing.T, way func(*nexus.HTTPClientOptions)) {
			client := target.client(t, way)
			info := func(handle *nexus.OperationHandle[*nexus.LazyValue]) nexus.OperationState {
				info, err := handle.GetInfo(within(t), nexus.GetOperationInfoOptions{})
				if err != nil {
					t.Fatal(err)
				}
				equal(t, "token", info.Token, handle.Token)
				equal(t, "id", info.ID, handle.Token)
				return info.State
			}
			held := begin(t, client, "run", instruction{Hold: true})
			equal(t, "held", info(held), nexus.OperationStateRunning)
			if err := held.Cancel(within(t), nexus.CancelOperationOptions{}); err != nil {
				t.Fatal(err)
			}
			equal(t, "error", failure(t, held).State, nexus.OperationStateCanceled)
			equal(t, "canceled", info(held), nexus.OperationStateCanceled)

			failed := begin(t, client, "run", instruction{Duration: "50ms", Outcome: "failed"})
			failure(t, failed)
			equal(t, "failed", info(failed), nexus.OperationStateFailed)

			succeeded := begin(t, client, "run", instruction{Duration: "50ms"})
			equal(t, "result", result(t, succeeded), "")
			equal(t, "succeeded", info(succeeded), nexus.OperationStateSucceeded)
		})
	})
}

func TestAResultAskedForTooEarlyIsStillRunning(t *testing.T) {
	against(t, "itself showcase behind", func(t *testing.T, target target) {
		bothWays(t, func(t *testing.T, way func(*nexus.HTTPClientOptions)) {
			client, wire := target.watched(t, way)
			handle := begin(t, client, "run", instruction{Hold: true})
			_, err := handle.GetResult(within(t), nexus.GetOperationResultOptions{})
			if !errors.Is(err, nexus.ErrOperationStillRunning) {
				t.Fatalf("%v", err)
			}
			equal(t, "status", wire.last().status, 412)
			equal(t, "body", wire.last().body, "")
			if err := handle.Cancel(within(t), nexus.CancelOperationOptions{}); err != nil {
				t.Fatal(err)
			}
		})
	})
}

func TestAWaitThatIsOverIsStillRunningAndNotEarlier(t *testing.T) {
	against(t, "itself showcase behind", func(t *testing.T, target target) {
		client, wire := target.watched(t)
		handle := begin(t, client, "run", instruction{Hold: true})
		const wait = 400 * time.Millisecond
		started := time.Now()
		_, err := handle.GetResult(within(t), nexus.GetOperationResultOptions{Wait: wait})
		if !errors.Is(err, nexus.ErrOperationStillRunning) {
			t.Fatalf("%v", err)
		}
		if took := time.Since(started); took < wait {
			t.Errorf("answered after %v", took)
		}
		if statuses := wire.statuses(); !slices.Equal(statuses, []int{201, 412}) {
			t.Errorf("statuses %v", statuses)
		}
		if err := handle.Cancel(within(t), nexus.CancelOperationOptions{}); err != nil {
			t.Fatal(err)
		}
	})
}

// The daemon ends a poll after wait.max, which is a second here.
func TestAPollThatTheServiceCutsShortIsAskedAgain(t *testing.T) {
	against(t, "itself showcase behind", func(t *testing.T, target target) {
		bothWays(t, func(t *testing.T, way func(*nexus.HTTPClientOptions)) {
			client, wire := target.watched(t, way)
			began := time.Now()
			handle := begin(t, client, "run", instruction{Duration: "2500ms", Result: raw(`"late"`)})
			equal(t, "result", result(t, handle), `"late"`)
			statuses := wire.statuses()
			if statuses[1] != 408 || statuses[len(statuses)-1] != 200 {
				t.Errorf("statuses %v", statuses)
			}
			// Nor is it asked again and again without a pause.
			if took := time.Since(began); len(statuses) > 3+int(took.Seconds()) {
				t.Errorf("statuses %v within %v", statuses, took)
			}
			equal(t, "body of 408", wire.exchanges[1].body, "")
		})
	})
}

func TestAResultCanBeReadAgain(t *testing.T) {
	against(t, "itself showcase behind", func(t *testing.T, target target) {
		handle := begin(t, target.client(t), "run", instruction{Duration: "50ms", Result: raw(`[1,2.5,"x"]`)})
		first := result(t, handle)
		equal(t, "first", first, `[1,2.5,"x"]`)
		equal(t, "second", result(t, handle), first)
	})
}

func TestADeadlineOfTheContextEndsAWait(t *testing.T) {
	against(t, "itself showcase behind", func(t *testing.T, target target) {
		handle := begin(t, target.client(t), "run", instruction{Hold: true})
		ctx, cancel := context.WithTimeout(context.Background(), 400*time.Millisecond)
		defer cancel()
		_, err := handle.GetResult(ctx, nexus.GetOperationResultOptions{Wait: patience})
		// The SDK asks its callers to expect both.
		if !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, nexus.ErrOperationStillRunning) {
			t.Fatalf("%v", err)
		}
		if err := handle.Cancel(within(t), nexus.CancelOperationOptions{}); err != nil {
			t.Fatal(err)
		}
	})
}

func TestAnUnknownTokenIsNotFound(t *testing.T) {
	against(t, "itself showcase behind", func(t *testing.T, target target) {
		bothWays(t, func(t *testing.T, way func(*nexus.HTTPClientOptions)) {
			client := target.client(t, way)
			held := begin(t, client, "run", instruction{Hold: true})
			for operation, token := range map[string]string{
				// Not a token at all; and the token of another operation's run.
				"run": "never-given", "silent": held.Token, "echo": held.Token,
			} {
				handle, err := client.NewHandle(operation, token)
				if err != nil {
					t.Fatal(err)
				}
				_, info := handle.GetInfo(within(t), nexus.GetOperationInfoOptions{})
				_, result := handle.GetResult(within(t), nexus.GetOperationResultOptions{})
				_, waited := handle.GetResult(within(t), nexus.GetOperationResultOptions{Wait: patience})
				cancel := handle.Cancel(within(t), nexus.CancelOperationOptions{})
				for _, err := range []error{info, result, waited, cancel} {
					refused := handlerError(t, err)
					equal(t, "type", refused.Type, nexus.HandlerErrorTypeNotFound)
					equal(t, "retryable", refused.Retryable(), false)
				}
			}
			if err := held.Cancel(within(t), nexus.CancelOperationOptions{}); err != nil {
				t.Fatal(err)
			}
		})
	})
}
