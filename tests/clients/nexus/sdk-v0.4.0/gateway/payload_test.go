package gateway

import (
	"bytes"
	"math/rand"
	"testing"

	"github.com/nexus-rpc/sdk-go/nexus"
)

func noise(length int) []byte {
	bytes := make([]byte, length)
	rand.New(rand.NewSource(7)).Read(bytes)
	return bytes
}

func TestContentComesBackAsItWasSent(t *testing.T) {
	against(t, "itself showcase behind", func(t *testing.T, target target) {
		for name, content := range map[string]*nexus.Content{
			"nothing": {Header: nexus.Header{}},
			"JSON that no parser keeps": {
				Header: nexus.Header{"type": "application/json"},
				Data:   raw("{\"b\": 1e400,\t\"a\":-0.0, \"a\" : 12345678901234567890, \"\\u00fc\": \"\\/\"}\n"),
			},
			"null":               {Header: nexus.Header{"type": "application/json"}, Data: raw("null")},
			"no bytes of a type": {Header: nexus.Header{"type": "application/octet-stream"}},
			"every byte": {
				Header: nexus.Header{"type": "application/octet-stream"},
				Data:   noise(1 << 16),
			},
			"protobuf": {
				Header: nexus.Header{"type": `application/x-protobuf; message-type="acme.v1.Scene"`},
				Data:   raw("\x0a\x03\x00\xff\x80"),
			},
			"protobuf as JSON": {
				Header: nexus.Header{"type": `application/json; format=protobuf; message-type="acme.v1.Scene"`},
				Data:   raw(`{"name":"intro"}`),
			},
			"as large as Temporal's": {
				Header: nexus.Header{"type": "application/octet-stream"},
				Data:   noise(2 << 20),
			},
		} {
			t.Run(name, func(t *testing.T) {
				value, err := target.client(t).ExecuteOperation(within(t), "echo", content, nexus.ExecuteOperationOptions{})
				if err != nil {
					t.Fatal(err)
				}
				text, header := read(t, value)
				if !bytes.Equal(raw(text), content.Data) {
					t.Errorf("%d bytes came back of %d", len(text), len(content.Data))
				}
				equal(t, "type", header["type"], content.Header["type"])
				// What else a caller would take for part of the content.
				delete(header, "type")
				delete(header, "length")
				equal(t, "other content headers", len(header), 0)
			})
		}
	})
}

func TestAResultWithoutContentIsNil(t *testing.T) {
	against(t, "itself showcase behind", func(t *testing.T, target target) {
		value, err := target.client(t).ExecuteOperation(
			within(t), "run", instruction{Duration: "50ms"}, nexus.ExecuteOperationOptions{})
		if err != nil {
			t.Fatal(err)
		}
		found := any("untouched")
		if err := value.Consume(&found); err != nil {
			t.Fatal(err)
		}
		equal(t, "result", found, nil)
	})
}

// 413 would be repeated by Temporal until the operation's time is over.
func TestABodyThatIsTooLargeIsABadRequest(t *testing.T) {
	daemonOnly(t)
	for _, operation := range []string{"echo", "run"} {
		client := showcase(t).client(t)
		_, err := client.StartOperation(within(t), operation, noise(5<<20), nexus.StartOperationOptions{})
		refused := handlerError(t, err)
		equal(t, "type", refused.Type, nexus.HandlerErrorTypeBadRequest)
		equal(t, "retryable", refused.Retryable(), false)
	}
}
