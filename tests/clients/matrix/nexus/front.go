package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"

	"github.com/nexus-rpc/sdk-go/nexus"
)

// By what an operation is known.
type name struct {
	Operation string `json:"operation"`
	Token     string `json:"token"`
	// The path at which its callback comes.
	Key string `json:"key"`
}

// What the SDK shows of an operation; see ../faces/shown.py.
type shown struct {
	Name   name            `json:"name"`
	Done   bool            `json:"done"`
	State  string          `json:"state"`
	Result json.RawMessage `json:"result,omitempty"`
	Error  *failure        `json:"error,omitempty"`
	// What its callback said of the trace that it is of.
	Callback trace `json:"callback,omitempty"`
}

type failure struct {
	Code      string `json:"code,omitempty"`
	Message   string `json:"message"`
	Retryable *bool  `json:"retryable,omitempty"`
	Details   string `json:"details"`
}

type callback struct {
	state nexus.OperationState
	trace trace
}

// front is a caller of Nexus operations that is called back.
type front struct {
	mu       sync.Mutex
	arrived  *sync.Cond
	base     string
	receiver string
	// The callbacks that came, by the key of the operation.
	told map[string]callback
	// The keys of starts that were answered with the end.
	ended map[string]bool
}

func newFront() *front {
	f := &front{told: map[string]callback{}, ended: map[string]bool{}}
	f.arrived = sync.NewCond(&f.mu)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	f.receiver = "http://" + listener.Addr().String() + "/"
	go func() {
		log.Fatal(http.Serve(listener, nexus.NewCompletionHTTPHandler(nexus.CompletionHandlerOptions{Handler: f})))
	}()
	return f
}

// CompleteOperation implements nexus.CompletionHandler.
func (f *front) CompleteOperation(_ context.Context, request *nexus.CompletionRequest) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	told := callback{request.State, traceOf(request.HTTPRequest.Header)}
	f.told[strings.TrimPrefix(request.HTTPRequest.URL.Path, "/")] = told
	f.arrived.Broadcast()
	return nil
}

func (f *front) commands() commands {
	of := func(do func(name) (any, error)) func(arguments) (any, error) {
		return func(asked arguments) (any, error) {
			var name name
			if err := json.Unmarshal(asked["name"], &name); err != nil {
				return nil, err
			}
			return do(name)
		}
	}
	return commands{
		"connect": func(asked arguments) (any, error) {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.base = "http://" + asked.text("http") + "/nexus"
			return nil, nil
		},
		"start":  f.start,
		"read":   of(f.read),
		"wait":   of(f.wait),
		"cancel": of(f.cancel),
	}
}

// A client, and the token in the last answer that it got: where that is the end, the SDK does not show it.
func (f *front) client() (*nexus.HTTPClient, *string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	token := new(string)
	client, err := nexus.NewHTTPClient(nexus.HTTPClientOptions{
		BaseURL: f.base, Service: "matrix",
		HTTPCaller: func(request *http.Request) (*http.Response, error) {
			reply, err := http.DefaultClient.Do(request)
			if err == nil {
				*token = reply.Header.Get("Nexus-Operation-Token")
			}
			return reply, err
		},
	})
	return client, token, err
}

func within() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), patience)
}

func (f *front) start(asked arguments) (any, error) {
	client, token, err := f.client()
	if err != nil {
		return nil, err
	}
	ctx, done := within()
	defer done()
	name := name{Operation: asked.text("kind"), Key: asked.text("key")}
	var header nexus.Header
	if err := json.Unmarshal(asked["trace"], &header); err != nil {
		return nil, err
	}
	// The SDK takes what is JSON by its own serializer.
	started, err := client.StartOperation(ctx, name.Operation, asked["input"], nexus.StartOperationOptions{
		RequestID: name.Key, CallbackURL: f.receiver + name.Key, Header: header,
	})
	if err == nil && started.Pending != nil {
		name.Token = started.Pending.Token
		return shown{Name: name, State: "running"}, nil
	}
	name.Token = *token
	f.mu.Lock()
	f.ended[name.Key] = true
	f.mu.Unlock()
	var value *nexus.LazyValue
	if err == nil {
		value = started.Successful
	}
	return show(name, value, err)
}

// An operation that has ended.
func show(name name, value *nexus.LazyValue, err error) (any, error) {
	var ended *nexus.OperationError
	switch {
	case err == nil:
		defer value.Reader.Close()
		result, err := io.ReadAll(value.Reader)
		if err != nil {
			return nil, err
		}
		return shown{Name: name, Done: true, State: "succeeded", Result: result}, nil
	case errors.As(err, &ended):
		return shown{Name: name, Done: true, State: string(ended.State), Error: told(ended)}, nil
	default:
		return nil, err
	}
}

func told(ended *nexus.OperationError) *failure {
	shown := &failure{Message: ended.Cause.Error()}
	var cause *nexus.FailureError
	if errors.As(ended.Cause, &cause) {
		shown.Details = string(cause.Failure.Details)
		// What is no such object leaves it as it is.
		_ = json.Unmarshal(cause.Failure.Details, &struct {
			Code      *string
			Retryable **bool
		}{&shown.Code, &shown.Retryable})
	}
	return shown
}

func (f *front) handle(of name) (*nexus.OperationHandle[*nexus.LazyValue], error) {
	client, _, err := f.client()
	if err != nil {
		return nil, err
	}
	return client.NewHandle(of.Operation, of.Token)
}

func (f *front) read(of name) (any, error) {
	handle, err := f.handle(of)
	if err != nil {
		return nil, err
	}
	ctx, done := within()
	defer done()
	info, err := handle.GetInfo(ctx, nexus.GetOperationInfoOptions{})
	if err != nil {
		return nil, err
	}
	running := info.State == nexus.OperationStateRunning
	return shown{Name: of, Done: !running, State: string(info.State)}, nil
}

// Waits for the callback, where there is to be one, and asks for the result, which must be the same end.
func (f *front) wait(of name) (any, error) {
	handle, err := f.handle(of)
	if err != nil {
		return nil, err
	}
	ctx, done := within()
	defer done()
	value, err := handle.GetResult(ctx, nexus.GetOperationResultOptions{Wait: patience})
	ended, err := show(of, value, err)
	if err != nil {
		return nil, err
	}
	told, err := f.callback(ctx, of.Key)
	if err != nil {
		return nil, err
	}
	found := ended.(shown)
	if told.state != "" && string(told.state) != found.State {
		return nil, fmt.Errorf("called back as %s, and it is %s", told.state, found.State)
	}
	found.Callback = told.trace
	return found, nil
}

// What the callback told; nothing where none is to come.
func (f *front) callback(ctx context.Context, key string) (callback, error) {
	stop := context.AfterFunc(ctx, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.arrived.Broadcast()
	})
	defer stop()
	f.mu.Lock()
	defer f.mu.Unlock()
	for f.told[key].state == "" && !f.ended[key] {
		if ctx.Err() != nil {
			return callback{}, errors.New("no callback came")
		}
		f.arrived.Wait()
	}
	return f.told[key], nil
}

func (f *front) cancel(of name) (any, error) {
	handle, err := f.handle(of)
	if err != nil {
		return nil, err
	}
	ctx, done := within()
	defer done()
	return nil, handle.Cancel(ctx, nexus.CancelOperationOptions{})
}
