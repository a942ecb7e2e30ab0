package temporal

import (
	"context"
	"reflect"
	"testing"
	"time"

	"github.com/nexus-rpc/sdk-go/nexus"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/temporalnexus"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
)

// Greet is an operation that ends at once, as it is told.
func Greet(_ context.Context, ask fields, _ nexus.StartOperationOptions) (fields, error) {
	switch ask["outcome"] {
	case "failed":
		return nil, nexus.NewOperationFailedErrorf("boom")
	case "canceled":
		return nil, nexus.NewOperationCanceledErrorf("not today")
	case "refused":
		return nil, nexus.NewHandlerErrorf(nexus.HandlerErrorTypeBadRequest, "no")
	}
	return fields{"hello": ask["name"]}, nil
}

// Work is the workflow behind an operation that takes its time.
func Work(ctx workflow.Context, ask fields) (fields, error) {
	if ask["outcome"] == "never" {
		return nil, workflow.Sleep(ctx, time.Hour)
	}
	if err := workflow.Sleep(ctx, 100*time.Millisecond); err != nil {
		return nil, err
	}
	if ask["outcome"] == "failed" {
		return nil, temporal.NewNonRetryableApplicationError("boom", "BadThing", nil)
	}
	return fields{"hello": ask["name"]}, nil
}

func handle(worker worker.Registry) {
	service := nexus.NewService("greeter")
	service.MustRegister(
		nexus.NewSyncOperation("greet", Greet),
		temporalnexus.NewWorkflowRunOperation("work", Work, func(
			_ context.Context, _ fields, options nexus.StartOperationOptions,
		) (client.StartWorkflowOptions, error) {
			return client.StartWorkflowOptions{ID: "work-" + options.RequestID}, nil
		}),
	)
	worker.RegisterNexusService(service)
	worker.RegisterWorkflow(Work)
}

// Out of Temporal to opgate, and from there to a handler in Temporal: both faces, both callbacks.
func TestThereAndBackAgain(t *testing.T) {
	for _, operation := range []string{"greet", "work"} {
		story := tell(t, Ask{Service: "greeter", Operation: operation, Input: fields{"name": "é"}})
		if want := (fields{"hello": "é"}); !reflect.DeepEqual(story.result, want) {
			t.Fatal(operation, story)
		}
	}
}

func TestAFailureOfAHandlerInTemporal(t *testing.T) {
	for _, operation := range []string{"greet", "work"} {
		story := tell(t, Ask{Service: "greeter", Operation: operation, Input: fields{"outcome": "failed"}})
		if story.events[len(story.events)-1] != "Failed" || story.cause.GetMessage() != "boom" {
			t.Fatal(operation, story)
		}
	}
}

func TestAHandlerInTemporalRefuses(t *testing.T) {
	story := tell(t, Ask{Service: "greeter", Operation: "greet", Input: fields{"outcome": "refused"}})
	if story.events[len(story.events)-1] != "Failed" || story.cause.GetMessage() != "no" {
		t.Fatal(story)
	}
}

func TestCancelReachesAWorkflowBehindOpgate(t *testing.T) {
	story := tell(t, Ask{Service: "greeter", Operation: "work",
		Input: fields{"outcome": "never"}, Cancel: true})
	story.went(t, "Scheduled Started CancelRequested Canceled")
	if story.cause.GetCanceledFailureInfo() == nil {
		t.Fatal(story.cause)
	}
}
