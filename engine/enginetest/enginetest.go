// Package enginetest runs a handler against a message without a server, for tests of
// handlers: with a real engine in memory, so that what a test sees is what happens.
//
//	outcome := enginetest.Run(t, handler, engine.Submission{MessageData: []byte(`{"to":"a@b.c"}`)}, engine.Policy{MaxAttempts: 3})
//
// The submission is refused as it would be, the handler gets its timeout and its grace, a
// panic is "handler crashed", errors are told as clients read them, and retries come by
// the policy. In a testing/synctest bubble the waits between attempts take no time, and
// are exact; outside of one they are real: use Once, or a short Backoff.
//
// Nobody settles an attempt that returns engine.Detach: with Once it ends as
// engine.StateRunning, and what it returned says for how long; Run waits until it is lost.
package enginetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/activemessage/activemessage/engine"
)

// DefaultType is the message type of a submission that names none.
const DefaultType = "test"

// maxAttempts is how many attempts are more than a test can mean.
const maxAttempts = 1000

// Outcome is what became of a message.
type Outcome struct {
	// Refused is Submit's error, such as an *engine.InvalidError of data that the handler's
	// Check refuses; nothing else is set then.
	Refused error
	// State is the message's: a terminal one after Run; after Once also
	// engine.StateRetrying, engine.StateScheduled if the handler snoozed, or
	// engine.StateRunning if it detached.
	State engine.State
	// After is how long the next attempt waits, in those two states.
	After time.Duration
	// Result is the handler's, in engine.StateSucceeded.
	Result engine.Result
	// Error is what clients are told, in the other terminal states, and in
	// engine.StateRetrying of the attempt that failed.
	Error *engine.Error
	// Timeout and MaxAttempts are those in force for the message; a Timeout of 0 means
	// none.
	Timeout     time.Duration
	MaxAttempts int
	// Attempts are all attempts, in order.
	Attempts []Attempt
}

// Last returns the last attempt; the zero value if there was none.
func (o *Outcome) Last() Attempt {
	if len(o.Attempts) == 0 {
		return Attempt{}
	}
	return o.Attempts[len(o.Attempts)-1]
}

// Attempt is one run of the handler.
type Attempt struct {
	// State is what the attempt came to: a terminal state, engine.StateRetrying,
	// engine.StateScheduled for a snooze, or engine.StateRunning if it was detached.
	State engine.State
	// After is how long the next attempt was to wait then.
	After time.Duration
	// Error is the failure as clients are told it; nil if it is none.
	Error *engine.Error
	// Returned is what the handler returned, as it is logged: its error, or one that has
	// what it panicked with as its cause. It is nil if there was none, and if the handler
	// had not returned when the message went on without it.
	Returned error
	// Progress has every report, Checkpoints every one that was saved.
	Progress    []engine.Progress
	Checkpoints [][]byte
}

// Run submits a message to a handler and returns when it has ended, however many attempts
// that takes. A message that has not ended after 1000 attempts, or at the end of t's
// context, fails the test.
func Run(t testing.TB, h engine.Handler, s engine.Submission, p engine.Policy) Outcome {
	t.Helper()
	return run(t, h, s, p, false)
}

// Once is Run that ends after the first attempt; what follows it is in the outcome.
func Once(t testing.TB, h engine.Handler, s engine.Submission, p engine.Policy) Outcome {
	t.Helper()
	return run(t, h, s, p, true)
}

func run(t testing.TB, h engine.Handler, s engine.Submission, p engine.Policy, once bool) Outcome {
	t.Helper()
	if s.MessageType == "" {
		s.MessageType = DefaultType
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	r := &recorder{messageType: s.MessageType, once: once, stop: stop}
	e, err := engine.New(engine.Config{Concurrency: 1, Observer: r})
	if err != nil {
		t.Fatal(err)
	}
	r.engine = e
	status, err := r.submit(ctx, h, s, p)
	if !status.ID.IsZero() && !status.State.Terminal() {
		if _, cancelErr := e.Cancel(status.ID); cancelErr != nil && !errors.Is(cancelErr, engine.ErrTerminal) {
			t.Error(cancelErr)
		}
	}
	if drainErr := e.Drain(context.Background()); drainErr != nil { // bounded by the handler's grace
		t.Error(drainErr)
	}
	switch {
	case status.ID.IsZero() && errors.Is(err, errRegister):
		t.Fatal(err)
	case status.ID.IsZero():
		return Outcome{Refused: err}
	case !status.State.Terminal() && (!once || len(r.attempts) == 0 || t.Context().Err() != nil):
		t.Fatalf("the message has not ended: it is %s after %d attempts", status.State, status.Attempt)
	}
	return r.outcome(&status)
}

var errRegister = errors.New("register")

// submit returns the status of the message when it has ended, or when that is not awaited
// any more; without an ID if it was refused.
func (r *recorder) submit(ctx context.Context, h engine.Handler, s engine.Submission, p engine.Policy) (engine.Status, error) {
	if err := r.engine.Register(s.MessageType, h, p); err != nil {
		return engine.Status{}, errors.Join(errRegister, err)
	}
	receipt, err := r.engine.Submit(ctx, s)
	if err != nil {
		return engine.Status{}, err
	}
	return r.engine.Wait(ctx, receipt.ID)
}

// outcome puts together what was seen. All of the engine's goroutines have ended, but of
// handlers that do not return.
func (r *recorder) outcome(status *engine.Status) Outcome {
	r.mu.Lock()
	defer r.mu.Unlock()
	o := Outcome{State: status.State, Result: status.Result, Error: status.Error, Timeout: status.Timeout, MaxAttempts: status.MaxAttempts}
	for _, a := range r.attempts {
		o.Attempts = append(o.Attempts, *a)
	}
	for _, known := range status.Attempts { // of those whose handler has not returned
		if i := known.Number - 1; i < len(o.Attempts) && o.Attempts[i].State == "" {
			o.Attempts[i].State, o.Attempts[i].Error = known.State, known.Error
		}
	}
	if last := o.Last(); !o.State.Terminal() {
		o.State, o.After, o.Error = last.State, last.After, last.Error
	}
	return o
}
