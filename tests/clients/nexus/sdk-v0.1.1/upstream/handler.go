// Package upstream is a Nexus handler made with the SDK alone, of the days when an operation had an
// id and no token. Its operations understand instructions of opgate's showcase:
//
//	echo    answers with its input, verbatim
//	fail    has failed at once, with the message given
//	run     runs for the duration given and completes by callback
//	silent  runs, and never calls back: its result has to be asked for
package upstream

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/nexus-rpc/sdk-go/nexus"
)

// Instruction is the input of every operation but echo.
type Instruction struct {
	Duration string          `json:"duration,omitempty"`
	Hold     bool            `json:"hold,omitempty"`
	Outcome  string          `json:"outcome,omitempty"`
	Result   json.RawMessage `json:"result,omitempty"`
	Message  string          `json:"message,omitempty"`
}

type operation struct {
	service, name, id string
	options           nexus.StartOperationOptions
	started           time.Time
	canceled, ended   chan struct{}
	once              sync.Once
	// Both once it has ended.
	result  any
	failure *nexus.UnsuccessfulOperationError
}

// Handler keeps its operations in memory.
type Handler struct {
	nexus.UnimplementedHandler
	mu         sync.Mutex
	operations map[string]*operation
}

// New makes a handler without operations.
func New() *Handler {
	return &Handler{operations: map[string]*operation{}}
}

// StartOperation implements nexus.Handler.
func (h *Handler) StartOperation(
	_ context.Context, service, name string, input *nexus.LazyValue, options nexus.StartOperationOptions,
) (nexus.HandlerStartOperationResult[any], error) {
	data, err := io.ReadAll(input.Reader)
	if err != nil {
		return nil, err
	}
	var told Instruction
	switch name {
	case "fail", "run", "silent":
		if err := json.Unmarshal(data, &told); err != nil {
			return nil, nexus.HandlerErrorf(nexus.HandlerErrorTypeBadRequest, "no instruction: %v", err)
		}
	}
	switch name {
	case "echo":
		content := &nexus.Content{Header: input.Reader.Header, Data: data}
		return &nexus.HandlerStartOperationResultSync[any]{Value: content}, nil
	case "fail":
		return nil, nexus.NewFailedOperationError(errors.New(told.Message))
	case "run", "silent":
	default:
		return nil, nexus.HandlerErrorf(nexus.HandlerErrorTypeNotFound, "no operation %q", name)
	}
	started := &operation{
		service: service, name: name, id: uuid.NewString(), options: options, started: time.Now().UTC(),
		canceled: make(chan struct{}), ended: make(chan struct{}),
	}
	h.mu.Lock()
	h.operations[started.id] = started
	h.mu.Unlock()
	go started.play(told)
	return &nexus.HandlerStartOperationResultAsync{OperationID: started.id}, nil
}

func (o *operation) play(told Instruction) {
	var done <-chan time.Time
	if !told.Hold {
		length, err := time.ParseDuration(told.Duration)
		if err != nil {
			length = 0
		}
		done = time.After(length)
	}
	select {
	case <-done:
		o.end(told)
	case <-o.canceled:
		o.failure = nexus.NewCanceledOperationError(errors.New("canceled on request"))
	}
	close(o.ended)
	if o.name != "silent" && o.options.CallbackURL != "" {
		o.deliver()
	}
}

func (o *operation) end(told Instruction) {
	switch told.Outcome {
	case "failed":
		o.failure = nexus.NewFailedOperationError(errors.New(told.Message))
	case "canceled":
		o.failure = nexus.NewCanceledOperationError(errors.New(told.Message))
	default:
		if told.Result != nil {
			o.result = told.Result
		}
	}
}

// Calls back, again and again for a while until it is taken.
func (o *operation) deliver() {
	for attempt := 0; attempt < 50; attempt++ {
		request, err := nexus.NewCompletionHTTPRequest(context.Background(), o.options.CallbackURL, o.completion())
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
	if o.failure != nil {
		completion, err := nexus.NewOperationCompletionUnsuccessful(o.failure,
			nexus.OperationCompletionUnsuccessfulOptions{OperationID: o.id, StartTime: o.started})
		if err != nil {
			panic(err)
		}
		completion.Header = o.options.CallbackHeader
		return completion
	}
	completion, err := nexus.NewOperationCompletionSuccessful(o.result,
		nexus.OperationCompletionSuccessfulOptions{OperationID: o.id, StartTime: o.started})
	if err != nil {
		panic(err)
	}
	completion.Header = o.options.CallbackHeader
	return completion
}

func (h *Handler) find(service, name, id string) (*operation, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	found, ok := h.operations[id]
	if !ok || found.service != service || found.name != name {
		return nil, nexus.HandlerErrorf(nexus.HandlerErrorTypeNotFound, "no such operation")
	}
	return found, nil
}

// GetOperationInfo implements nexus.Handler.
func (h *Handler) GetOperationInfo(
	_ context.Context, service, name, id string, _ nexus.GetOperationInfoOptions,
) (*nexus.OperationInfo, error) {
	found, err := h.find(service, name, id)
	if err != nil {
		return nil, err
	}
	info := &nexus.OperationInfo{ID: id, State: nexus.OperationStateRunning}
	select {
	case <-found.ended:
		info.State = nexus.OperationStateSucceeded
		if found.failure != nil {
			info.State = found.failure.State
		}
	default:
	}
	return info, nil
}

// GetOperationResult implements nexus.Handler.
func (h *Handler) GetOperationResult(
	ctx context.Context, service, name, id string, options nexus.GetOperationResultOptions,
) (any, error) {
	found, err := h.find(service, name, id)
	if err != nil {
		return nil, err
	}
	waited, stop := context.WithTimeout(ctx, options.Wait)
	defer stop()
	select {
	case <-found.ended:
	case <-waited.Done():
		return nil, nexus.ErrOperationStillRunning
	}
	if found.failure != nil {
		return nil, found.failure
	}
	return found.result, nil
}

// CancelOperation implements nexus.Handler.
func (h *Handler) CancelOperation(
	_ context.Context, service, name, id string, _ nexus.CancelOperationOptions,
) error {
	found, err := h.find(service, name, id)
	if err == nil {
		found.once.Do(func() { close(found.canceled) })
	}
	return err
}
