package enginetest_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/activemessage/activemessage/engine"
	"github.com/activemessage/activemessage/engine/enginetest"
)

// TestMain fails the package if a test leaves a goroutine behind.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// steps is a handler that takes one step an attempt.
func steps(all ...engine.HandlerFunc) engine.Handler {
	return engine.HandlerFunc(func(ctx context.Context, m *engine.Message) (engine.Result, error) {
		return all[m.Attempt-1](ctx, m)
	})
}

func returns(data string, err error) engine.HandlerFunc {
	return func(context.Context, *engine.Message) (engine.Result, error) {
		return engine.Result{Data: []byte(data)}, err
	}
}

func waits(ctx context.Context, _ *engine.Message) (engine.Result, error) {
	<-ctx.Done()
	return engine.Result{}, ctx.Err()
}

func panics(context.Context, *engine.Message) (engine.Result, error) { panic("oops") }

// What follows one attempt is told as the engine decides it.
func TestOnce(t *testing.T) {
	t.Parallel()
	cause := errors.New("no connection")
	own := &engine.Error{Code: "busy", Message: "come back later"}
	for name, c := range map[string]struct {
		handler    engine.Handler
		policy     engine.Policy
		state      engine.State
		after      time.Duration
		told       string
		returned   error
		submission engine.Submission
	}{
		"succeeds":     {handler: returns("done", nil), state: engine.StateSucceeded},
		"fails":        {handler: returns("", cause), state: engine.StateFailed, told: "handler_failed: handler failed", returned: cause},
		"says why":     {handler: returns("", own), state: engine.StateFailed, told: "busy: come back later", returned: own},
		"is retried":   {handler: returns("", engine.RetryAfter(time.Minute, own)), policy: engine.Policy{MaxAttempts: 2}, state: engine.StateRetrying, after: time.Minute, told: "busy: come back later", returned: own},
		"permanent":    {handler: returns("", engine.Permanent(own)), policy: engine.Policy{MaxAttempts: 2}, state: engine.StateFailed, told: "busy: come back later", returned: own},
		"snoozes":      {handler: returns("", engine.Snooze(time.Hour)), state: engine.StateScheduled, after: time.Hour},
		"throttles":    {handler: returns("", engine.Throttle(time.Hour, nil)), state: engine.StateScheduled, after: time.Hour},
		"crashes":      {handler: engine.HandlerFunc(panics), state: engine.StateFailed, told: "handler_crashed: handler crashed"},
		"times out":    {handler: engine.HandlerFunc(waits), policy: engine.Policy{Timeout: time.Minute}, state: engine.StateFailed, told: "timeout: timed out after 1m0s"},
		"is refused":   {handler: returns("", nil), submission: engine.Submission{Delay: time.Hour, ExpiresAt: time.Now().Add(100 * 24 * 365 * time.Hour)}, state: ""},
		"is too large": {handler: returns(string(make([]byte, 2<<20)), nil), state: engine.StateFailed, told: "result_too_large: the result has 2097152 bytes, at most 1048576 are allowed"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := enginetest.Once(t, c.handler, c.submission, c.policy)
				if c.state == "" {
					if !errors.Is(o.Refused, engine.ErrInvalid) {
						t.Errorf("%+v", o)
					}
					return
				}
				told := ""
				if o.Error != nil {
					told = o.Error.Code + ": " + o.Error.Message
				}
				if o.Refused != nil || o.State != c.state || o.After != c.after || told != c.told || len(o.Attempts) != 1 {
					t.Errorf("%+v told %q", o, told)
				}
				if c.returned != nil && !errors.Is(o.Last().Returned, c.returned) {
					t.Errorf("returned %v", o.Last().Returned)
				}
				if (c.state == engine.StateSucceeded) != (string(o.Result.Data) == "done") {
					t.Errorf("result %q", o.Result.Data)
				}
			})
		})
	}
}

// All attempts are told, each with what it came to, reported and saved; and the time that
// passes is that of the policy.
func TestRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var resumed []string
		reports := func(ctx context.Context, m *engine.Message) (engine.Result, error) {
			resumed = append(resumed, string(m.Checkpoint))
			m.Progress(0.25, "begun")
			m.Progress(2, "clamped")
			if err := m.Save(ctx, fmt.Appendf(nil, "after %d", m.Attempt)); err != nil {
				return engine.Result{}, err
			}
			return engine.Result{}, engine.Snooze(time.Minute)
		}
		began := time.Now()
		o := enginetest.Run(t, steps(reports, panics, waits, returns("done", nil)), engine.Submission{Timeout: time.Second},
			engine.Policy{MaxAttempts: 3, Timeout: time.Hour, Backoff: engine.Backoff{Initial: 8 * time.Second}})
		if o.State != engine.StateSucceeded || string(o.Result.Data) != "done" || o.Timeout != time.Second || o.MaxAttempts != 3 || len(o.Attempts) != 4 {
			t.Fatalf("%+v", o)
		}
		waited := time.Minute + o.Attempts[1].After + time.Second + o.Attempts[2].After
		if took := time.Since(began); took != waited || o.Attempts[1].After < 4*time.Second || o.Attempts[1].After > 8*time.Second {
			t.Errorf("it took %s, of %s: %+v", took, waited, o.Attempts)
		}
		states := []engine.State{engine.StateScheduled, engine.StateRetrying, engine.StateRetrying, engine.StateSucceeded}
		for i, a := range o.Attempts {
			if a.State != states[i] {
				t.Errorf("attempt %d: %+v", i+1, a)
			}
		}
		first := o.Attempts[0]
		if !slices.Equal(first.Progress, []engine.Progress{{Fraction: 0.25, Note: "begun"}, {Fraction: 1, Note: "clamped"}}) ||
			len(first.Checkpoints) != 1 || string(first.Checkpoints[0]) != "after 1" || !slices.Equal(resumed, []string{""}) {
			t.Errorf("%+v, resumed %q", first, resumed)
		}
		if a := o.Attempts[1]; a.Error.Code != engine.CodeHandlerCrashed || a.Returned == nil {
			t.Errorf("%+v", a)
		}
		if a := o.Attempts[2]; a.Error.Code != engine.CodeTimeout {
			t.Errorf("%+v", a)
		}
	})
}

// A checkpoint is there at the next attempt.
func TestRunResumes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var got string
		o := enginetest.Run(t, steps(
			func(ctx context.Context, m *engine.Message) (engine.Result, error) {
				return engine.Result{}, errors.Join(m.Save(ctx, []byte("half")), errors.New("cut"))
			},
			func(_ context.Context, m *engine.Message) (engine.Result, error) {
				got = string(m.Checkpoint)
				return engine.Result{}, nil
			},
		), engine.Submission{MessageType: "named"}, engine.Policy{MaxAttempts: 2})
		if got != "half" || o.State != engine.StateSucceeded {
			t.Errorf("%q, %+v", got, o)
		}
	})
}

// What the handler's check refuses is not run, below middleware too.
func TestRunChecks(t *testing.T) {
	t.Parallel()
	h := engine.Chain(
		engine.Typed(func(context.Context, struct{ By int }) (int, error) { t.Error("it is run"); return 0, nil }),
		func(next engine.Handler) engine.Handler { return engine.HandlerFunc(next.Handle) })
	o := enginetest.Run(t, h, engine.Submission{MessageData: []byte(`{"By":"x"}`)}, engine.Policy{})
	if bad, is := errors.AsType[*engine.InvalidError](o.Refused); !is || bad.Field != "message_data/By" || o.State != "" {
		t.Errorf("%+v", o)
	}
}

// A handler that ignores the end of its context does not hold its test.
func TestAHandlerThatDoesNotReturn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		o := enginetest.Run(t, engine.HandlerFunc(func(context.Context, *engine.Message) (engine.Result, error) {
			<-release
			return engine.Result{}, nil
		}), engine.Submission{}, engine.Policy{Timeout: time.Minute, Grace: time.Second})
		close(release)
		if o.State != engine.StateFailed || o.Error.Code != engine.CodeTimeout || o.Last().State != engine.StateFailed || o.Last().Returned != nil {
			t.Errorf("%+v", o)
		}
	})
}

// failing notes a Fatalf instead of failing.
type failing struct {
	testing.TB
	fatal string
}

func (f *failing) Fatal(args ...any)                 { f.fatal = fmt.Sprint(args...); runtime.Goexit() }
func (f *failing) Fatalf(format string, args ...any) { f.Fatal(fmt.Sprintf(format, args...)) }

// A message that never ends fails the test, and so does a policy that is none.
func TestRunFails(t *testing.T) {
	t.Parallel()
	for expected, c := range map[string]struct {
		handler engine.Handler
		policy  engine.Policy
	}{
		"the message has not ended: it is scheduled after 1000 attempts": {returns("", engine.Snooze(time.Hour)), engine.Policy{}},
		"register\ngrace: must not be negative":                          {returns("", nil), engine.Policy{Grace: -1}},
		"register\nhandler: is nil":                                      {nil, engine.Policy{}},
	} {
		synctest.Test(t, func(t *testing.T) {
			f := &failing{TB: t}
			done := make(chan struct{})
			go func() {
				defer close(done)
				enginetest.Run(f, c.handler, engine.Submission{}, c.policy)
			}()
			<-done
			if f.fatal != expected {
				t.Errorf("%q", f.fatal)
			}
		})
	}
}

// An attempt that is detached ends as running, for nobody is there to settle it.
func TestADetachedAttempt(t *testing.T) {
	t.Parallel()
	outcome := enginetest.Once(t, returns("", engine.Detach(time.Minute)), engine.Submission{}, engine.Policy{})
	if last := outcome.Last(); outcome.State != engine.StateRunning || last.State != engine.StateRunning || len(outcome.Attempts) != 1 {
		t.Errorf("%+v", outcome)
	} else if last.Returned == nil || last.Returned.Error() != "detached for 1m0s" {
		t.Errorf("%v", last.Returned)
	}
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		outcome := enginetest.Run(t, returns("", engine.Detach(time.Minute)), engine.Submission{}, engine.Policy{MaxLost: 1})
		if outcome.State != engine.StateFailed || outcome.Error.Code != engine.CodeLost || time.Since(begun) != time.Minute {
			t.Errorf("%+v after %s", outcome, time.Since(begun))
		}
	})
}
