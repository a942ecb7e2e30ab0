// Package upstream is a Nexus handler made with the SDK alone. Its operations understand the same
// instructions as opgate's showcase, so that one set of cases can be put to this handler itself, to
// the showcase, and to this handler behind opgate.
//
//	echo    answers with its input, verbatim
//	fail    has failed at once, with the message given
//	cancel  is canceled at once
//	error   refuses the start with the kind of error given
//	run     runs for the duration given and completes by callback
//	early   completes by callback before it answers the start
//	silent  runs, and never calls back: its result has to be asked for
//	flaky   refuses its first two starts as unavailable, then echoes
package upstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/nexus-rpc/sdk-go/nexus"
)

// Instruction is the input of every operation but echo.
type Instruction struct {
	Duration    string          `json:"duration,omitempty"`
	Hold        bool            `json:"hold,omitempty"`
	HonorCancel *bool           `json:"honor_cancel,omitempty"`
	Outcome     string          `json:"outcome,omitempty"`
	Result      json.RawMessage `json:"result,omitempty"`
	Message     string          `json:"message,omitempty"`
	Kind        string          `json:"kind,omitempty"`
	// Of a failed run: the whole failure. The showcase has nothing like it.
	Failure *nexus.Failure `json:"failure,omitempty"`
}

// Start is what one start brought, as a test asks for it.
type Start struct {
	Service, Operation, RequestID, CallbackURL, Token string
	Header, CallbackHeader                            nexus.Header
	Links                                             []string
	Input                                             []byte
}

// Handler keeps its operations in memory.
type Handler struct {
	nexus.UnimplementedHandler

	mu         sync.Mutex
	operations map[string]*operation
	// The token each request id was given. A repeat is given the same.
	requests map[string]string
	refusals map[string]int
	starts   []Start
	cancels  []string
}

// New makes a handler without operations.
func New() *Handler {
	return &Handler{
		operations: map[string]*operation{},
		requests:   map[string]string{},
		refusals:   map[string]int{},
	}
}

// Starts are all the starts so far, repeats included.
func (h *Handler) Starts() []Start {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]Start{}, h.starts...)
}

// Cancels are the tokens of all cancel requests so far.
func (h *Handler) Cancels() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]string{}, h.cancels...)
}

// The kinds of error the showcase knows, in Nexus's words.
var kinds = map[string]nexus.HandlerErrorType{
	"INVALID_ARGUMENT":  nexus.HandlerErrorTypeBadRequest,
	"UNAUTHENTICATED":   nexus.HandlerErrorTypeUnauthenticated,
	"PERMISSION_DENIED": nexus.HandlerErrorTypeUnauthorized,
	"NOT_FOUND":         nexus.HandlerErrorTypeNotFound,
	"TOO_MANY_REQUESTS": nexus.HandlerErrorTypeResourceExhausted,
	"INTERNAL":          nexus.HandlerErrorTypeInternal,
	"UNSUPPORTED":       nexus.HandlerErrorTypeNotImplemented,
	"UNAVAILABLE":       nexus.HandlerErrorTypeUnavailable,
}

// StartOperation implements nexus.Handler.
func (h *Handler) StartOperation(
	ctx context.Context, service, name string, input *nexus.LazyValue, options nexus.StartOperationOptions,
) (nexus.HandlerStartOperationResult[any], error) {
	data, err := io.ReadAll(input.Reader)
	if err != nil {
		return nil, err
	}
	start := Start{
		Service: service, Operation: name, RequestID: options.RequestID, Input: data,
		CallbackURL: options.CallbackURL, Header: options.Header, CallbackHeader: options.CallbackHeader,
	}
	for _, link := range options.Links {
		start.Links = append(start.Links, link.URL.String())
	}
	content := &nexus.Content{Header: input.Reader.Header, Data: data}
	var told Instruction
	// A body that is none leaves the instruction empty: echo takes any.
	_ = json.Unmarshal(data, &told)

	switch name {
	case "fail", "cancel", "error":
		h.record(start)
		return nil, refusal(name, told)
	case "run", "early", "silent":
	case "flaky":
		h.record(start)
		if h.refuse(options.RequestID) {
			return nil, nexus.HandlerErrorf(nexus.HandlerErrorTypeUnavailable, "not just now")
		}
		return &nexus.HandlerStartOperationResultSync[any]{Value: content}, nil
	default:
		h.record(start)
		return &nexus.HandlerStartOperationResultSync[any]{Value: content}, nil
	}

	operation, isNew := h.begin(&start)
	nexus.AddHandlerLinks(ctx, operation.links()...)
	if isNew {
		if name == "silent" {
			operation.callback = ""
		}
		if name == "early" {
			operation.end(outcomeOf(told))
			operation.deliver(ctx)
		} else {
			go operation.play(told)
		}
	}
	return &nexus.HandlerStartOperationResultAsync{OperationToken: operation.token}, nil
}

func refusal(name string, told Instruction) error {
	switch name {
	case "fail":
		return nexus.NewOperationFailedError(told.Message)
	case "cancel":
		return nexus.NewOperationCanceledError(told.Message)
	}
	kind, known := kinds[told.Kind]
	if !known {
		return nexus.HandlerErrorf(nexus.HandlerErrorTypeBadRequest, "kind: %q is not known", told.Kind)
	}
	return nexus.HandlerErrorf(kind, "%s", told.Message)
}

func (h *Handler) record(start Start) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.starts = append(h.starts, start)
}

func (h *Handler) refuse(request string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.refusals[request]++
	return h.refusals[request] <= 2
}

// The operation of this start, and whether it is a new one.
func (h *Handler) begin(start *Start) (*operation, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	key := fmt.Sprintf("%q %q %q", start.Service, start.Operation, start.RequestID)
	token, repeated := h.requests[key]
	if !repeated {
		token = uuid.NewString()
		h.requests[key] = token
		h.operations[token] = newOperation(token, start)
	}
	start.Token = token
	h.starts = append(h.starts, *start)
	return h.operations[token], !repeated
}

func (h *Handler) find(service, name, token string) (*operation, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	found, ok := h.operations[token]
	if !ok || found.service != service || found.name != name {
		return nil, nexus.HandlerErrorf(nexus.HandlerErrorTypeNotFound, "no such operation")
	}
	return found, nil
}

// GetOperationInfo implements nexus.Handler.
func (h *Handler) GetOperationInfo(
	_ context.Context, service, name, token string, _ nexus.GetOperationInfoOptions,
) (*nexus.OperationInfo, error) {
	operation, err := h.find(service, name, token)
	if err != nil {
		return nil, err
	}
	return &nexus.OperationInfo{Token: token, State: operation.state()}, nil
}

// GetOperationResult implements nexus.Handler.
func (h *Handler) GetOperationResult(
	ctx context.Context, service, name, token string, options nexus.GetOperationResultOptions,
) (any, error) {
	operation, err := h.find(service, name, token)
	if err != nil {
		return nil, err
	}
	waited, stop := context.WithTimeout(ctx, options.Wait)
	defer stop()
	select {
	case <-operation.ended:
	case <-waited.Done():
		// Both may have happened.
		if operation.state() == nexus.OperationStateRunning {
			return nil, nexus.ErrOperationStillRunning
		}
	}
	return operation.result, operation.failure()
}

// CancelOperation implements nexus.Handler.
func (h *Handler) CancelOperation(
	_ context.Context, service, name, token string, _ nexus.CancelOperationOptions,
) error {
	operation, err := h.find(service, name, token)
	if err != nil {
		return err
	}
	h.mu.Lock()
	h.cancels = append(h.cancels, token)
	h.mu.Unlock()
	operation.cancel()
	return nil
}

func outcomeOf(told Instruction) outcome {
	message := told.Message
	if message == "" {
		message = "as it was told to"
	}
	switch told.Outcome {
	case "failed":
		if told.Failure != nil {
			return outcome{state: nexus.OperationStateFailed, cause: &nexus.FailureError{Failure: *told.Failure}}
		}
		return outcome{state: nexus.OperationStateFailed, cause: errors.New(message)}
	case "canceled":
		return outcome{state: nexus.OperationStateCanceled, cause: errors.New(message)}
	}
	ended := outcome{state: nexus.OperationStateSucceeded}
	if told.Result != nil {
		ended.content = &nexus.Content{Header: nexus.Header{"type": "application/json"}, Data: told.Result}
	}
	return ended
}

func duration(told Instruction) time.Duration {
	length, err := time.ParseDuration(told.Duration)
	if err != nil {
		return 0
	}
	return length
}
