package engine

import (
	"time"
)

// maxPast bounds the ended attempts a record remembers.
const maxPast = 20

// plan is what only some records have: options beyond the common ones, a time to
// wait for, and a past. Guarded by Engine.mu.
type plan struct {
	timer       timer
	dueAt       time.Time // when a message that is put off is queued
	readyAt     time.Time // when it was queued last; zero if that was at acceptance
	expiresAt   time.Time
	timeout     time.Duration // 0 means the policy's
	maxAttempts int           // 0 means the policy's
	// uncounted attempts were snoozed, or made before Engine.Retry.
	uncounted int
	past      []Attempt
	lost      int // attempts
	// checkpoint is what an attempt saved last.
	checkpoint []byte
	saving     *Stored // the last one, with a store
	// blockedBy is a stuck attempt: until its handler returns, no other starts.
	blockedBy *attempt
	// key is the message's idempotency key's entry, nil without one.
	key *keyEntry
	// waiters are those who wait for the end; nil until somebody does.
	waiters *waiters
}

// needPlan returns the record's plan, which it makes if there is none.
func (r *record) needPlan() *plan {
	if r.plan == nil {
		r.plan = &plan{}
		r.plan.timer.record = r
	}
	return r.plan
}

// arrange makes the plan of a new message, if its submission asks for one, and
// returns the state it begins in.
func (r *record) arrange(s *Submission, now time.Time) {
	wait := s.Delay
	if !s.DeliverAt.IsZero() {
		wait = s.DeliverAt.Sub(now)
	}
	if wait <= 0 && s.ExpiresAt.IsZero() && s.Timeout == 0 && s.MaxAttempts == 0 {
		return
	}
	p := r.needPlan()
	p.timeout, p.maxAttempts = s.Timeout, s.MaxAttempts
	if !s.ExpiresAt.IsZero() {
		p.expiresAt = now.Add(s.ExpiresAt.Sub(now)) // on the clock that does not jump
	}
	if wait > 0 {
		r.state, p.dueAt = StateScheduled, now.Add(wait)
	}
}

// attemptOverhead is what an ended attempt costs besides its failure, roughly.
const attemptOverhead = 128

// remember adds an ended attempt to the past; the oldest of too many is forgotten.
// The record must not wait, nor be in the history, where its size counts.
func (r *record) remember(a Attempt) {
	p := r.plan
	if len(p.past) == maxPast {
		r.size -= attemptOverhead + p.past[0].Error.size()
		p.past = append(p.past[:0], p.past[1:]...)
	}
	r.size += attemptOverhead + a.Error.size()
	p.past = append(p.past, a)
}

// next is when something is to be done about a message that waits: it is due, or
// it expires; zero if neither.
func (p *plan) next() time.Time {
	switch {
	case p.dueAt.IsZero():
		return p.expiresAt
	case p.expiresAt.IsZero() || p.dueAt.Before(p.expiresAt):
		return p.dueAt
	}
	return p.expiresAt
}

// watch arms the timer of a message that waits. The caller holds mu.
func (e *Engine) watch(r *record) {
	if next := r.plan.next(); !next.IsZero() {
		r.plan.timer.due = next
		e.deadlines.push(&r.plan.timer)
	}
}

// enter counts in a message that waits; leave counts it out, before its state
// changes. The caller holds mu.
func (e *Engine) enter(r *record) {
	r.messageType.backlog.add(r.state, 1, r.size)
	e.backlog.add(r.state, 1, r.size)
}

func (e *Engine) leave(r *record) {
	r.messageType.backlog.add(r.state, -1, -r.size)
	e.backlog.add(r.state, -1, -r.size)
}

// enqueue makes a message that was put off wait for a slot. The caller holds mu,
// and the timer is not armed.
func (e *Engine) enqueue(r *record, now time.Time) {
	e.leave(r)
	r.state = StateQueued
	e.enter(r)
	r.plan.dueAt, r.plan.readyAt = time.Time{}, now
	e.watch(r)
	r.messageType.queue.push(r)
	e.updateTurn(r.messageType)
}

// onDue does what a message that waits is due for. The caller holds mu.
func (e *Engine) onDue(r *record, now time.Time) {
	e.deadlines.remove(&r.plan.timer)
	if at := r.plan.expiresAt; !at.IsZero() && !at.After(now) {
		e.expire(r, now)
		return
	}
	e.enqueue(r, now)
}

// expire ends a message that waits. The caller holds mu.
func (e *Engine) expire(r *record, now time.Time) {
	e.end(r, StateExpired, &Error{Code: CodeExpired, Message: "expired"}, now)
}

// end gives a message that waits its outcome. The caller holds mu.
func (e *Engine) end(r *record, state State, failure *Error, now time.Time) {
	t := r.messageType
	e.unqueue(r)
	e.leave(r)
	r.finishedIn = now.Sub(r.message.AcceptedAt)
	e.settle(r, state, failure, now)
	e.updateTurn(t)
	e.dropIfDone(t)
}

// unqueue takes a message that waits out of wherever it does. The caller holds mu.
func (e *Engine) unqueue(r *record) {
	switch q := &r.messageType.queue; {
	case r.list != nil:
		q.remove(r)
	case r.plan != nil && r.plan.blockedBy == nil:
		q.passKey(r)
	}
	if r.plan != nil {
		e.deadlines.remove(&r.plan.timer)
		r.plan.dueAt = time.Time{}
	}
	e.updateTurn(r.messageType)
}

// backlog counts what waits, by state. Guarded by Engine.mu.
type backlog struct {
	queued, scheduled, retrying int
	bytes                       int64
}

func (b *backlog) len() int { return b.queued + b.scheduled + b.retrying }

func (b *backlog) add(state State, messages int, bytes int64) {
	switch state {
	case StateQueued:
		b.queued += messages
	case StateScheduled:
		b.scheduled += messages
	default:
		b.retrying += messages
	}
	b.bytes += bytes
}

// unblock is called when a stuck handler has returned: a retry that waited for it
// is scheduled. The caller holds mu.
func (e *Engine) unblock(r *record, now time.Time) {
	p := r.plan
	p.blockedBy = nil
	if r.state.Terminal() || r.settling != nil {
		if e.durable != nil {
			e.releaseKey(r)
		}
		return
	}
	e.deadlines.remove(&p.timer)
	e.leave(r)
	if e.durable != nil {
		e.storeRetry(r, r.state, r.backoff(), now)
		return
	}
	e.putOff(r, r.state, r.backoff(), now)
}

// release tells those who wait for the message that it has ended. The caller holds
// mu.
func (e *Engine) release(r *record) {
	p := r.plan
	if p.key != nil {
		e.keys.end(p.key)
	}
	if w := p.waiters; w != nil {
		w.answer(r.status())
		p.waiters = nil
	}
}
