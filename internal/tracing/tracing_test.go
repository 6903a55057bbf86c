package tracing_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/go-chi/chi/v5"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/goleak"

	"github.com/activemessage/activemessage/api"
	"github.com/activemessage/activemessage/engine"
	"github.com/activemessage/activemessage/internal/tracing"
)

// TestMain fails the package if a test leaves a goroutine behind.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

// start returns an engine whose spans are recorded, and what drains it.
func start(t *testing.T) (*engine.Engine, *tracing.Tracing, *tracetest.SpanRecorder) {
	t.Helper()
	recorder := tracetest.NewSpanRecorder()
	traces, err := tracing.New(t.Context(), recorder, "test")
	if err != nil {
		t.Fatal(err)
	}
	e, err := engine.New(engine.Config{Observer: traces})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(e.Drain(context.Background()), traces.Shutdown(context.Background())); err != nil {
			t.Error(err)
		}
	})
	return e, traces, recorder
}

// A message's spans are one trace, which the submitter began: submit, below it
// queue and run, below that what the handler does, and publish.
func TestAMessageIsOneTrace(t *testing.T) {
	t.Parallel()
	e, _, recorder := start(t)
	var inHandler trace.SpanContext
	err := e.Register("work", engine.HandlerFunc(func(ctx context.Context, m *engine.Message) (engine.Result, error) {
		inHandler = trace.SpanContextFromContext(ctx)
		if m.Attempt == 1 {
			return engine.Result{}, engine.Snooze(0)
		}
		return engine.Result{}, nil
	}), engine.Policy{})
	if err != nil {
		t.Fatal(err)
	}
	sub, err := e.Subscribe(engine.Selector{ResponseNotification: "*"}, engine.Cursor{})
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Close()
	event := &engine.CloudEvent{ID: "1", Source: "/a", Type: "work"}
	_, err = e.Submit(t.Context(), engine.Submission{
		MessageType: "work", ResponseNotification: "p", Origin: &engine.Origin{Traceparent: parent, CloudEvent: event},
	})
	if err != nil {
		t.Fatal(err)
	}
	d, err := sub.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if o := d.Notifications[0].Origin; !strings.HasPrefix(o.Traceparent, parent[:36]) || o.CloudEvent != event {
		t.Errorf("origin %+v", o)
	}
	if err := e.Drain(t.Context()); err != nil { // awaits the last span
		t.Fatal(err)
	}
	spans := make(map[string]sdktrace.ReadOnlySpan)
	var names []string
	for _, span := range recorder.Ended() {
		if got := span.SpanContext().TraceID().String(); got != parent[3:35] {
			t.Errorf("%s is of trace %s", span.Name(), got)
		}
		spans[span.Name()] = span
		names = append(names, span.Name())
	}
	slices.Sort(names)
	if got := strings.Join(names, ","); got != "publish work,queue work,queue work,run work,run work,submit work" {
		t.Errorf("spans %s", got)
	}
	if got := inHandler.SpanID(); got != spans["run work"].SpanContext().SpanID() {
		t.Errorf("the handler runs in span %s", got)
	}
	for child, expected := range map[string]string{"submit work": "", "queue work": "submit work", "run work": "submit work", "publish work": "run work"} {
		got := spans[child].Parent().SpanID()
		if expected == "" && got.String() != parent[36:52] || expected != "" && got != spans[expected].SpanContext().SpanID() {
			t.Errorf("%s is below %s", child, got)
		}
	}
}

func TestRequestsAreSpansExceptStreams(t *testing.T) {
	t.Parallel()
	_, traces, recorder := start(t)
	r := chi.NewRouter()
	r.Use(traces.Middleware)
	ok := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }
	r.Get("/v1/messages/{id}", ok)
	r.Get("/v1/notifications", ok)
	r.Get("/livez", ok)
	for _, path := range []string{"/v1/messages/17", "/v1/notifications", "/livez"} {
		request := httptest.NewRequest(http.MethodGet, path, nil)
		request.Header.Set("Traceparent", parent)
		r.ServeHTTP(httptest.NewRecorder(), request)
	}
	spans := recorder.Ended()
	if len(spans) != 1 || spans[0].Name() != "GET /v1/messages/{id}" || spans[0].Parent().SpanID().String() != parent[36:52] {
		t.Errorf("%d spans, the first %s below %s", len(spans), spans[0].Name(), spans[0].Parent().SpanID())
	}
}

func TestTheEnvironmentDecides(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		variables map[string]string
		on        bool
		words     string
	}{
		{nil, false, ""},
		{map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}, true, ""},
		{map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:1"}, true, ""},
		{map[string]string{"OTEL_TRACES_EXPORTER": "otlp"}, true, ""},
		{map[string]string{"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}, false, ""},
		{map[string]string{"OTEL_SDK_DISABLED": "true", "OTEL_TRACES_EXPORTER": "otlp"}, false, ""},
		{map[string]string{"OTEL_TRACES_EXPORTER": "zipkin"}, false, "zipkin"},
		{map[string]string{"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, false, "http/protobuf"},
	} {
		traces, err := tracing.FromEnvironment(t.Context(), func(name string) string { return c.variables[name] }, "test")
		if (traces != nil) != c.on || (err == nil) != (c.words == "") || err != nil && !strings.Contains(err.Error(), c.words) {
			t.Errorf("%v: %v, %v", c.variables, traces, err)
		}
		if traces != nil {
			if err := traces.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
		}
	}
}

// Tracing does not change what is accepted, and makes no span of what is invalid.
func TestTracingChangesNoAnswer(t *testing.T) {
	t.Parallel()
	e, traces, recorder := start(t)
	echo := engine.HandlerFunc(func(context.Context, *engine.Message) (engine.Result, error) { return engine.Result{}, nil })
	if err := e.Register("work", echo, engine.Policy{}); err != nil {
		t.Fatal(err)
	}
	h, err := api.New(e, api.Config{Middleware: []func(http.Handler) http.Handler{traces.Middleware}})
	if err != nil {
		t.Fatal(err)
	}
	long := "a=" + strings.Repeat("x", 250) + ",b=" + strings.Repeat("y", 250) + ",c=" + strings.Repeat("z", 100)
	for _, c := range []struct {
		body   string
		status int
	}{
		{`{"message_type":"work"}`, http.StatusAccepted},
		{`{"message_type":"` + strings.Repeat("x", 1<<20) + `"}`, http.StatusUnprocessableEntity},
	} {
		r := httptest.NewRequest(http.MethodPost, "/v1/messages", strings.NewReader(c.body))
		r.Header.Set("Traceparent", parent)
		r.Header.Set("Tracestate", long)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != c.status {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	}
	for _, span := range recorder.Ended() {
		if len(span.Name()) > 200 {
			t.Errorf("a span's name has %d bytes", len(span.Name()))
		}
	}
}
