package gateway

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nexus-rpc/sdk-go/nexus"

	"opgate/tests/clients/nexus/sdk-v0.4.0/upstream"
)

// Longer than anything takes, so that only a hang is cut short by it.
const patience = time.Minute

// A Nexus service with the showcase's operations.
type target struct {
	base, service string
}

var (
	// opgate's own showcase.
	showcase = func(t *testing.T) target { return target{"http://" + env(t, "OPGATE_HTTP") + "/nexus", "showcase"} }
	// The SDK's handler behind opgate.
	behind = func(t *testing.T) target { return target{"http://" + env(t, "OPGATE_HTTP") + "/nexus", "upstream"} }
	// The SDK's handler, in this process.
	itself = func(t *testing.T) target {
		server := httptest.NewServer(nexus.NewHTTPHandler(nexus.HandlerOptions{
			Handler: upstream.New(),
			// As short as the daemon's, so that a long wait takes several polls.
			GetResultTimeout: time.Second,
		}))
		t.Cleanup(server.Close)
		return target{server.URL, "showcase"}
	}
)

func env(t *testing.T, name string) string {
	t.Helper()
	value := os.Getenv(name)
	if value == "" {
		t.Fatalf("%s is not set: start this through the Rust suite, or with -short", name)
	}
	return value
}

// Runs a case against targets that start and end operations asynchronously or at once, as told.
func against(t *testing.T, names string, test func(t *testing.T, target target)) {
	t.Helper()
	t.Parallel()
	makers := map[string]func(*testing.T) target{"itself": itself, "showcase": showcase, "behind": behind}
	for _, name := range strings.Fields(names) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if testing.Short() && name != "itself" {
				t.Skip("only the SDK's own handler with -short")
			}
			test(t, makers[name](t))
		})
	}
}

// A case that asks for what the daemon alone has.
func daemonOnly(t *testing.T) {
	t.Helper()
	t.Parallel()
	if testing.Short() {
		t.Skip("there is no daemon with -short")
	}
}

// What went over the wire, one entry for each request.
type exchange struct {
	method, path string
	request      http.Header
	status       int
	header       http.Header
	body         string
}

type wire struct {
	exchanges []exchange
}

func (w *wire) call(request *http.Request) (*http.Response, error) {
	reply, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(reply.Body)
	reply.Body.Close()
	if err != nil {
		return nil, err
	}
	reply.Body = io.NopCloser(strings.NewReader(string(body)))
	w.exchanges = append(w.exchanges, exchange{
		request.Method, request.URL.RequestURI(), request.Header, reply.StatusCode, reply.Header, string(body),
	})
	return reply, nil
}

func (w *wire) last() exchange {
	return w.exchanges[len(w.exchanges)-1]
}

func (w *wire) statuses() []int {
	var statuses []int
	for _, exchange := range w.exchanges {
		statuses = append(statuses, exchange.status)
	}
	return statuses
}

func (s target) client(t *testing.T, options ...func(*nexus.HTTPClientOptions)) *nexus.HTTPClient {
	t.Helper()
	chosen := nexus.HTTPClientOptions{BaseURL: s.base, Service: s.service}
	for _, option := range options {
		option(&chosen)
	}
	client, err := nexus.NewHTTPClient(chosen)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// A client whose requests and replies can be looked at.
func (s target) watched(t *testing.T, options ...func(*nexus.HTTPClientOptions)) (*nexus.HTTPClient, *wire) {
	t.Helper()
	seen := &wire{}
	return s.client(t, append(options, func(o *nexus.HTTPClientOptions) { o.HTTPCaller = seen.call })...), seen
}

// The older form of the protocol, with the operation's id in the path.
func byID(options *nexus.HTTPClientOptions) {
	options.UseOperationID = true
}

// A context that ends a hang. It is not the context's deadline the SDK would send along: see the
// cases of Request-Timeout for that.
func within(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	timer := time.AfterFunc(patience, cancel)
	t.Cleanup(func() { timer.Stop(); cancel() })
	return ctx
}

type instruction = upstream.Instruction

// Starts an operation that must turn out asynchronous.
func begin(t *testing.T, client *nexus.HTTPClient, operation string, told instruction) *nexus.OperationHandle[*nexus.LazyValue] {
	t.Helper()
	return beginWith(t, client, operation, told, nexus.StartOperationOptions{})
}

func beginWith(
	t *testing.T, client *nexus.HTTPClient, operation string, told any, options nexus.StartOperationOptions,
) *nexus.OperationHandle[*nexus.LazyValue] {
	t.Helper()
	started, err := client.StartOperation(within(t), operation, told, options)
	if err != nil {
		t.Fatal(err)
	}
	if started.Pending == nil {
		t.Fatalf("%s ended at once", operation)
	}
	return started.Pending
}

// The result as bytes, and its content headers.
func read(t *testing.T, value *nexus.LazyValue) (string, nexus.Header) {
	t.Helper()
	defer value.Reader.Close()
	data, err := io.ReadAll(value.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return string(data), value.Reader.Header
}

// Waits for the end; the result as text.
func result(t *testing.T, handle *nexus.OperationHandle[*nexus.LazyValue]) string {
	t.Helper()
	value, err := handle.GetResult(within(t), nexus.GetOperationResultOptions{Wait: patience})
	if err != nil {
		t.Fatal(err)
	}
	text, _ := read(t, value)
	return text
}

// Waits for an end that is not a success.
func failure(t *testing.T, handle *nexus.OperationHandle[*nexus.LazyValue]) *nexus.OperationError {
	t.Helper()
	_, err := handle.GetResult(within(t), nexus.GetOperationResultOptions{Wait: patience})
	return operationError(t, err)
}

func operationError(t *testing.T, err error) *nexus.OperationError {
	t.Helper()
	var ended *nexus.OperationError
	if !errors.As(err, &ended) {
		t.Fatalf("no operation error: %v", err)
	}
	return ended
}

func handlerError(t *testing.T, err error) *nexus.HandlerError {
	t.Helper()
	var refused *nexus.HandlerError
	if !errors.As(err, &refused) {
		t.Fatalf("no handler error: %#v", err)
	}
	return refused
}

func equal[T comparable](t *testing.T, what string, found, wanted T) {
	t.Helper()
	if found != wanted {
		t.Errorf("%s: found %v, wanted %v", what, found, wanted)
	}
}

func raw(text string) []byte { return []byte(text) }
