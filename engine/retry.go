package engine

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// maxHorizon bounds how far ahead a message can be put off.
const maxHorizon = 366 * 24 * time.Hour

// Permanent marks an error that no retry would mend: the message fails at once,
// whatever attempts are left.
func Permanent(err error) error { return &directive{kind: permanent, err: err} }

// RetryAfter marks an error after which the next attempt, if one is left, starts
// d from now instead of after the policy's backoff: what a handler returns that
// was told to come back later.
func RetryAfter(d time.Duration, err error) error {
	return &directive{kind: retryAfter, after: min(max(d, 0), maxHorizon), err: err}
}

// Throttle is RetryAfter that slows the whole message type: no attempt of any of its
// messages starts for d, which is at most an hour. What runs goes on. With a nil err it is
// Snooze that does: no failure, and the attempt does not count.
func Throttle(d time.Duration, err error) error {
	d = min(max(d, 0), maxThrottle)
	return &directive{kind: throttle, after: d, err: err}
}

// maxThrottle bounds how long an error may hold a type.
const maxThrottle = time.Hour

// Snooze puts the message off: it is scheduled again d from now. It is no failure,
// and the attempt does not count.
func Snooze(d time.Duration) error {
	d = min(max(d, 0), maxHorizon)
	return &directive{kind: snooze, after: d, err: fmt.Errorf("snoozed for %s", d)}
}

// Fails reports whether an error that a handler returned is a failure: not nil, and not
// what only puts the message off or hands it on (Snooze, Throttle without an error, Detach,
// HandBack). For middleware, which logs or counts.
func Fails(err error) bool {
	marked, _ := errors.AsType[*directive](err)
	switch {
	case err == nil:
		return false
	case marked == nil:
		return true
	case marked.kind == throttle:
		return marked.err != nil
	}
	return marked.kind != snooze && marked.kind != detach && marked.kind != handBack
}

// directive is an error with what shall follow it.
type directive struct {
	kind  directiveKind
	after time.Duration
	err   error
}

type directiveKind int

const (
	permanent directiveKind = iota
	retryAfter
	snooze
	throttle
	detach
	lost
	handBack
)

func (d *directive) Error() string {
	if d.err == nil {
		return "handler failed"
	}
	return d.err.Error()
}

func (d *directive) Unwrap() error { return d.err }

// verdict is what an attempt comes to: a terminal state, StateRetrying or
// StateScheduled and after what wait, or StateQueued to hand the message back.
type verdict struct {
	state     State
	failure   *Error
	wait      time.Duration
	unstarted bool // nobody knows of the attempt, so nothing remembers it
	uncounted bool // though it is StateRetrying
}

// judge decides what follows the attempt, which the engine ended for cause, or
// which ended, without one, with what its handler returned. The caller holds
// Engine.mu.
func (a *attempt) judge(cause error) verdict {
	switch {
	case errors.Is(cause, ErrShutdown) && a.engine.durable != nil:
		return verdict{state: StateQueued, failure: ending(cause)}
	case errors.Is(cause, ErrCancelled), errors.Is(cause, ErrShutdown):
		return verdict{state: StateCancelled, failure: ending(cause)}
	case cause != nil:
		return a.tryAgain(a.timedOut())
	case a.failed == nil:
		return verdict{state: StateSucceeded}
	}
	switch marked := a.failed.marked; {
	case marked == nil:
		return a.tryAgain(a.failed.told)
	case marked.kind == snooze || marked.kind == throttle && marked.err == nil:
		return verdict{state: StateScheduled, wait: marked.after}
	case marked.kind == permanent:
		return verdict{state: StateFailed, failure: a.failed.told}
	case marked.kind == handBack || marked.kind == lost || marked.kind == detach:
		return a.settledAs(marked.kind)
	}
	marked, v := a.failed.marked, a.tryAgain(a.failed.told)
	v.wait = marked.after
	return v
}

// tryAgain retries while attempts are left.
func (a *attempt) tryAgain(failure *Error) verdict {
	if a.record.attemptsLeft() <= 0 {
		return verdict{state: StateFailed, failure: failure}
	}
	return verdict{state: StateRetrying, failure: failure, wait: a.record.backoff()}
}

// maxAttempts is how often the message may be tried.
func (r *record) maxAttempts() int {
	limit, _ := r.tightened()
	return limit
}

// counted is how many attempts were made that count.
func (r *record) counted() int {
	if r.plan != nil {
		return r.attempts - r.plan.uncounted
	}
	return r.attempts
}

func (r *record) attemptsLeft() int { return r.maxAttempts() - r.counted() }

// backoff is the wait before the next attempt, with jitter.
func (r *record) backoff() time.Duration {
	policy := r.messageType.policy.Backoff
	wait := policy.Max
	if doublings := max(r.counted()-1, 0); doublings < 32 && policy.Initial < policy.Max>>doublings {
		wait = policy.Initial << doublings
	}
	return wait - rand.N(wait/2+1)
}

// conclude gives a message whose attempt ended what the verdict says, and returns what
// the attempt came to. The caller holds mu.
func (e *Engine) conclude(a *attempt, v verdict, now time.Time) State {
	r := a.record
	if r.cancelled && !v.state.Terminal() { // nothing follows, whatever the handler made of it
		v = verdict{state: StateCancelled, failure: ending(ErrCancelled)}
	}
	if v.state.Terminal() {
		r.finishedIn = now.Sub(r.message.AcceptedAt)
		e.settle(r, v.state, v.failure, now)
		return v.state
	}
	p := r.needPlan()
	if v.unstarted {
		e.takeBack(r, now)
		return v.state
	}
	r.remember(r.current(v.state, v.failure, now))
	if v.state != StateRetrying || v.uncounted {
		p.uncounted++
	}
	if e.durable != nil && p.blockedBy != nil && (v.state == StateQueued || e.durable.abandoned()) {
		e.forgo(r)
		return v.state
	}
	if e.durable != nil && p.blockedBy == nil {
		if v.state == StateRetrying && !v.uncounted {
			r.messageType.retries++
		}
		e.storeRetry(r, v.state, v.wait, now)
		return v.state
	}
	r.attempt = nil
	if v.state == StateQueued {
		e.queueAgain(r, now)
		return v.state
	}
	e.putOff(r, v.state, v.wait, now)
	if r.state == StateRetrying {
		r.messageType.retries++
	}
	return r.state // a shutdown may have cancelled what was to follow
}

// putOff lets a message wait for its time, or for a stuck handler's return. The
// caller holds mu.
func (e *Engine) putOff(r *record, state State, wait time.Duration, now time.Time) {
	r.state = state
	e.enter(r)
	if r.plan.blockedBy == nil {
		r.plan.dueAt = now.Add(wait)
	}
	if e.durable == nil && e.draining && (r.messageType.policy.Paused || !now.Add(wait).Before(e.drainBy)) {
		e.end(r, StateCancelled, ending(ErrShutdown), now)
		return
	}
	e.watch(r)
}
