package engine

import (
	"bytes"
	"slices"
	"time"
)

// handBack returns a message to the store that did not start. The caller holds mu.
func (e *Engine) handBack(r *record, now time.Time) {
	e.unqueue(r)
	e.leave(r)
	e.storeSettle(r, &SettleChange{State: StateQueued}, now)
}

// handBackLast returns at most so many messages of a type that have not started, of all
// types if t is nil: the last accepted, in their order. The caller holds mu.
func (e *Engine) handBackLast(most int, t *messageType, now time.Time) {
	var waiting []*record
	for _, r := range e.table.byID {
		if r.state == StateQueued && r.settling == nil && (t == nil || r.messageType == t) {
			waiting = append(waiting, r)
		}
	}
	slices.SortFunc(waiting, func(a, b *record) int { return bytes.Compare(a.message.ID[:], b.message.ID[:]) })
	for _, r := range waiting[max(len(waiting)-most, 0):] {
		e.handBack(r, now)
	}
}

// storeSettle commits what follows for a claimed message. The caller holds mu.
func (e *Engine) storeSettle(r *record, change *SettleChange, now time.Time) {
	d := e.durable
	change.ID, change.Attempt = r.message.ID, r.attempts
	change.FinishedAt = d.clock.stored(now)
	if r.state == StateQueued {
		change.Unstarted = true
		change.Attempt++
		e.vacate(r)
	}
	change.Lost = r.attempt != nil && r.attempt.lease != nil && r.attempt.lease.lost
	if r.attempts > 0 {
		change.StartedAt = d.clock.stored(r.message.AcceptedAt.Add(r.startedIn))
	}
	if p := r.plan; p != nil {
		change.Uncounted, change.Attempts = p.uncounted, p.past
		change.HoldKey = p.blockedBy != nil && r.message.Key != ""
	}
	if d.unusable() != nil {
		e.forget(r)
		return
	}
	d.openCommit().settle(change, r)
}

// storeOutcome is settle with a store: the message has ended when the store knows. The
// caller holds mu.
func (e *Engine) storeOutcome(r *record, state State, failure *Error, now time.Time) {
	change := &SettleChange{State: state, Error: failure}
	if state == StateSucceeded {
		change.Result = r.attempt.result
	}
	e.storeSettle(r, change, now)
}

// storeRetry lets the store have a message that is to run again, from what its attempt
// came to. The caller holds mu.
func (e *Engine) storeRetry(r *record, state State, wait time.Duration, now time.Time) {
	change := &SettleChange{State: state}
	if state != StateQueued {
		change.DueAt = e.durable.clock.stored(now.Add(wait))
	}
	e.storeSettle(r, change, now)
}

// forget lets go of a message of which nothing more can be stored. The caller holds mu.
func (e *Engine) forget(r *record) {
	delete(e.table.byID, r.message.ID)
	e.unfinished--
}

// forgo leaves a message claimed whose handler does not return before the engine ends:
// nobody else shall run it while it does. After a restart it counts as lost. The caller
// holds mu.
func (e *Engine) forgo(r *record) {
	e.forget(r)
	r.state = StateCancelled // nothing follows when the handler returns after all, see unblock
}

// releaseKey is called when a handler returned that its message had ended without.
// The caller holds mu.
func (e *Engine) releaseKey(r *record) {
	d := e.durable
	delete(d.stuck, r.message.ID)
	if r.message.Key != "" && !e.draining && d.unusable() == nil {
		c := d.openCommit()
		c.group.Releases = append(c.group.Releases, r.message.ID)
	}
}
