package webhook

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/activemessage/activemessage/engine"
)

// TestBreaker takes an endpoint through its illness in virtual time: five messages are
// spent on it, the sixth waits, spends nothing, and finds it well.
func TestBreaker(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		var calls, status atomic.Int32
		status.Store(http.StatusInternalServerError)
		h := servePipe(t, Config{BreakerDelay: time.Minute, Logger: slog.New(slog.NewTextHandler(&log, nil))},
			func(w http.ResponseWriter, _ *http.Request) { calls.Add(1); w.WriteHeader(int(status.Load())) })
		e, err := engine.New(engine.Config{Concurrency: 1})
		if err != nil {
			t.Fatal(err)
		}
		if err := e.Register("t", h, engine.Policy{}); err != nil {
			t.Fatal(err)
		}
		var ids []engine.ID
		for range 8 {
			receipt, err := e.Submit(t.Context(), engine.Submission{MessageType: "t"})
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, receipt.ID)
		}
		synctest.Wait()
		if calls.Load() != 5 || h.Breaker() != "open" {
			t.Errorf("%d calls, the breaker is %s", calls.Load(), h.Breaker())
		}
		time.Sleep(time.Minute - 1)
		synctest.Wait()
		if calls.Load() != 5 {
			t.Errorf("%d calls while it is open", calls.Load()-5)
		}
		status.Store(http.StatusOK)
		time.Sleep(time.Second)
		synctest.Wait()
		if calls.Load() != 8 || h.Breaker() != "closed" {
			t.Errorf("%d calls, the breaker is %s", calls.Load(), h.Breaker())
		}
		for i, id := range ids {
			got, err := e.Get(id)
			if want := i >= 5; err != nil || (got.State == engine.StateSucceeded) != want {
				t.Errorf("message %d: %s, %v", i, got.State, err)
			}
		}
		if err := e.Drain(t.Context()); err != nil {
			t.Error(err)
		}
		for _, words := range []string{
			`level=WARN msg="webhook: the endpoint is broken and left alone" endpoint=http://receiver.example delay=1m0s`,
			`level=INFO msg="webhook: the endpoint is tried again"`, `level=INFO msg="webhook: the endpoint is well again"`,
		} {
			if strings.Count(log.String(), words) != 1 {
				t.Errorf("not once in the log: %s", words)
			}
		}
		if strings.Contains(log.String(), "hidden") {
			t.Error("the log has the URL's token")
		}
	})
}

// TestBreakerCounts says what opens the breaker.
func TestBreakerCounts(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		statuses []int // 0 is no answer
		want     string
	}{
		"in a row":          {[]int{500, 503, 0, 502, 504}, "open"},
		"not in a row":      {[]int{500, 500, 500, 500, 200, 500, 500, 500, 500}, "closed"},
		"an answer is life": {[]int{500, 500, 500, 500, 404, 500, 500, 500, 500}, "closed"},
		"its own wish":      {[]int{429, 429, 429, 429, 429, 429}, "closed"},
		"requests' faults":  {[]int{400, 404, 409, 422, 302, 410}, "closed"},
		"no answer":         {[]int{0, 0, 0, 0, 0}, "open"},
	} {
		synctest.Test(t, func(t *testing.T) {
			var status int
			h := servePipe(t, Config{}, func(w http.ResponseWriter, _ *http.Request) {
				if status == 0 {
					panic(http.ErrAbortHandler)
				}
				w.WriteHeader(status)
			})
			for _, status = range c.statuses {
				_, _ = h.Handle(t.Context(), message("x"))
			}
			if h.Breaker() != c.want {
				t.Errorf("%s: %s", name, h.Breaker())
			}
		})
	}
}

// TestProbes wants one message at a time to find out, and one that is cut short to leave
// the breaker usable.
func TestProbes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int32
		answer := make(chan int)
		h := servePipe(t, Config{BreakerFailures: 1, BreakerDelay: time.Minute}, func(w http.ResponseWriter, r *http.Request) {
			calls.Add(1)
			_, _ = io.Copy(io.Discard, r.Body)
			select {
			case status := <-answer:
				w.WriteHeader(status)
			case <-r.Context().Done():
			}
		})
		handled := make(chan error)
		handle := func(ctx context.Context) {
			go func() { _, err := h.Handle(ctx, message("x")); handled <- err }()
			synctest.Wait()
		}
		handle(t.Context())
		answer <- 500
		if err := <-handled; err == nil {
			t.Error("it went well")
		}
		time.Sleep(time.Minute)
		ctx, cancel := context.WithCancelCause(t.Context())
		handle(ctx) // the probe
		for range 3 {
			handle(t.Context())
			if err := <-handled; err == nil {
				t.Error("it went well")
			}
		}
		if calls.Load() != 2 || h.Breaker() != "half-open" {
			t.Errorf("%d calls, the breaker is %s", calls.Load(), h.Breaker())
		}
		cancel(engine.ErrCancelled)
		if err := <-handled; err == nil {
			t.Error("it went well")
		}
		if h.Breaker() != "open" {
			t.Errorf("the breaker is %s", h.Breaker())
		}
		time.Sleep(time.Minute)
		handle(t.Context())
		answer <- 204
		if err := <-handled; err != nil || h.Breaker() != "closed" {
			t.Errorf("%v, the breaker is %s", err, h.Breaker())
		}
	})
}

// TestPanicGivesThePlaceBack has a probe that ends in a panic: without its place, the
// breaker would be half-open for ever.
func TestPanicGivesThePlaceBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		status := http.StatusInternalServerError
		h := servePipe(t, Config{BreakerFailures: 1, BreakerDelay: time.Minute, OnGone: func(string) { panic("in a probe") }},
			func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
		_, _ = h.Handle(t.Context(), message("x"))
		time.Sleep(time.Minute)
		status = http.StatusGone
		func() {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			_, _ = h.Handle(t.Context(), message("x"))
		}()
		if h.Breaker() == "half-open" {
			t.Error("the probe's place is lost")
		}
	})
}

// TestTimeoutsOpenTheBreaker has an endpoint that takes every message and says nothing. How
// short a submitter's timeout is says nothing of it.
func TestTimeoutsOpenTheBreaker(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := servePipe(t, Config{BreakerFailures: 2, HeaderTimeout: 20 * time.Second}, func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			<-r.Context().Done()
		})
		for range 5 {
			outcome(t, h, engine.Policy{Timeout: time.Second})
		}
		status := outcome(t, h, engine.Policy{Timeout: 12 * time.Second})
		if status.Error == nil || status.Error.Code != engine.CodeTimeout || h.Breaker() != "closed" {
			t.Errorf("%v, the breaker is %s", status.Error, h.Breaker())
		}
		if _, err := h.Handle(t.Context(), message("x")); failureOf(t, err).Message != "the endpoint is not reachable" || h.Breaker() != "open" {
			t.Errorf("%v, the breaker is %s", err, h.Breaker())
		}
	})
}

// TestSlowFailure has a failure whose body does not end: a second is enough for it.
func TestSlowFailure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := servePipe(t, Config{}, func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.Copy(io.Discard, r.Body)
			for r.Context().Err() == nil {
				_, _ = io.WriteString(w, "x")
				w.(http.Flusher).Flush()
				time.Sleep(100 * time.Millisecond)
			}
		})
		began := time.Now()
		_, err := h.Handle(t.Context(), message("x"))
		if failureOf(t, err).Message != "the endpoint answered 400 Bad Request" || time.Since(began) != time.Second {
			t.Errorf("%v after %s", err, time.Since(began))
		}
	})
}

// TestRetryAfterHoldsTheType has an endpoint that asks for a pause: no message of the
// type is sent in it.
func TestRetryAfterHoldsTheType(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int32
		h := servePipe(t, Config{}, func(w http.ResponseWriter, _ *http.Request) {
			if calls.Add(1) == 1 {
				w.Header().Set("Retry-After", time.Now().Add(time.Minute).UTC().Format(http.TimeFormat))
				w.WriteHeader(http.StatusTooManyRequests)
			}
		})
		e, err := engine.New(engine.Config{Concurrency: 1})
		if err != nil {
			t.Fatal(err)
		}
		if err := e.Register("t", h, engine.Policy{MaxAttempts: 2}); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if _, err := e.Submit(t.Context(), engine.Submission{MessageType: "t"}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Minute - 1)
		synctest.Wait()
		if calls.Load() != 1 {
			t.Errorf("%d calls in the pause", calls.Load()-1)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if calls.Load() != 4 {
			t.Errorf("%d calls", calls.Load())
		}
		if err := e.Drain(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
