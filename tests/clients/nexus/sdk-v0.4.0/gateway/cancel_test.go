package gateway

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/nexus-rpc/sdk-go/nexus"
)

func TestACancelEndsWhatHonorsItAndMayBeRepeated(t *testing.T) {
	against(t, "itself showcase behind", func(t *testing.T, target target) {
		bothWays(t, func(t *testing.T, way func(*nexus.HTTPClientOptions)) {
			client, wire := target.watched(t, way)
			handle := begin(t, client, "run", instruction{Hold: true})
			cancel := func() {
				if err := handle.Cancel(within(t), nexus.CancelOperationOptions{}); err != nil {
					t.Fatal(err)
				}
				equal(t, "status", wire.last().status, 202)
				equal(t, "body", wire.last().body, "")
			}
			cancel()
			cancel()
			equal(t, "state", failure(t, handle).State, nexus.OperationStateCanceled)
			// Also after the end.
			cancel()
		})
	})
}

func TestACancelOfWhatDoesNotHonorItIsTakenAndChangesNothing(t *testing.T) {
	against(t, "itself showcase behind", func(t *testing.T, target target) {
		no := false
		told := instruction{Duration: "500ms", HonorCancel: &no, Result: raw(`"went on"`)}
		handle := begin(t, target.client(t), "run", told)
		target.taken(t, handle.Token)
		if err := handle.Cancel(within(t), nexus.CancelOperationOptions{}); err != nil {
			t.Fatal(err)
		}
		equal(t, "result", result(t, handle), `"went on"`)
	})
}

func TestACancelAfterASuccessLeavesTheSuccess(t *testing.T) {
	against(t, "itself showcase behind", func(t *testing.T, target target) {
		handle := begin(t, target.client(t), "run", instruction{Duration: "50ms", Result: raw(`1`)})
		equal(t, "before", result(t, handle), "1")
		if err := handle.Cancel(within(t), nexus.CancelOperationOptions{}); err != nil {
			t.Fatal(err)
		}
		equal(t, "after", result(t, handle), "1")
	})
}

// Waits until a backend has the operation: what none has seen yet is canceled at once, whoever would
// have honored it. The SDK's own handler has it from the start.
func (s target) taken(t *testing.T, token string) {
	t.Helper()
	daemon, isDaemon := strings.CutSuffix(s.base, "/nexus")
	for state := ""; isDaemon && state != "RUNNING"; {
		request, err := http.NewRequestWithContext(within(t), http.MethodGet, daemon+"/opgate/v1/operations/"+token, nil)
		if err != nil {
			t.Fatal(err)
		}
		reply, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		var operation struct{ State string }
		err = json.NewDecoder(reply.Body).Decode(&operation)
		reply.Body.Close()
		if err != nil || reply.StatusCode != http.StatusOK {
			t.Fatal(reply.Status, err)
		}
		state = operation.State
		if state != "ACCEPTED" && state != "RUNNING" {
			t.Fatalf("it is %s before it was canceled", state)
		}
	}
}
