package gateway

import (
	"encoding/json"
	"net/url"
	"testing"

	"github.com/google/uuid"
	"github.com/nexus-rpc/sdk-go/nexus"
)

// What the showcase's inspect tells of its start.
type inspected struct {
	Face      string
	Kind      struct{ Service, Operation string }
	RequestID string `json:"request_id"`
	Deadline  string
	Headers   []struct{ Name, Value string }
	Links     []struct{ URL, Kind string }
	Callbacks []struct {
		URL     string
		Headers []struct{ Name, Value string }
	}
	Trace struct{ Parent string }
}

func inspect(t *testing.T, options nexus.StartOperationOptions) inspected {
	t.Helper()
	started, err := showcase(t).client(t).StartOperation(within(t), "inspect", nil, options)
	if err != nil {
		t.Fatal(err)
	}
	text, _ := read(t, started.Successful)
	var seen inspected
	if err := json.Unmarshal(raw(text), &seen); err != nil {
		t.Fatal(err)
	}
	return seen
}

func TestWhatAStartBringsIsSeen(t *testing.T) {
	daemonOnly(t)
	address, err := url.Parse("temporal:///namespaces/a/history?eventID=5&eventType=NexusOperationScheduled")
	if err != nil {
		t.Fatal(err)
	}
	other := &url.URL{Scheme: "https", Host: "caller.example", Path: "/a%2Cb"}
	options := nexus.StartOperationOptions{
		RequestID:      uuid.NewString(),
		CallbackURL:    "http://127.0.0.1:9/cb?a=1&b=%2F",
		CallbackHeader: nexus.Header{"token": "a b;c=d", "x-more": "1"},
		Header: nexus.Header{
			"x-tenant": "acme", "operation-timeout": "90000ms",
			"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		},
		Links: []nexus.Link{
			{URL: address, Type: "temporal.api.common.v1.Link.WorkflowEvent"}, {URL: other, Type: "caller"},
		},
	}
	seen := inspect(t, options)
	equal(t, "face", seen.Face, "nexus")
	equal(t, "service", seen.Kind.Service, "showcase")
	equal(t, "operation", seen.Kind.Operation, "inspect")
	equal(t, "request id", seen.RequestID, options.RequestID)
	equal(t, "deadline", seen.Deadline, "90s")
	equal(t, "trace", seen.Trace.Parent, options.Header["traceparent"])
	headers := map[string]string{}
	for _, header := range seen.Headers {
		headers[header.Name] = header.Value
	}
	equal(t, "x-tenant", headers["x-tenant"], "acme")
	if len(seen.Links) != 2 || len(seen.Callbacks) != 1 {
		t.Fatalf("%+v", seen)
	}
	for index, link := range seen.Links {
		equal(t, "link", link.URL, options.Links[index].URL.String())
		equal(t, "type", link.Kind, options.Links[index].Type)
	}
	equal(t, "callback", seen.Callbacks[0].URL, options.CallbackURL)
	kept := nexus.Header{}
	for _, header := range seen.Callbacks[0].Headers {
		kept[header.Name] = header.Value
	}
	for name, value := range options.CallbackHeader {
		equal(t, name, kept[name], value)
	}
}

// Temporal 1.26 to 1.30 write Go's durations; and what cannot be read must not fail the operation.
func TestAnOperationTimeoutIsReadInEveryFormThatIsSent(t *testing.T) {
	daemonOnly(t)
	for sent, wanted := range map[string]string{
		"1500ms": "1.5s", "2s": "2s", "1.5m": "90s", "1h0m0s": "3600s", "59m59.998s": "3599.998s",
		// Over before it began; and not to be read.
		"-5s": "0s", "soon": "",
	} {
		seen := inspect(t, nexus.StartOperationOptions{Header: nexus.Header{"operation-timeout": sent}})
		equal(t, sent, seen.Deadline, wanted)
	}
}

func TestLinksOfTheAnswerLeadToTheOperation(t *testing.T) {
	against(t, "showcase behind", func(t *testing.T, target target) {
		client := target.client(t)
		started, err := client.StartOperation(within(t), "run", instruction{Duration: "50ms"}, nexus.StartOperationOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if len(started.Links) == 0 {
			t.Fatal("there are none")
		}
		for _, link := range started.Links {
			if link.Type == "" || link.URL.String() == "" {
				t.Errorf("%+v", link)
			}
		}
	})
}
