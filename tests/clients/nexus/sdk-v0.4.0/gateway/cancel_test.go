package gateway

import (
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
