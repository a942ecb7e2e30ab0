package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/nexus-rpc/sdk-go/nexus"
)

// What an operation is told; see ../upstreams/work.py.
type input struct {
	Key    string          `json:"key"`
	Do     string          `json:"do"`
	Result json.RawMessage `json:"result"`
	Error  struct {
		Code      string `json:"code"`
		Message   string `json:"message"`
		Retryable *bool  `json:"retryable"`
		Mark      string `json:"mark"`
	} `json:"error"`
}

// One piece of work, and what was asked about it.
type work struct {
	told       input
	raw        json.RawMessage
	token      string
	callback   string
	header     nexus.Header
	identities []string
	cancels    int
	polls      int
	// What each kind of request said of the trace that it is of, each once.
	traces   map[string][]trace
	released bool
	canceled bool
}

func (w *work) traced(what string, headers nexus.Header) {
	told := traceOf(headers)
	if !slices.ContainsFunc(w.traces[what], func(known trace) bool { return maps.Equal(known, told) }) {
		w.traces[what] = append(w.traces[what], told)
	}
}

func (w *work) state() nexus.OperationState {
	switch {
	case w.canceled:
		return nexus.OperationStateCanceled
	case w.told.Do == "fail":
		return nexus.OperationStateFailed
	case w.told.Do == "succeed" || w.released:
		return nexus.OperationStateSucceeded
	default:
		return nexus.OperationStateRunning
	}
}

func (w *work) content() *nexus.Content {
	return &nexus.Content{Header: nexus.Header{"type": "application/json"}, Data: w.told.Result}
}

// Why it ended, where it is no success: an error of the kind that handlers have, where it is to be said whether it may
// be repeated, else one of its own kind.
func (w *work) failure() *nexus.OperationError {
	switch w.state() {
	case nexus.OperationStateCanceled:
		return &nexus.OperationError{State: nexus.OperationStateCanceled, Cause: errors.New("stopped")}
	case nexus.OperationStateFailed:
		kind := "matrix.Failure"
		if w.told.Error.Retryable != nil {
			kind = "nexus.HandlerError"
		}
		details, err := json.Marshal(map[string]any{
			"type": w.told.Error.Code, "retryableOverride": w.told.Error.Retryable, "mark": w.told.Error.Mark,
		})
		if err != nil {
			log.Panic(err)
		}
		return &nexus.OperationError{State: nexus.OperationStateFailed, Cause: &nexus.FailureError{Failure: nexus.Failure{
			Message:  w.told.Error.Message,
			Metadata: map[string]string{"type": kind},
			Details:  details,
		}}}
	default:
		return nil
	}
}

// upstream is a handler that keeps its operations in memory.
type upstream struct {
	nexus.UnimplementedHandler

	mu      sync.Mutex
	changed *sync.Cond
	address string
	keys    map[string]*work
	tokens  map[string]*work
	// By the request id: a repeat is the same operation.
	requests map[string]*work
}

func newUpstream() *upstream {
	u := &upstream{keys: map[string]*work{}, tokens: map[string]*work{}, requests: map[string]*work{}}
	u.changed = sync.NewCond(&u.mu)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	u.address = "http://" + listener.Addr().String()
	go func() { log.Fatal(http.Serve(listener, nexus.NewHTTPHandler(nexus.HandlerOptions{Handler: u}))) }()
	return u
}

func (u *upstream) commands() commands {
	return commands{
		"address": func(arguments) (any, error) { return u.address, nil },
		"connect": func(arguments) (any, error) { return nil, nil },
		"release": func(asked arguments) (any, error) {
			u.mu.Lock()
			defer u.mu.Unlock()
			u.keys[asked.text("key")].released = true
			u.changed.Broadcast()
			return nil, nil
		},
		"asked": func(asked arguments) (any, error) {
			u.mu.Lock()
			defer u.mu.Unlock()
			return u.asked(asked.text("key")), nil
		},
		"await": u.await,
	}
}

func (u *upstream) asked(key string) map[string]any {
	found, ok := u.keys[key]
	if !ok {
		return map[string]any{"starts": 0, "begun": 0, "cancels": 0, "polls": 0}
	}
	begun := map[string]bool{}
	for _, identity := range found.identities {
		begun[identity] = true
	}
	return map[string]any{
		"input": found.raw, "starts": len(found.identities), "begun": len(begun),
		"cancels": found.cancels, "polls": found.polls, "traces": found.traces,
	}
}

func (u *upstream) await(asked arguments) (any, error) {
	var least int
	if err := json.Unmarshal(asked["least"], &least); err != nil {
		return nil, err
	}
	key, what := asked.text("key"), asked.text("what")
	late := time.AfterFunc(patience, func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		u.changed.Broadcast()
	})
	defer late.Stop()
	ends := time.Now().Add(patience)
	u.mu.Lock()
	defer u.mu.Unlock()
	for u.asked(key)[what].(int) < least {
		if time.Now().After(ends) {
			return nil, fmt.Errorf("%s of %s: %v", what, key, u.asked(key))
		}
		u.changed.Wait()
	}
	return u.asked(key), nil
}

// StartOperation implements nexus.Handler.
func (u *upstream) StartOperation(
	_ context.Context, _, _ string, value *nexus.LazyValue, options nexus.StartOperationOptions,
) (nexus.HandlerStartOperationResult[any], error) {
	data, err := io.ReadAll(value.Reader)
	if err != nil {
		return nil, err
	}
	var told input
	if err := json.Unmarshal(data, &told); err != nil {
		return nil, nexus.HandlerErrorf(nexus.HandlerErrorTypeBadRequest, "%v", err)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	begun, repeated := u.requests[options.RequestID]
	if !repeated {
		begun = &work{
			told: told, raw: data, token: uuid.NewString(),
			callback: options.CallbackURL, header: options.CallbackHeader, traces: map[string][]trace{},
		}
		u.requests[options.RequestID] = begun
		u.tokens[begun.token] = begun
		u.keys[told.Key] = begun
		go u.deliver(begun)
	}
	begun.identities = append(begun.identities, options.RequestID)
	begun.traced("starts", options.Header)
	u.changed.Broadcast()
	return &nexus.HandlerStartOperationResultAsync{OperationToken: begun.token}, nil
}

// Calls back once the work has ended; where nobody takes it, its result can be asked for.
func (u *upstream) deliver(of *work) {
	u.mu.Lock()
	for of.state() == nexus.OperationStateRunning {
		u.changed.Wait()
	}
	content, failure := of.content(), of.failure()
	u.mu.Unlock()
	var completion nexus.OperationCompletion
	if failure != nil {
		unsuccessful, err := nexus.NewOperationCompletionUnsuccessful(
			failure, nexus.OperationCompletionUnsuccessfulOptions{OperationToken: of.token})
		if err != nil {
			log.Panic(err)
		}
		unsuccessful.Header = of.header
		completion = unsuccessful
	} else {
		successful, err := nexus.NewOperationCompletionSuccessful(
			content, nexus.OperationCompletionSuccessfulOptions{OperationToken: of.token})
		if err != nil {
			log.Panic(err)
		}
		successful.Header = of.header
		completion = successful
	}
	request, err := nexus.NewCompletionHTTPRequest(context.Background(), of.callback, completion)
	if err != nil {
		log.Panic(err)
	}
	if reply, err := http.DefaultClient.Do(request); err == nil {
		reply.Body.Close()
	}
}

func (u *upstream) find(token string) (*work, error) {
	found, ok := u.tokens[token]
	if !ok {
		return nil, nexus.HandlerErrorf(nexus.HandlerErrorTypeNotFound, "no such operation")
	}
	return found, nil
}

// GetOperationInfo implements nexus.Handler.
func (u *upstream) GetOperationInfo(
	_ context.Context, _, _, token string, _ nexus.GetOperationInfoOptions,
) (*nexus.OperationInfo, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	found, err := u.find(token)
	if err != nil {
		return nil, err
	}
	return &nexus.OperationInfo{Token: token, State: found.state()}, nil
}

// GetOperationResult implements nexus.Handler. It holds no request: whoever waits asks again.
func (u *upstream) GetOperationResult(
	_ context.Context, _, _, token string, options nexus.GetOperationResultOptions,
) (any, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	found, err := u.find(token)
	if err != nil {
		return nil, err
	}
	found.polls++
	found.traced("polls", options.Header)
	if found.state() == nexus.OperationStateRunning {
		return nil, nexus.ErrOperationStillRunning
	}
	if failure := found.failure(); failure != nil {
		return nil, failure
	}
	return found.content(), nil
}

// CancelOperation implements nexus.Handler.
func (u *upstream) CancelOperation(
	_ context.Context, _, _, token string, options nexus.CancelOperationOptions,
) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	found, err := u.find(token)
	if err != nil {
		return err
	}
	found.cancels++
	found.traced("cancels", options.Header)
	if found.told.Do == "refuse-cancel" {
		u.changed.Broadcast()
		return nexus.HandlerErrorf(nexus.HandlerErrorTypeNotImplemented, "it is not to be canceled")
	}
	if found.state() == nexus.OperationStateRunning {
		found.canceled = true
	}
	u.changed.Broadcast()
	return nil
}
