package gateway

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nexus-rpc/sdk-go/nexus"

	"opgate/tests/clients/nexus/sdk-v0.4.0/upstream"
)

// What the handler behind opgate tells of itself.
func ask[T any](t *testing.T, path string) T {
	t.Helper()
	reply, err := http.Get("http://" + env(t, "OPGATE_UPSTREAM") + path)
	if err != nil {
		t.Fatal(err)
	}
	defer reply.Body.Close()
	var answer T
	if err := json.NewDecoder(reply.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	return answer
}

// The starts that brought this mark in their input.
func startsOf(t *testing.T, mark string) []upstream.Start {
	t.Helper()
	starts := ask[[]upstream.Start](t, "/starts")
	return slices.DeleteFunc(starts, func(start upstream.Start) bool {
		return !strings.Contains(string(start.Input), mark)
	})
}

func TestTheHandlerBehindIsStartedOnceAndAsTheCallerAsked(t *testing.T) {
	daemonOnly(t)
	mark := uuid.NewString()
	told := instruction{Duration: "50ms", Result: raw(`"` + mark + `"`)}
	handle := beginWith(t, behind(t).client(t), "run", told, nexus.StartOperationOptions{
		Header: nexus.Header{"operation-timeout": "60000ms", "x-tenant": "acme", "authorization": "Bearer secret"},
	})
	equal(t, "result", result(t, handle), `"`+mark+`"`)
	starts := startsOf(t, mark)
	if len(starts) != 1 {
		t.Fatalf("%+v", starts)
	}
	start := starts[0]
	equal(t, "service", start.Service, "upstream")
	equal(t, "operation", start.Operation, "run")
	if start.RequestID == "" || !strings.HasPrefix(start.CallbackURL, "http://"+env(t, "OPGATE_HTTP")) {
		t.Errorf("%+v", start)
	}
	equal(t, "x-tenant", start.Header.Get("x-tenant"), "acme")
	// That of the caller is none of the handler's business.
	equal(t, "authorization", start.Header.Get("authorization"), "")
	// The time limit is passed on, less what is gone of it.
	left, err := time.ParseDuration(start.Header.Get("operation-timeout"))
	if err != nil || left <= 0 || left > time.Minute {
		t.Errorf("%v %v", left, err)
	}
}

// Whether the handler calls back or is asked, and also if its callback comes before its answer.
func TestTheEndIsLearntOfInEitherWay(t *testing.T) {
	for _, way := range []string{"told", "asked"} {
		t.Run(way, func(t *testing.T) {
			daemonOnly(t)
			client := target{behind(t).base, way}.client(t)
			for _, operation := range []string{"run", "early"} {
				told := instruction{Duration: "50ms", Result: raw(`"` + operation + `"`)}
				value, err := client.ExecuteOperation(within(t), operation, told, nexus.ExecuteOperationOptions{})
				if err != nil {
					t.Fatal(err)
				}
				text, _ := read(t, value)
				equal(t, "result", text, string(told.Result))
				for _, state := range []nexus.OperationState{nexus.OperationStateFailed, nexus.OperationStateCanceled} {
					told := instruction{Duration: "50ms", Outcome: string(state), Message: "no such scene"}
					_, err := client.ExecuteOperation(within(t), operation, told, nexus.ExecuteOperationOptions{})
					ended := operationError(t, err)
					equal(t, "state", ended.State, state)
					equal(t, "message", ended.Cause.Error(), told.Message)
				}
			}
		})
	}
}

func TestACancelReachesTheHandlerBehind(t *testing.T) {
	daemonOnly(t)
	mark := uuid.NewString()
	handle := begin(t, behind(t).client(t), "run", instruction{Hold: true, Message: mark})
	if err := handle.Cancel(within(t), nexus.CancelOperationOptions{}); err != nil {
		t.Fatal(err)
	}
	equal(t, "state", failure(t, handle).State, nexus.OperationStateCanceled)
	for _, start := range startsOf(t, mark) {
		if !slices.Contains(ask[[]string](t, "/cancels"), start.Token) {
			t.Errorf("not canceled: %+v", start)
		}
	}
}

func TestAHandlerThatNeverCallsBackIsAskedForTheResult(t *testing.T) {
	daemonOnly(t)
	told := instruction{Duration: "300ms", Result: raw(`"asked for"`)}
	handle := begin(t, behind(t).client(t), "silent", told)
	equal(t, "result", result(t, handle), `"asked for"`)
}

func TestAHandlerThatIsUnavailableIsStartedAgainWithTheSameRequestID(t *testing.T) {
	daemonOnly(t)
	mark := uuid.NewString()
	value, err := behind(t).client(t).ExecuteOperation(within(t), "flaky", mark, nexus.ExecuteOperationOptions{})
	if err != nil {
		t.Fatal(err)
	}
	text, _ := read(t, value)
	equal(t, "result", text, `"`+mark+`"`)
	starts := startsOf(t, mark)
	equal(t, "starts", len(starts), 3)
	for _, start := range starts {
		equal(t, "request id", start.RequestID, starts[0].RequestID)
	}
}

func TestAStartThatTheHandlerBehindRefusesFailsTheOperation(t *testing.T) {
	daemonOnly(t)
	for _, kind := range []string{"INVALID_ARGUMENT", "NOT_FOUND", "UNSUPPORTED", "PERMISSION_DENIED"} {
		told := instruction{Kind: kind, Message: "no: " + kind}
		_, err := behind(t).client(t).ExecuteOperation(within(t), "error", told, nexus.ExecuteOperationOptions{})
		ended := operationError(t, err)
		equal(t, "state", ended.State, nexus.OperationStateFailed)
		if !strings.Contains(ended.Cause.Error(), told.Message) {
			t.Errorf("%v", ended.Cause)
		}
	}
}

// The handler behind knows nothing but Nexus, the caller nothing but google.longrunning over REST.
func TestAHandlerBehindServesCallersOfGooglesProtocol(t *testing.T) {
	daemonOnly(t)
	type operation struct {
		Name     string
		Done     bool
		Response struct{ Value map[string]any }
		Error    struct {
			Code    int
			Message string
		}
	}
	post := func(path, body string) operation {
		url := "http://" + env(t, "OPGATE_HTTP") + "/v1/" + path
		reply, err := http.Post(url, "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer reply.Body.Close()
		if reply.StatusCode != http.StatusOK {
			t.Fatalf("%s %s", url, reply.Status)
		}
		var answer operation
		if err := json.NewDecoder(reply.Body).Decode(&answer); err != nil {
			t.Fatal(err)
		}
		return answer
	}
	run := func(told string) operation {
		started := post("studio:run", told)
		for deadline := time.Now().Add(patience); ; {
			found := post(started.Name+":wait", `{"timeout": "10s"}`)
			if found.Done || time.Now().After(deadline) {
				return found
			}
		}
	}
	succeeded := run(`{"duration": "300ms", "result": {"frames": 250}}`)
	equal[any](t, "frames", succeeded.Response.Value["frames"], 250.0)
	failed := run(`{"duration": "50ms", "outcome": "failed", "message": "no such scene"}`)
	equal(t, "message", failed.Error.Message, "no such scene")
	if failed.Error.Code == 0 {
		t.Error("a failure without a code")
	}
}
