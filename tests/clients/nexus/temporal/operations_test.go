package temporal

import (
	"context"
	"reflect"
	"testing"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/failure/v1"
)

// failed fails the test unless the cause is a failure of the operation with this message, which
// Temporal does not take for its own.
func failed(t *testing.T, cause *failure.Failure, message string) {
	t.Helper()
	kind := cause.GetApplicationFailureInfo()
	if cause.GetMessage() != message || kind.GetType() != "OperationError" || !kind.GetNonRetryable() {
		t.Fatal(cause)
	}
}

// refused fails the test unless the cause is an error of the handler, of this type.
func refused(t *testing.T, cause *failure.Failure, kind string) {
	t.Helper()
	if cause.GetNexusHandlerFailureInfo().GetType() != kind {
		t.Fatal(cause)
	}
}

func TestWhatHasEndedAtOnceWasNeverStarted(t *testing.T) {
	want := fields{"a": "b"}
	story := tell(t, Ask{Service: "showcase", Operation: "echo", Input: want})
	story.went(t, "Scheduled Completed")
	if !reflect.DeepEqual(story.result, want) {
		t.Fatal(story.result)
	}
	story = tell(t, Ask{Service: "showcase", Operation: "fail", Input: fields{"message": "boom"}})
	story.went(t, "Scheduled Failed")
	failed(t, story.cause, "boom")
	story = tell(t, Ask{Service: "showcase", Operation: "cancel", Input: fields{"message": "not today"}})
	story.went(t, "Scheduled Canceled")
	if story.cause.GetMessage() != "not today" || story.cause.GetCanceledFailureInfo() == nil {
		t.Fatal(story.cause)
	}
}

func TestAResultComesByCallback(t *testing.T) {
	want := fields{"text": "é", "list": []any{1.0, nil}}
	story := tell(t, Ask{Service: "showcase", Operation: "run",
		Input: fields{"duration": "300ms", "result": want}})
	story.went(t, "Scheduled Started Completed")
	if story.token == "" || !reflect.DeepEqual(story.result, want) {
		t.Fatal(story)
	}
}

func TestAFailureComesByCallback(t *testing.T) {
	story := tell(t, Ask{Service: "showcase", Operation: "run",
		Input: fields{"duration": "300ms", "outcome": "failed", "message": "boom"}})
	story.went(t, "Scheduled Started Failed")
	failed(t, story.cause, "boom")
}

func TestAWorkflowCancels(t *testing.T) {
	story := tell(t, Ask{Service: "showcase", Operation: "sleep",
		Input: fields{"duration": "1h"}, Cancel: true})
	story.went(t, "Scheduled Started CancelRequested Canceled")
	if story.cause.GetCanceledFailureInfo() == nil {
		t.Fatal(story.cause)
	}
}

func TestAnOperationThatTakesTooLong(t *testing.T) {
	story := tell(t, Ask{Service: "showcase", Operation: "sleep",
		Input: fields{"duration": "1h"}, Timeout: 15 * time.Second})
	story.went(t, "Scheduled Started TimedOut")
	kind := story.cause.GetTimeoutFailureInfo().GetTimeoutType()
	if kind != enums.TIMEOUT_TYPE_SCHEDULE_TO_CLOSE {
		t.Fatal(story.cause)
	}
}

func TestARefusedStartIsNotRepeated(t *testing.T) {
	story := tell(t, Ask{Service: "showcase", Operation: "error",
		Input: fields{"kind": "INVALID_ARGUMENT", "message": "no"}})
	story.went(t, "Scheduled Failed")
	refused(t, story.cause, "BAD_REQUEST")
	if story.cause.GetMessage() != "no" {
		t.Fatal(story.cause)
	}
	story = tell(t, Ask{Service: "showcase", Operation: "nowhere"})
	story.went(t, "Scheduled Failed")
	refused(t, story.cause, "NOT_FOUND")
}

func TestAStartThatIsRefusedForNowIsRepeated(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	run := begin(t, ctx, Ask{Service: "showcase", Operation: "error",
		Input: fields{"kind": "UNAVAILABLE", "message": "later"}})
	for {
		seen, err := at.DescribeWorkflowExecution(ctx, run.GetID(), run.GetRunID())
		if err != nil {
			t.Fatal(err)
		}
		if calls := seen.GetPendingNexusOperations(); len(calls) == 1 && calls[0].GetAttempt() > 1 {
			refused(t, calls[0].GetLastAttemptFailure(), "UNAVAILABLE")
			break
		}
	}
	if err := at.TerminateWorkflow(ctx, run.GetID(), run.GetRunID(), "seen"); err != nil {
		t.Fatal(err)
	}
}
