package engine

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"
)

// resumeWait is for how long after the start of an engine messages wait that ran outside of
// an earlier one, for whoever has them.
const resumeWait = 30 * time.Second

// Resume lets an attempt go on with c, which has one slot less for it, also if it had none;
// its lease ends d from now, unless it is extended. The attempt runs with another consumer of this engine, as
// before a reconnect; or, with a Store, it ran outside of an engine that has ended, and the
// message has not begun again since. c is nil for what a handler detached. Errors: ErrStale,
// ErrClosed if c is; with a Store also ErrDraining, ErrStorageFull and ErrStoreFailed.
func (e *Engine) Resume(ctx context.Context, c *Consumer, l Lease, d time.Duration) error {
	e.mu.Lock()
	if c != nil && c.closed {
		e.mu.Unlock()
		return ErrClosed
	}
	if e.settledBefore(l) != nil { // its report is answered so
		e.mu.Unlock()
		return nil
	}
	a, err := e.leased(l)
	if err == nil && !c.serves(a.record.messageType) {
		err = notRunning(l)
	} else if err == nil {
		e.rebind(a, c, time.Now().Add(d))
	}
	away := err != nil && e.durable != nil && !e.draining && a == nil
	var leaving *commit
	if r := e.table.byID[l.ID]; away && r != nil {
		leaving = r.settling // if it was claimed to run again, and put off
		away = leaving != nil
	}
	e.unlock()
	if leaving != nil {
		if err := leaving.wait(ctx); err != nil {
			return err
		}
	}
	if away && e.mayResume(ctx, c, l) {
		return e.resumeStored(ctx, c, l, d)
	}
	return err
}

// serves reports whether a message of the type may run with the consumer; with nobody, which
// is nil, any may.
func (c *Consumer) serves(t *messageType) bool { return c == nil || slices.Contains(c.types, t) }

// mayResume reports whether a message is one that runs outside, and with c. It is a read, so
// that whoever lists leases that are none costs no commits.
func (e *Engine) mayResume(ctx context.Context, c *Consumer, l Lease) bool {
	m, err := e.durable.store.Get(ctx, l.ID)
	if err != nil || m.Attempt < l.Attempt || m.State.Terminal() {
		return false
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	t := e.lookup(m.MessageType)
	return t != nil && (t.outside || t.detaches) && c.serves(t)
}

// rebind moves a running attempt to another consumer, nil for none. The caller holds mu.
func (e *Engine) rebind(a *attempt, c *Consumer, ends time.Time) {
	r := a.record
	if r.consumer != nil {
		e.leaveSlot(r.consumer)
	}
	r.consumer = c
	if c != nil {
		c.taken++
		e.updateRoom(c)
	}
	a.lease.ends, a.lease.begun = ends, true
	a.arm()
	if a.asked != nil {
		c.stop(a, a.asked)
	}
}

// resumption is for whom a ResumeChange is, and for how long.
type resumption struct {
	consumer *Consumer
	lease    time.Duration
}

func (e *Engine) resumeStored(ctx context.Context, c *Consumer, l Lease, d time.Duration) error {
	change := &ResumeChange{ID: l.ID, Attempt: l.Attempt}
	err := e.change(ctx, func(on *commit) {
		on.group.Resumes = append(on.group.Resumes, change)
		on.resumes = append(on.resumes, resumption{c, d})
	})
	if err == nil && change.Err != nil {
		err = fmt.Errorf("%w: attempt %d of %s does not go on: %w", ErrStale, l.Attempt, l.ID, change.Err)
	}
	return err
}

// reclaimAll lets a group that resumes first reclaim all that earlier owners left.
func (g *Group) reclaimAll() {
	if g.Reclaim > 0 && len(g.Resumes) > 0 {
		g.Reclaim = math.MaxInt32
	}
}

// resumed takes over a message that goes on. The caller holds mu.
func (e *Engine) resumed(to resumption, m *StoredMessage, now time.Time) {
	t := e.knownType(m.MessageType)
	r := e.loadRecord(m, t)
	began := e.durable.clock.loaded(m.StartedAt)
	r.needPlan().readyAt = time.Time{}
	r.outside, r.seated = true, true
	t.claimed++
	if c := to.consumer; c != nil && !c.closed {
		r.consumer = c
		c.taken++
		e.updateRoom(c)
	}
	e.table.byID[m.ID] = r
	e.unfinished++
	e.enter(r)
	e.start(r, &attempt{engine: e, lease: &lease{ends: now.Add(to.lease), begun: true}}, began)
	if e.draining {
		e.leaveOutside(r, now)
	}
}

// awaitsHolder reports whether a message that was just claimed is to wait for whoever had it
// when the server ended. The caller holds mu.
func (e *Engine) awaitsHolder(r *record, now time.Time) bool {
	if r.plan == nil || len(r.plan.past) == 0 || !now.Before(e.durable.opened.Add(resumeWait)) {
		return false
	}
	last := r.plan.past[len(r.plan.past)-1].Error
	return last != nil && (last.Code == CodeLeftOutside || last.Code == CodeLost && (r.outside || r.messageType.detaches))
}

// storeCheckpoint lets the store keep a checkpoint, in place of one that is not on its way
// there yet. The caller holds mu.
func (e *Engine) storeCheckpoint(r *record, data []byte) *Stored {
	if err := e.durable.unusable(); err != nil {
		return &Stored{err: err}
	}
	if waits := r.plan.saving; waits != nil && slices.Contains(e.durable.collecting, waits.commit) {
		waits.save.Data = data
		return waits
	}
	c := e.durable.openCommit()
	change := &SaveChange{ID: r.message.ID, Attempt: r.attempts, Data: data}
	c.group.Saves = append(c.group.Saves, change)
	r.plan.saving = &Stored{commit: c, save: change}
	return r.plan.saving
}
