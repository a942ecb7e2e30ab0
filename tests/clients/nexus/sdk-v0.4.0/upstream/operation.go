package upstream

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/nexus-rpc/sdk-go/nexus"
)

// How an operation ended.
type outcome struct {
	state   nexus.OperationState
	content *nexus.Content
	cause   error
}

// operation is one asynchronous operation.
type operation struct {
	service, name, token string
	callback             string
	header               nexus.Header
	started              time.Time
	canceled             chan struct{}
	cancelOnce           sync.Once
	// Closed once the outcome is there.
	ended   chan struct{}
	outcome outcome
	// The outcome's content; never nil, since the SDK cannot write a nil *Content.
	result any
}

func newOperation(token string, start *Start) *operation {
	return &operation{
		service: start.Service, name: start.Operation, token: token,
		callback: start.CallbackURL, header: start.CallbackHeader, started: time.Now().UTC(),
		canceled: make(chan struct{}), ended: make(chan struct{}),
	}
}

func (o *operation) links() []nexus.Link {
	address := &url.URL{Scheme: "upstream", Path: "/operations/" + o.token}
	return []nexus.Link{{URL: address, Type: "upstream.v1.Operation"}}
}

func (o *operation) state() nexus.OperationState {
	select {
	case <-o.ended:
		return o.outcome.state
	default:
		return nexus.OperationStateRunning
	}
}

func (o *operation) failure() error {
	if o.outcome.state == nexus.OperationStateSucceeded {
		return nil
	}
	return &nexus.OperationError{State: o.outcome.state, Cause: o.outcome.cause}
}

func (o *operation) cancel() {
	o.cancelOnce.Do(func() { close(o.canceled) })
}

// Runs as told to its end, and says so.
func (o *operation) play(told Instruction) {
	var done <-chan time.Time
	if !told.Hold {
		done = time.After(duration(told))
	}
	canceled := o.canceled
	if told.HonorCancel != nil && !*told.HonorCancel {
		canceled = nil
	}
	select {
	case <-done:
		o.end(outcomeOf(told))
	case <-canceled:
		o.end(outcome{state: nexus.OperationStateCanceled, cause: errors.New("canceled on request")})
	}
	o.deliver(context.Background())
}

func (o *operation) end(outcome outcome) {
	o.outcome = outcome
	if outcome.content != nil {
		o.result = outcome.content
	}
	close(o.ended)
}

// Calls back, again and again for a while until it is taken.
func (o *operation) deliver(ctx context.Context) {
	if o.callback == "" {
		return
	}
	for attempt := 0; attempt < 50; attempt++ {
		request, err := nexus.NewCompletionHTTPRequest(ctx, o.callback, o.completion())
		if err != nil {
			panic(err)
		}
		if reply, err := http.DefaultClient.Do(request); err == nil {
			reply.Body.Close()
			if reply.StatusCode == http.StatusOK {
				return
			}
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func (o *operation) completion() nexus.OperationCompletion {
	if failure := o.failure(); failure != nil {
		completion, err := nexus.NewOperationCompletionUnsuccessful(
			failure.(*nexus.OperationError),
			nexus.OperationCompletionUnsuccessfulOptions{
				OperationToken: o.token, StartTime: o.started, Links: o.links(),
			})
		if err != nil {
			panic(err)
		}
		completion.Header = o.header
		return completion
	}
	completion, err := nexus.NewOperationCompletionSuccessful(o.result,
		nexus.OperationCompletionSuccessfulOptions{
			OperationToken: o.token, StartTime: o.started, Links: o.links(),
		})
	if err != nil {
		panic(err)
	}
	completion.Header = o.header
	return completion
}
