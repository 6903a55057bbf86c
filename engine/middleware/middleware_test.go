package middleware_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/goleak"

	"github.com/activemessage/activemessage/engine"
	"github.com/activemessage/activemessage/engine/enginetest"
	"github.com/activemessage/activemessage/engine/middleware"
)

// TestMain fails the package if a test leaves a goroutine behind.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func returns(err error) engine.Handler {
	return engine.HandlerFunc(func(context.Context, *engine.Message) (engine.Result, error) { return engine.Result{}, err })
}

func panics(context.Context, *engine.Message) (engine.Result, error) {
	panic(errBad)
}

var errBad = errors.New("bad")

// Each attempt has its line, at the level of what it came to.
func TestLogging(t *testing.T) {
	t.Parallel()
	for expected, h := range map[string]engine.Handler{
		`level=INFO msg="handler succeeded"`:                  returns(nil),
		`level=WARN msg="handler failed" error=bad`:           returns(errBad),
		`level=INFO msg="handler put the message off"`:        returns(engine.Snooze(time.Hour)),
		`level=ERROR msg="handler crashed"`:                   engine.HandlerFunc(panics),
		`level=WARN msg="handler failed" error="handler cras`: engine.Chain(engine.HandlerFunc(panics), middleware.Recover()),
	} {
		var b bytes.Buffer
		logger := slog.New(slog.NewTextHandler(&b, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == "time" || a.Key == "duration" || a.Key == "id" {
				return slog.Attr{}
			}
			return a
		}}))
		enginetest.Once(t, middleware.Logging(logger)(h), engine.Submission{}, engine.Policy{})
		line := strings.Replace(b.String(), " message_type=test attempt=1", "", 1)
		if !strings.HasPrefix(line, expected) || strings.Count(line, "\n") != 1 {
			t.Errorf("%s, expected %s", b.String(), expected)
		}
	}
}

// A panic is an error outside of Recover, with its stack; clients are told the same.
func TestRecover(t *testing.T) {
	t.Parallel()
	var seen error
	spy := func(next engine.Handler) engine.Handler {
		return engine.HandlerFunc(func(ctx context.Context, m *engine.Message) (engine.Result, error) {
			result, err := next.Handle(ctx, m)
			seen = err
			return result, err
		})
	}
	o := enginetest.Once(t, engine.Chain(engine.HandlerFunc(panics), spy, middleware.Recover()), engine.Submission{}, engine.Policy{})
	p, is := errors.AsType[*middleware.PanicError](seen)
	if !is || fmt.Sprint(p.Value) != "bad" || !strings.Contains(string(p.Stack), "middleware_test.panics") || !errors.Is(seen, errBad) {
		t.Errorf("%v", seen)
	}
	bare := enginetest.Once(t, engine.HandlerFunc(panics), engine.Submission{}, engine.Policy{})
	if *o.Error != *bare.Error || o.State != bare.State {
		t.Errorf("%+v, without %+v", o, bare)
	}
}

// A handler's span is below the message's trace, or its context's, and tells a failure.
func TestTracing(t *testing.T) {
	t.Parallel()
	const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	for name, c := range map[string]struct {
		err    error
		panics bool
		status codes.Code
	}{
		"ok": {nil, false, codes.Unset}, "fails": {errBad, false, codes.Error},
		"snoozes": {engine.Snooze(time.Hour), false, codes.Unset}, "panics": {nil, true, codes.Error},
	} {
		recorder := tracetest.NewSpanRecorder()
		provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder))
		var inside trace.SpanContext
		h := engine.HandlerFunc(func(ctx context.Context, _ *engine.Message) (engine.Result, error) {
			inside = trace.SpanContextFromContext(ctx)
			if c.panics {
				panic("bad")
			}
			return engine.Result{}, c.err
		})
		s := engine.Submission{MessageType: "mail", Origin: &engine.Origin{Traceparent: traceparent}}
		enginetest.Once(t, middleware.Tracing(provider)(h), s, engine.Policy{})
		spans := recorder.Ended()
		if len(spans) != 1 || spans[0].Name() != "handle mail" || spans[0].Status().Code != c.status ||
			spans[0].Parent().SpanID().String() != traceparent[36:52] || spans[0].SpanContext().SpanID() != inside.SpanID() {
			t.Errorf("%s: %+v", name, spans)
		}
	}
	recorder := tracetest.NewSpanRecorder()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder))
	ctx, outer := provider.Tracer("test").Start(t.Context(), "outer")
	m := &engine.Message{MessageType: "mail", Origin: &engine.Origin{Traceparent: traceparent}}
	if _, err := middleware.Tracing(provider)(returns(nil)).Handle(ctx, m); err != nil {
		t.Fatal(err)
	}
	if span := recorder.Ended()[0]; span.Parent().SpanID() != outer.SpanContext().SpanID() {
		t.Errorf("%+v", span)
	}
	if _, err := middleware.Tracing(nil)(returns(nil)).Handle(t.Context(), &engine.Message{}); err != nil {
		t.Error(err)
	}
}

// The powers of a handler are found through every middleware, with and without Chain.
func TestPowersAreKept(t *testing.T) {
	t.Parallel()
	for name, m := range map[string]engine.Middleware{
		"logging": middleware.Logging(slog.New(slog.DiscardHandler)), "recover": middleware.Recover(),
		"tracing": middleware.Tracing(nil), "rate": middleware.RateLimit(1, 1),
	} {
		h := m(engine.Typed(func(context.Context, int) (int, error) { return 0, nil }))
		if o := enginetest.Once(t, h, engine.Submission{MessageData: []byte(`"x"`)}, engine.Policy{}); !errors.Is(o.Refused, engine.ErrInvalid) {
			t.Errorf("%s: %+v", name, o)
		}
	}
}

// The rate is held exactly, nothing is lost or counted as an attempt, and what waits holds
// no slot: the other type is not kept by it.
func TestRateLimit(t *testing.T) {
	t.Parallel()
	for _, concurrency := range []int{1, 64} {
		synctest.Test(t, func(t *testing.T) {
			const (
				limit, burst = 10, 5
				messages     = 45
			)
			e, err := engine.New(engine.Config{Concurrency: concurrency})
			if err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			starts := make(chan time.Duration, messages)
			work := engine.HandlerFunc(func(context.Context, *engine.Message) (engine.Result, error) {
				starts <- time.Since(began)
				return engine.Result{}, nil
			})
			if err := errors.Join(
				e.Register("limited", engine.Chain(work, middleware.RateLimit(limit, burst)), engine.Policy{}),
				e.Register("free", returns(nil), engine.Policy{})); err != nil {
				t.Fatal(err)
			}
			for range messages {
				if _, err := e.Submit(t.Context(), engine.Submission{MessageType: "limited"}); err != nil {
					t.Fatal(err)
				}
			}
			synctest.Wait() // all are tried or wait, and no time has passed
			free, err := e.Submit(t.Context(), engine.Submission{MessageType: "free"})
			if err != nil {
				t.Fatal(err)
			}
			if status, err := e.Wait(t.Context(), free.ID); err != nil || status.State != engine.StateSucceeded || time.Since(began) != 0 {
				t.Errorf("%s after %s, %v", status.State, time.Since(began), err)
			}
			for i := range messages {
				due := time.Duration(max(0, i-burst+1)) * time.Second / limit
				if at := <-starts; at < due || at > due+time.Millisecond {
					t.Errorf("message %d of %d at a time began after %s, expected %s", i, concurrency, at, due)
				}
			}
			synctest.Wait()
			if stats := e.Stats().Types["limited"]; stats.Outcomes[engine.StateSucceeded] != messages || stats.Retries != 0 {
				t.Errorf("%+v", stats)
			}
			if err := e.Drain(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

// A limit of nothing stops the type after its burst, whatever nonsense the burst is.
func TestRateLimitOfNothing(t *testing.T) {
	t.Parallel()
	limited := middleware.RateLimit(0, -1)(returns(nil))
	if o := enginetest.Once(t, limited, engine.Submission{}, engine.Policy{}); o.State != engine.StateSucceeded {
		t.Errorf("%+v", o)
	}
	if o := enginetest.Once(t, limited, engine.Submission{}, engine.Policy{}); o.State != engine.StateScheduled || o.After != time.Hour {
		t.Errorf("%+v", o)
	}
}
