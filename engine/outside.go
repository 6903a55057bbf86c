package engine

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"
)

// Outside returns the Handler of message types that run outside of the engine, with
// whoever takes them through a Consumer. Its messages hold no slot of Config.Concurrency.
func Outside() Handler { return outsideHandler{} }

type outsideHandler struct{}

// Handle is not called by an engine.
func (outsideHandler) Handle(context.Context, *Message) (Result, error) {
	return Result{}, errors.New("this message type runs outside of the engine")
}

// is reports whether a's end was marked so.
func (a *attempt) is(kind directiveKind) bool {
	return a.failed != nil && a.failed.marked != nil && a.failed.marked.kind == kind
}

// detached reports whether the handler left its work with somebody else, and nothing has
// ended it meanwhile; and for how long it is believed to go on. The caller holds Engine.mu.
func (a *attempt) detached() (time.Duration, bool) {
	if !a.is(detach) || a.over || a.asked != nil {
		return 0, false
	}
	return a.failed.marked.after, true
}

// detach lets a message go on outside, in an attempt that takes over from its handler's.
// The caller holds mu.
func (e *Engine) detach(a *attempt, wait time.Duration, now time.Time) {
	r := a.record
	a.over, a.state = true, StateRunning
	e.running--
	e.outside++
	if e.durable != nil {
		e.durable.claimed--
		e.durable.returned++
	}
	b := &attempt{
		engine: e, record: r, message: a.message, handler: a.handler,
		timeout: a.timeout, grace: a.grace, began: a.began, lease: &lease{until: a.timer.due, wait: wait},
	}
	b.timer.record, b.timer.running = r, true
	b.ctx.deadline = a.ctx.deadline
	r.attempt, r.outside = b, true
	b.extend(wait, now)
	b.arm()
}

// startOutside begins the attempt of a message that a consumer has a slot for. The caller
// holds mu.
func (e *Engine) startOutside(r *record, now time.Time) {
	c := r.consumer
	if e.draining || c.closed || c.slots == 0 || r.messageType.policy.Paused {
		e.handBack(r, now)
		return
	}
	e.start(r, c.attempt(now), now)
	c.give(r.attempt)
}

// outsideDue does what is due of an attempt outside: its context ends with its timeout,
// the attempt with its grace, or with its lease. It reports whether the attempt has ended.
// The caller holds mu.
func (e *Engine) outsideDue(a *attempt, now time.Time) bool {
	late := !a.lease.until.IsZero() && !a.lease.until.After(now)
	switch {
	case late && a.asked != nil:
		a.failed = newFailed(a.asked)
	case late && !a.lease.begun: // its timeout is shorter than the offer
		a.failed = newFailed(HandBack())
	case !a.lease.ends.After(now):
		a.failed = newFailed(a.expired())
	case late:
		a.ask(ErrTimeout, now)
		return false
	default:
		a.arm()
		return false
	}
	a.record.consumer.stop(a, ErrStale)
	e.finish(a, now)
	return true
}

// expired is what an attempt comes to whose lease is over.
func (a *attempt) expired() error {
	if !a.lease.begun {
		return HandBack()
	}
	return Lost(errors.New("nothing was heard of it until its lease ended"))
}

// settledAs is what follows when an attempt outside did not begin, or is lost. Of one inside
// it is a handler that says what only Settle may: it has failed.
func (a *attempt) settledAs(kind directiveKind) verdict {
	switch {
	case a.lease == nil || kind == detach:
		return a.tryAgain(a.failed.told)
	case kind == handBack && !a.lease.given:
		return verdict{state: StateQueued, unstarted: true}
	case kind == handBack: // its number is not used again: who was given it may still say something
		return verdict{state: StateQueued, failure: &Error{Code: CodeHandedBack, Message: "it did not begin"}}
	}
	return a.lose()
}

// lose is what follows when whoever ran the attempt is gone. The caller holds Engine.mu.
func (a *attempt) lose() verdict {
	a.lease.lost = true
	p := a.record.needPlan()
	p.lost++
	t := a.record.messageType
	t.lost++
	if p.lost >= t.policy.MaxLost {
		return verdict{state: StateFailed, failure: lostTooOften("its worker was lost", p.lost)}
	}
	return verdict{state: StateQueued, failure: &Error{Code: CodeWorkerLost, Message: "its worker is gone"}}
}

// takeBack makes a message wait again whose attempt did not begin. The caller holds mu.
func (e *Engine) takeBack(r *record, now time.Time) {
	r.attempts--
	r.attempt = nil
	if e.durable == nil {
		e.queueAgain(r, now)
		return
	}
	r.state = StateQueued
	e.storeSettle(r, &SettleChange{State: StateQueued}, now)
}

// throttle holds a's type, if that is what its handler asked for. The caller holds mu.
func (e *Engine) throttle(a *attempt, now time.Time) {
	if !a.is(throttle) {
		return
	}
	t := a.record.messageType
	due := now.Add(a.failed.marked.after)
	if t.held.position != 0 {
		if !due.After(t.held.due) {
			return
		}
		e.deadlines.remove(&t.held)
	}
	t.held.due = due
	t.held.fire = func(time.Time) { e.updateTurn(t) }
	e.deadlines.push(&t.held)
	if e.durable != nil {
		e.handBackLast(math.MaxInt, t, now)
	}
	e.updateTurn(t)
}

// boundResult fails an attempt whose result is too large.
func (a *attempt) boundResult() {
	if limit := a.engine.cfg.MaxResultBytes; a.failed == nil && int64(len(a.result.Data)) > limit {
		a.failed = newFailed(Permanent(&Error{Code: CodeResultTooLarge, Message: fmt.Sprintf(
			"the result has %d bytes, at most %d are allowed", len(a.result.Data), limit)}))
	}
}
