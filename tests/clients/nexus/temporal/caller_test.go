package temporal

import (
	"context"
	"strings"
	"testing"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/failure/v1"
	"go.temporal.io/api/history/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
)

// Longest time for a workflow: far more than any takes.
const patience = time.Minute

type fields = map[string]any

// ANCHOR: call

// An Ask is one call of an operation.
type Ask struct {
	Service, Operation string
	Input              fields
	Timeout            time.Duration // none if zero
	Cancel             bool          // once it has started
}

// Call is the workflow that makes one call, and results in what the operation did.
func Call(ctx workflow.Context, ask Ask) (fields, error) {
	ctx, cancel := workflow.WithCancel(ctx)
	operation := workflow.NewNexusClient(endpoint, ask.Service).ExecuteOperation(
		ctx, ask.Operation, ask.Input,
		workflow.NexusOperationOptions{ScheduleToCloseTimeout: ask.Timeout},
	)
	if ask.Cancel {
		var started workflow.NexusOperationExecution
		if err := operation.GetNexusOperationExecution().Get(ctx, &started); err != nil {
			return nil, err
		}
		cancel()
	}
	var result fields
	err := operation.Get(ctx, &result)
	return result, err
}

// ANCHOR_END: call

func call(worker worker.Registry) {
	worker.RegisterWorkflow(Call)
}

// A Story is what became of a call.
type Story struct {
	result fields
	events []string         // what happened to the operation, without "NexusOperation"
	token  string           // of the operation, if it was started
	cause  *failure.Failure // why it did not succeed
}

// begin starts the workflow of a call.
func begin(t *testing.T, ctx context.Context, ask Ask) client.WorkflowRun {
	t.Helper()
	run, err := at.ExecuteWorkflow(ctx, client.StartWorkflowOptions{TaskQueue: callers}, Call, ask)
	if err != nil {
		t.Fatal(err)
	}
	return run
}

// tell makes a call, and waits for its end.
func tell(t *testing.T, ask Ask) Story {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	run := begin(t, ctx, ask)
	story := Story{}
	err := run.Get(ctx, &story.result)
	if ctx.Err() != nil {
		t.Fatal(ctx.Err())
	}
	events := at.GetWorkflowHistory(ctx, run.GetID(), run.GetRunID(), false,
		enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for events.HasNext() {
		event, err := events.Next()
		if err != nil {
			t.Fatal(err)
		}
		story.add(event)
	}
	if (err == nil) != (story.cause == nil) {
		t.Fatalf("the workflow ended with %v, the operation with %v", err, story.cause)
	}
	return story
}

func (story *Story) add(event *history.HistoryEvent) {
	kind, ours := strings.CutPrefix(event.GetEventType().String(), "NexusOperation")
	if !ours {
		return
	}
	story.events = append(story.events, kind)
	story.token += event.GetNexusOperationStartedEventAttributes().GetOperationToken()
	for _, end := range []interface{ GetFailure() *failure.Failure }{
		event.GetNexusOperationFailedEventAttributes(),
		event.GetNexusOperationCanceledEventAttributes(),
		event.GetNexusOperationTimedOutEventAttributes(),
	} {
		if failure := end.GetFailure(); failure != nil {
			story.cause = failure.GetCause()
		}
	}
}

// went fails the test unless the operation went through these stages. When the receipt of a request
// to cancel is recorded depends on what comes first, it or the end.
func (story Story) went(t *testing.T, stages string) {
	t.Helper()
	var seen []string
	for _, event := range story.events {
		if event != "CancelRequestCompleted" {
			seen = append(seen, event)
		}
	}
	if strings.Join(seen, " ") != stages {
		t.Fatalf("it went %v, not %s: %v", story.events, stages, story.cause)
	}
}
