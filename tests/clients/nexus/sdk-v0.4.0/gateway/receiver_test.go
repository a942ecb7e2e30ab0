package gateway

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/nexus-rpc/sdk-go/nexus"
)

// What one callback brought.
type completion struct {
	state          nexus.OperationState
	id, token, uri string
	started        time.Time
	links          []nexus.Link
	header         http.Header
	// Of a success.
	result  string
	content nexus.Header
	// Of anything else.
	failure error
}

// A receiver of callbacks, made with the SDK.
type receiver struct {
	t        *testing.T
	url      string
	received chan completion
	// What it answers, in turn; nil once these are used up.
	refusals chan error
}

// CompleteOperation implements nexus.CompletionHandler.
func (r *receiver) CompleteOperation(_ context.Context, request *nexus.CompletionRequest) error {
	got := completion{
		state: request.State, id: request.OperationID, token: request.OperationToken,
		uri: request.HTTPRequest.RequestURI, started: request.StartTime, links: request.Links,
		header: request.HTTPRequest.Header, failure: request.Error,
	}
	if request.Result != nil {
		got.result, got.content = read(r.t, request.Result)
	}
	r.received <- got
	select {
	case refusal := <-r.refusals:
		return refusal
	default:
		return nil
	}
}

func receive(t *testing.T, refusals ...error) *receiver {
	t.Helper()
	receiver := &receiver{t: t, received: make(chan completion, 100), refusals: make(chan error, len(refusals))}
	for _, refusal := range refusals {
		receiver.refusals <- refusal
	}
	server := httptest.NewServer(nexus.NewCompletionHTTPHandler(nexus.CompletionHandlerOptions{Handler: receiver}))
	t.Cleanup(server.Close)
	receiver.url = server.URL
	return receiver
}

func (r *receiver) next(t *testing.T) completion {
	t.Helper()
	select {
	case got := <-r.received:
		return got
	case <-time.After(patience):
		t.Fatal("no callback came")
		panic("unreachable")
	}
}
