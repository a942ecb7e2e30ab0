package gateway

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nexus-rpc/sdk-go/nexus"

	"opgate/tests/clients/nexus/sdk-v0.1.1/upstream"
)

// Longer than anything takes, so that only a hang is cut short by it.
const patience = time.Minute

type instruction = upstream.Instruction

// Runs a case against a client of each of these.
func against(t *testing.T, names string, test func(t *testing.T, client *nexus.HTTPClient)) {
	t.Helper()
	t.Parallel()
	for _, name := range strings.Fields(names) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if testing.Short() && name != "itself" {
				t.Skip("only the SDK's own handler with -short")
			}
			options := nexus.HTTPClientOptions{Service: "showcase"}
			if name == "itself" {
				server := httptest.NewServer(nexus.NewHTTPHandler(nexus.HandlerOptions{
					Handler: upstream.New(), GetResultTimeout: time.Second,
				}))
				t.Cleanup(server.Close)
				options.BaseURL = server.URL
			} else {
				address := os.Getenv("OPGATE_HTTP")
				if address == "" {
					t.Fatal("OPGATE_HTTP is not set: start this through the Rust suite, or with -short")
				}
				options.BaseURL = "http://" + address + "/nexus"
			}
			if name == "behind" {
				options.Service = "upstream-of-old"
			}
			client, err := nexus.NewHTTPClient(options)
			if err != nil {
				t.Fatal(err)
			}
			test(t, client)
		})
	}
}

func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

func equal[T comparable](t *testing.T, what string, found, wanted T) {
	t.Helper()
	if found != wanted {
		t.Errorf("%s: found %v, wanted %v", what, found, wanted)
	}
}

func begin(
	t *testing.T, client *nexus.HTTPClient, operation string, told any, options nexus.StartOperationOptions,
) *nexus.OperationHandle[*nexus.LazyValue] {
	t.Helper()
	started, err := client.StartOperation(within(t), operation, told, options)
	if err != nil {
		t.Fatal(err)
	}
	if started.Pending == nil || started.Pending.ID == "" {
		t.Fatalf("no id: %+v", started)
	}
	return started.Pending
}

func read(t *testing.T, value *nexus.LazyValue) []byte {
	t.Helper()
	defer value.Reader.Close()
	data, err := io.ReadAll(value.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func unsuccessful(t *testing.T, err error) *nexus.UnsuccessfulOperationError {
	t.Helper()
	var ended *nexus.UnsuccessfulOperationError
	if !errors.As(err, &ended) {
		t.Fatalf("no operation error: %v", err)
	}
	return ended
}

func TestAnOperationIsStartedWatchedAndRead(t *testing.T) {
	against(t, "itself showcase behind", func(t *testing.T, client *nexus.HTTPClient) {
		told := instruction{Duration: "2s", Result: []byte(`{"n":1.5}`)}
		handle := begin(t, client, "run", told, nexus.StartOperationOptions{})
		info, err := handle.GetInfo(within(t), nexus.GetOperationInfoOptions{})
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "id", info.ID, handle.ID)
		equal(t, "state", info.State, nexus.OperationStateRunning)
		_, err = handle.GetResult(within(t), nexus.GetOperationResultOptions{})
		equal(t, "still running", errors.Is(err, nexus.ErrOperationStillRunning), true)
		// Longer than one poll may take.
		value, err := handle.GetResult(within(t), nexus.GetOperationResultOptions{Wait: patience})
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "result", string(read(t, value)), string(told.Result))
		info, err = handle.GetInfo(within(t), nexus.GetOperationInfoOptions{})
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "state", info.State, nexus.OperationStateSucceeded)
	})
}

func TestAFailureIsAnOperationError(t *testing.T) {
	against(t, "itself showcase behind", func(t *testing.T, client *nexus.HTTPClient) {
		told := instruction{Outcome: "failed", Message: "no such scene: ü"}
		_, err := client.ExecuteOperation(within(t), "run", told, nexus.ExecuteOperationOptions{})
		ended := unsuccessful(t, err)
		equal(t, "state", ended.State, nexus.OperationStateFailed)
		equal(t, "message", ended.Cause.Error(), told.Message)
		_, err = client.ExecuteOperation(within(t), "fail", instruction{Message: "at once"}, nexus.ExecuteOperationOptions{})
		ended = unsuccessful(t, err)
		equal(t, "state", ended.State, nexus.OperationStateFailed)
		equal(t, "message", ended.Cause.Error(), "at once")
	})
}

func TestACancelEndsTheOperation(t *testing.T) {
	against(t, "itself showcase behind", func(t *testing.T, client *nexus.HTTPClient) {
		handle := begin(t, client, "run", instruction{Hold: true}, nexus.StartOperationOptions{})
		for range 2 {
			if err := handle.Cancel(within(t), nexus.CancelOperationOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		_, err := handle.GetResult(within(t), nexus.GetOperationResultOptions{Wait: patience})
		equal(t, "state", unsuccessful(t, err).State, nexus.OperationStateCanceled)
	})
}

func TestAnUnknownIDIsNotFound(t *testing.T) {
	against(t, "itself showcase behind", func(t *testing.T, client *nexus.HTTPClient) {
		for _, id := range []string{"never-given", "result", "cancel", "a/b c%"} {
			handle, err := client.NewHandle("run", id)
			if err != nil {
				t.Fatal(err)
			}
			_, info := handle.GetInfo(within(t), nexus.GetOperationInfoOptions{})
			_, result := handle.GetResult(within(t), nexus.GetOperationResultOptions{})
			cancel := handle.Cancel(within(t), nexus.CancelOperationOptions{})
			for _, err := range []error{info, result, cancel} {
				var refused *nexus.HandlerError
				if !errors.As(err, &refused) || refused.Type != nexus.HandlerErrorTypeNotFound {
					t.Errorf("%s: %v", id, err)
				}
			}
		}
	})
}

func TestContentComesBackAsItWasSent(t *testing.T) {
	against(t, "itself showcase behind", func(t *testing.T, client *nexus.HTTPClient) {
		sent := make([]byte, 1<<18)
		for index := range sent {
			sent[index] = byte(index * 7)
		}
		value, err := client.ExecuteOperation(within(t), "echo", sent, nexus.ExecuteOperationOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if found := read(t, value); !bytes.Equal(found, sent) {
			t.Errorf("%d bytes came back of %d", len(found), len(sent))
		}
	})
}

func TestOneRequestIDIsOneOperation(t *testing.T) {
	// The control keeps no request ids.
	against(t, "showcase behind", func(t *testing.T, client *nexus.HTTPClient) {
		options := nexus.StartOperationOptions{RequestID: uuid.NewString()}
		first := begin(t, client, "run", instruction{Hold: true}, options)
		second := begin(t, client, "run", instruction{Hold: true}, options)
		equal(t, "id", second.ID, first.ID)
		if err := first.Cancel(within(t), nexus.CancelOperationOptions{}); err != nil {
			t.Fatal(err)
		}
	})
}

type receiver struct {
	received chan received
}

type received struct {
	state   nexus.OperationState
	id      string
	failure error
	result  []byte
	header  http.Header
}

// CompleteOperation implements nexus.CompletionHandler.
func (r receiver) CompleteOperation(_ context.Context, request *nexus.CompletionRequest) error {
	got := received{
		state: request.State, id: request.OperationID, failure: request.Error, header: request.HTTPRequest.Header,
	}
	if request.Result != nil {
		data, err := io.ReadAll(request.Result.Reader)
		if err != nil {
			return err
		}
		got.result = data
	}
	r.received <- got
	return nil
}

func TestACallbackTellsTheEnd(t *testing.T) {
	against(t, "itself showcase behind", func(t *testing.T, client *nexus.HTTPClient) {
		receiver := receiver{make(chan received, 10)}
		server := httptest.NewServer(nexus.NewCompletionHTTPHandler(nexus.CompletionHandlerOptions{Handler: receiver}))
		t.Cleanup(server.Close)
		options := nexus.StartOperationOptions{
			CallbackURL: server.URL + "/cb?x=1", CallbackHeader: nexus.Header{"token": "mine"},
		}
		for state, told := range map[nexus.OperationState]instruction{
			nexus.OperationStateSucceeded: {Duration: "50ms", Result: []byte(`{"n":1.5}`)},
			nexus.OperationStateFailed:    {Duration: "50ms", Outcome: "failed", Message: "no such scene"},
			nexus.OperationStateCanceled:  {Duration: "50ms", Outcome: "canceled", Message: "stopped"},
		} {
			handle := begin(t, client, "run", told, options)
			var got received
			select {
			case got = <-receiver.received:
			case <-time.After(patience):
				t.Fatal("no callback came")
			}
			equal(t, "state", got.state, state)
			equal(t, "id", got.id, handle.ID)
			equal(t, "token", got.header.Get("Token"), "mine")
			if state == nexus.OperationStateSucceeded {
				equal(t, "result", string(got.result), string(told.Result))
			} else {
				equal(t, "message", got.failure.Error(), told.Message)
			}
		}
	})
}

func TestAHandlerThatNeverCallsBackIsAskedForTheResult(t *testing.T) {
	against(t, "itself behind", func(t *testing.T, client *nexus.HTTPClient) {
		told := instruction{Duration: "300ms", Result: []byte(`"asked for"`)}
		value, err := client.ExecuteOperation(within(t), "silent", told, nexus.ExecuteOperationOptions{})
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "result", string(read(t, value)), `"asked for"`)
	})
}
