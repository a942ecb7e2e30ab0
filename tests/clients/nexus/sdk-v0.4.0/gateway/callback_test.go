package gateway

import (
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nexus-rpc/sdk-go/nexus"
)

func TestACallbackTellsTheEnd(t *testing.T) {
	against(t, "itself showcase behind", func(t *testing.T, target target) {
		receiver := receive(t)
		// As Temporal's are: a query, escapes of its own, and a token with quotes and braces.
		options := nexus.StartOperationOptions{
			CallbackURL: receiver.url + "/namespaces/a%2Fb/callback?x=1&y=%7E%20z",
			CallbackHeader: nexus.Header{
				"temporal-callback-token": `{"v":1,"d":"AAAA=="}`, "authorization": "Bearer of the caller's own",
			},
		}
		client, wire := target.watched(t)
		for state, told := range map[nexus.OperationState]instruction{
			nexus.OperationStateSucceeded: {Duration: "50ms", Result: raw(`{"n":1.5}`)},
			nexus.OperationStateFailed:    {Duration: "50ms", Outcome: "failed", Message: "no such scene: ü"},
			nexus.OperationStateCanceled:  {Duration: "50ms", Outcome: "canceled", Message: "stopped"},
		} {
			before := time.Now().Truncate(time.Second)
			handle := beginWith(t, client, "run", told, options)
			links := wire.last().header.Values("Nexus-Link")
			got := receiver.next(t)

			equal(t, "state", got.state, state)
			equal(t, "token", got.token, handle.Token)
			equal(t, "id", got.id, handle.Token)
			equal(t, "URL", got.uri, "/namespaces/a%2Fb/callback?x=1&y=%7E%20z")
			for name, value := range options.CallbackHeader {
				equal(t, name, got.header.Get(name), value)
			}
			if got.started.Before(before) || got.started.After(time.Now()) {
				t.Errorf("started at %v, not after %v", got.started, before)
			}
			// And whatever was learnt since.
			for _, link := range links {
				if !slices.Contains(got.header.Values("Nexus-Link"), link) {
					t.Errorf("%s is not among %q", link, got.header.Values("Nexus-Link"))
				}
			}
			if state == nexus.OperationStateSucceeded {
				equal(t, "result", got.result, string(told.Result))
				equal(t, "type", got.content["type"], "application/json")
			} else {
				equal(t, "message", got.failure.Error(), told.Message)
			}
		}
	})
}

func TestACallbackOfAnOperationThatWasCanceled(t *testing.T) {
	against(t, "itself showcase behind", func(t *testing.T, target target) {
		receiver := receive(t)
		handle := beginWith(t, target.client(t), "run", instruction{Hold: true},
			nexus.StartOperationOptions{CallbackURL: receiver.url})
		if err := handle.Cancel(within(t), nexus.CancelOperationOptions{}); err != nil {
			t.Fatal(err)
		}
		got := receiver.next(t)
		equal(t, "state", got.state, nexus.OperationStateCanceled)
		equal(t, "token", got.token, handle.Token)
	})
}

func TestACallbackWithoutAResultHasNeitherContentNorType(t *testing.T) {
	against(t, "itself showcase behind", func(t *testing.T, target target) {
		receiver := receive(t)
		beginWith(t, target.client(t), "run", instruction{Duration: "50ms"},
			nexus.StartOperationOptions{CallbackURL: receiver.url})
		got := receiver.next(t)
		equal(t, "state", got.state, nexus.OperationStateSucceeded)
		equal(t, "result", got.result, "")
		equal(t, "type", got.header.Get("Content-Type"), "")
	})
}

func TestACallbackSaysWhenTheOperationEnded(t *testing.T) {
	// The SDK of this version does not.
	against(t, "showcase behind", func(t *testing.T, target target) {
		receiver := receive(t)
		beginWith(t, target.client(t), "run", instruction{Duration: "50ms"},
			nexus.StartOperationOptions{CallbackURL: receiver.url})
		got := receiver.next(t)
		closed, err := time.Parse(time.RFC3339Nano, got.header.Get("Nexus-Operation-Close-Time"))
		if err != nil {
			t.Fatal(err)
		}
		if closed.Before(got.started) || closed.After(time.Now()) {
			t.Errorf("started %v, closed %v", got.started, closed)
		}
	})
}

func TestWhatTheCallerAsksForMustNotForgeTheCallback(t *testing.T) {
	against(t, "showcase", func(t *testing.T, target target) {
		receiver := receive(t)
		handle := beginWith(t, target.client(t), "run", instruction{Duration: "50ms", Result: raw(`1`)},
			nexus.StartOperationOptions{CallbackURL: receiver.url, CallbackHeader: nexus.Header{
				"host": "elsewhere.example", "connection": "close, authorization", "content-type": "text/forged",
				"nexus-operation-state": "failed", "transfer-encoding": "gzip", "mine": "kept",
			}})
		got := receiver.next(t)
		equal(t, "state", got.state, nexus.OperationStateSucceeded)
		equal(t, "token", got.token, handle.Token)
		equal(t, "type", got.content["type"], "application/json")
		equal(t, "result", got.result, "1")
		equal(t, "mine", got.header.Get("Mine"), "kept")
	})
}

func TestARefusedCallbackIsSentAgainIfThatMayHelp(t *testing.T) {
	against(t, "showcase", func(t *testing.T, target target) {
		receiver := receive(t,
			nexus.HandlerErrorf(nexus.HandlerErrorTypeUnavailable, "not just now"),
			nexus.HandlerErrorf(nexus.HandlerErrorTypeInternal, "nor now"))
		handle := beginWith(t, target.client(t), "run", instruction{Duration: "50ms", Result: raw(`"the same"`)},
			nexus.StartOperationOptions{CallbackURL: receiver.url})
		for attempt := 1; attempt <= 3; attempt++ {
			got := receiver.next(t)
			equal(t, "token", got.token, handle.Token)
			equal(t, "result", got.result, `"the same"`)
		}
	})
}

func TestRepeatedStartsHaveOneCallback(t *testing.T) {
	against(t, "itself showcase", func(t *testing.T, target target) {
		receiver := receive(t)
		client := target.client(t)
		options := nexus.StartOperationOptions{CallbackURL: receiver.url, RequestID: uuid.NewString()}
		told := instruction{Hold: true}
		handle := beginWith(t, client, "run", told, options)
		for range 3 {
			equal(t, "token", beginWith(t, client, "run", told, options).Token, handle.Token)
		}
		if err := handle.Cancel(within(t), nexus.CancelOperationOptions{}); err != nil {
			t.Fatal(err)
		}
		equal(t, "token", receiver.next(t).token, handle.Token)
		// Were there another one for it, it would come before that of a later operation.
		later := beginWith(t, client, "run", instruction{Duration: "300ms"},
			nexus.StartOperationOptions{CallbackURL: receiver.url})
		equal(t, "later", receiver.next(t).token, later.Token)
	})
}

// An operation that ended with its start has told its caller already.
func TestAnAnswerAtOnceHasNoCallback(t *testing.T) {
	against(t, "itself showcase", func(t *testing.T, target target) {
		receiver := receive(t)
		client := target.client(t)
		options := nexus.StartOperationOptions{CallbackURL: receiver.url}
		if _, err := client.StartOperation(within(t), "echo", "at once", options); err != nil {
			t.Fatal(err)
		}
		_, err := client.StartOperation(within(t), "fail", instruction{}, options)
		equal(t, "state", operationError(t, err).State, nexus.OperationStateFailed)
		later := beginWith(t, client, "run", instruction{Duration: "300ms"}, options)
		equal(t, "token", receiver.next(t).token, later.Token)
	})
}

func TestALargeResultIsCalledBackByteForByte(t *testing.T) {
	against(t, "showcase behind", func(t *testing.T, target target) {
		receiver := receive(t)
		text := `"` + string(letters(900<<10)) + `"`
		beginWith(t, target.client(t), "run", instruction{Duration: "50ms", Result: raw(text)},
			nexus.StartOperationOptions{CallbackURL: receiver.url})
		if got := receiver.next(t); got.result != text {
			t.Errorf("%d bytes came of %d", len(got.result), len(text))
		}
	})
}

func letters(length int) []byte {
	letters := noise(length)
	for index := range letters {
		letters[index] = 'a' + letters[index]%26
	}
	return letters
}

// The suite's daemon may call back to loopback, and nowhere else.
func TestACallbackToWhereNoneMayGoRefusesTheStart(t *testing.T) {
	daemonOnly(t)
	for _, address := range []string{
		"http://169.254.169.254/latest", "http://10.0.0.1/cb", "http://192.0.2.1/cb", "http://[fe80::1]/cb",
		"http://elsewhere.example/cb", "ftp://127.0.0.1/cb", "http://user:secret@127.0.0.1/cb", "nonsense", "/relative",
	} {
		t.Run(url.PathEscape(address), func(t *testing.T) {
			client := showcase(t).client(t)
			_, err := client.StartOperation(within(t), "run", instruction{Hold: true},
				nexus.StartOperationOptions{CallbackURL: address})
			refused := handlerError(t, err)
			equal(t, "type", refused.Type, nexus.HandlerErrorTypeBadRequest)
			equal(t, "retryable", refused.Retryable(), false)
		})
	}
}

// A receiver that says the operation is none of its own any more is not asked again.
func TestARefusalThatIsFinalEndsTheDelivery(t *testing.T) {
	daemonOnly(t)
	receiver := receive(t, nexus.HandlerErrorf(nexus.HandlerErrorTypeNotFound, "closed already"))
	client := showcase(t).client(t)
	options := nexus.StartOperationOptions{CallbackURL: receiver.url}
	first := beginWith(t, client, "run", instruction{Duration: "50ms"}, options)
	equal(t, "first", receiver.next(t).token, first.Token)
	// Longer than the pause before a second attempt (callbacks.first is 100ms here).
	second := beginWith(t, client, "run", instruction{Duration: "1s"}, options)
	equal(t, "second", receiver.next(t).token, second.Token)
}
