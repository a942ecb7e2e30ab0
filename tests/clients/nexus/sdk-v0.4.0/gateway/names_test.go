package gateway

import (
	"testing"

	"github.com/nexus-rpc/sdk-go/nexus"
)

// As the suite's configuration has them, for the showcase and for the handler behind it.
const (
	oddService   = "accept/esc v1%"
	oddOperation = "a b?c#d/é;,+&=:@"
)

func TestNamesMayHoldAnyCharacter(t *testing.T) {
	against(t, "itself showcase behind", func(t *testing.T, target target) {
		if target.service == "upstream" {
			target.service = oddService + " upstream"
		} else {
			target.service = oddService
		}
		bothWays(t, func(t *testing.T, way func(*nexus.HTTPClientOptions)) {
			client := target.client(t, way)
			value, err := client.ExecuteOperation(within(t), oddOperation, "text", nexus.ExecuteOperationOptions{})
			if err != nil {
				t.Fatal(err)
			}
			text, _ := read(t, value)
			equal(t, "result", text, `"text"`)
		})
	})
}
