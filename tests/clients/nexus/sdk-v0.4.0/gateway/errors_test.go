package gateway

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/nexus-rpc/sdk-go/nexus"
)

func TestARefusedStartIsAHandlerErrorOfItsKind(t *testing.T) {
	against(t, "itself showcase", func(t *testing.T, target target) {
		for kind, wanted := range map[string]struct {
			kind      nexus.HandlerErrorType
			retryable bool
		}{
			"INVALID_ARGUMENT":  {nexus.HandlerErrorTypeBadRequest, false},
			"UNAUTHENTICATED":   {nexus.HandlerErrorTypeUnauthenticated, false},
			"PERMISSION_DENIED": {nexus.HandlerErrorTypeUnauthorized, false},
			"NOT_FOUND":         {nexus.HandlerErrorTypeNotFound, false},
			"TOO_MANY_REQUESTS": {nexus.HandlerErrorTypeResourceExhausted, true},
			"INTERNAL":          {nexus.HandlerErrorTypeInternal, true},
			"UNSUPPORTED":       {nexus.HandlerErrorTypeNotImplemented, false},
			"UNAVAILABLE":       {nexus.HandlerErrorTypeUnavailable, true},
		} {
			t.Run(kind, func(t *testing.T) {
				told := instruction{Kind: kind, Message: "no: " + kind}
				_, err := target.client(t).StartOperation(within(t), "error", told, nexus.StartOperationOptions{})
				refused := handlerError(t, err)
				equal(t, "type", refused.Type, wanted.kind)
				equal(t, "retryable", refused.Retryable(), wanted.retryable)
				equal(t, "message", refused.Cause.Error(), told.Message)
			})
		}
	})
}

// What a repeat cannot cure must never look as if it could: callers would repeat it for hours.
func TestWhatARepeatCannotCureIsSaidToBeSo(t *testing.T) {
	daemonOnly(t)
	for kind, wanted := range map[string]nexus.HandlerErrorType{
		"QUOTA_EXCEEDED":      nexus.HandlerErrorTypeResourceExhausted,
		"DATA_LOSS":           nexus.HandlerErrorTypeInternal,
		"FAILED_PRECONDITION": nexus.HandlerErrorTypeBadRequest,
		"OUT_OF_RANGE":        nexus.HandlerErrorTypeBadRequest,
		"PAYLOAD_TOO_LARGE":   nexus.HandlerErrorTypeBadRequest,
	} {
		t.Run(kind, func(t *testing.T) {
			_, err := showcase(t).client(t).StartOperation(
				within(t), "error", instruction{Kind: kind}, nexus.StartOperationOptions{})
			refused := handlerError(t, err)
			equal(t, "type", refused.Type, wanted)
			equal(t, "retryable", refused.Retryable(), false)
		})
	}
}

// The failure as it came over the wire.
func wireFailure(t *testing.T, err error) nexus.Failure {
	t.Helper()
	var came *nexus.FailureError
	if !errors.As(err, &came) {
		t.Fatalf("no failure: %v", err)
	}
	return came.Failure
}

// Later SDKs, and Temporal from 1.31 on, read what a failure is from its tag, and choke on a tag
// without details; the earlier read the status and headers. Both have to be there, and to agree.
func TestErrorsAreTaggedForLaterReaders(t *testing.T) {
	daemonOnly(t)
	client, wire := showcase(t).watched(t)
	for operation, state := range map[string]string{"fail": "failed", "cancel": "canceled"} {
		_, err := client.StartOperation(within(t), operation, instruction{}, nexus.StartOperationOptions{})
		failure := wireFailure(t, err)
		equal(t, "tag", failure.Metadata["type"], "nexus.OperationError")
		var details struct{ State string }
		if err := json.Unmarshal(failure.Details, &details); err != nil {
			t.Fatal(err)
		}
		equal(t, "state", details.State, state)
	}
	for kind, wanted := range map[string]nexus.HandlerErrorType{
		"NOT_FOUND": nexus.HandlerErrorTypeNotFound, "UNAVAILABLE": nexus.HandlerErrorTypeUnavailable,
		"QUOTA_EXCEEDED": nexus.HandlerErrorTypeResourceExhausted,
	} {
		_, err := client.StartOperation(within(t), "error", instruction{Kind: kind}, nexus.StartOperationOptions{})
		refused := handlerError(t, err)
		failure := wireFailure(t, err)
		equal(t, "tag", failure.Metadata["type"], "nexus.HandlerError")
		var details struct {
			Type              nexus.HandlerErrorType
			RetryableOverride *bool
		}
		if err := json.Unmarshal(failure.Details, &details); err != nil {
			t.Fatal(err)
		}
		equal(t, "type", details.Type, wanted)
		// The tag's word on retrying, or that of the type, against the header's.
		later := nexus.HandlerError{Type: details.Type}
		if details.RetryableOverride != nil {
			later.RetryBehavior = nexus.HandlerErrorRetryBehaviorNonRetryable
			if *details.RetryableOverride {
				later.RetryBehavior = nexus.HandlerErrorRetryBehaviorRetryable
			}
		}
		equal(t, "retryable", later.Retryable(), refused.Retryable())
		equal(t, "content type", wire.last().header.Get("Content-Type"), "application/json")
	}
}

func TestAFailureComesBackWithAllItsParts(t *testing.T) {
	against(t, "itself behind", func(t *testing.T, target target) {
		sent := &nexus.Failure{
			Message: "no such scene: ü", Metadata: map[string]string{"type": "acme.v1.Trouble", "at": "line 7"},
			Details: raw(`{"scene":12345678901234567890,"take":1.50}`),
		}
		handle := begin(t, target.client(t), "run", instruction{Outcome: "failed", Failure: sent})
		came := wireFailure(t, failure(t, handle))
		equal(t, "message", came.Message, sent.Message)
		equal(t, "details", string(came.Details), string(sent.Details))
		equal(t, "metadata", len(came.Metadata), 2)
		for name, value := range sent.Metadata {
			equal(t, name, came.Metadata[name], value)
		}
	})
}
