package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"time"
)

const (
	// maxDue and maxReclaim bound what one group looks at besides its changes.
	maxDue     = 512
	maxReclaim = 512

	maxGather = time.Millisecond

	// A store without room is tried again after these times, which double.
	minRoomWait = 100 * time.Millisecond
	maxRoomWait = time.Second
)

// runCommitter is the committer's goroutine, owned by the engine.
func (e *Engine) runCommitter() {
	defer close(e.durable.ended)
	for c := e.awaitCommit(); c != nil; c = e.awaitCommit() {
		if !e.commit(c) {
			return
		}
	}
}

// awaitCommit waits for something to commit; nil is the end.
func (e *Engine) awaitCommit() *commit {
	d := e.durable
	for {
		d.gather()
		e.mu.Lock()
		if e.hasCommit() {
			c := e.takeCommit(time.Now())
			e.mu.Unlock()
			return c
		}
		if d.quit {
			d.over = true
			e.mu.Unlock()
			return nil
		}
		d.asleep = true
		e.mu.Unlock()
		<-d.wake
	}
}

// gather lets those whom the last commit answered bring what they have next, so that
// it shares the coming sync instead of waiting for it: until as many changes are there
// as there were then, or an eighth of the time has passed that the commit took, but no
// longer than maxGather.
func (d *durable) gather() {
	began := time.Now()
	for {
		waiting := d.changes.Load() - d.taken
		if waiting == 0 || waiting >= d.lastChanges || time.Since(began) >= min(d.lastTook/8, maxGather) {
			return
		}
		runtime.Gosched()
	}
}

// hasCommit reports whether there is anything to commit. The caller holds mu.
func (e *Engine) hasCommit() bool {
	d := e.durable
	return len(d.collecting) > 0 || !e.draining && !d.starved && (d.due || d.reclaim || e.claimable())
}

// takeCommit returns the oldest group, or a new one, with all that is to be looked at and
// claimed besides its changes. The caller holds mu.
func (e *Engine) takeCommit(now time.Time) *commit {
	d := e.durable
	c := &commit{done: make(chan struct{})}
	if len(d.collecting) > 0 {
		c = d.collecting[0]
		d.collecting = d.collecting[1:]
		d.taken += uint64(c.changes)
	}
	c.group.Owner, c.group.Now = d.owner, d.clock.stored(now)
	if d.due && !e.draining {
		d.due, c.group.Due = false, maxDue
	}
	if d.reclaim && !e.draining {
		d.reclaim, c.group.Reclaim = false, maxReclaim
		c.group.reclaimAll()
	}
	e.planClaims(c)
	return c
}

// commit stores c, however long there is no room for what must be stored; it reports
// whether the store goes on.
func (e *Engine) commit(c *commit) bool {
	d := e.durable
	for wait := minRoomWait; ; wait = min(2*wait, maxRoomWait) {
		began := time.Now()
		err := d.store.Commit(context.Background(), &c.group)
		switch {
		case err == nil:
			d.lastChanges, d.lastTook = uint64(c.changes), time.Since(began)
			e.committed(c, d.lastTook)
			return true
		case !errors.Is(err, ErrStorageFull):
			e.failStore(c, err)
			return false
		}
		if c = e.shed(c, err); c.changes == 0 {
			e.setFull(false) // the next one finds out
			return true
		}
		if !d.awaitRoom(wait) {
			e.failStore(c, fmt.Errorf("%d outcomes found no room before the end, so what they are of runs again: %w", c.changes, err))
			return false
		}
	}
}

// awaitRoom waits until the store is to be tried again; it reports false if the engine is
// to end before.
func (d *durable) awaitRoom(wait time.Duration) bool {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-d.abandon:
		return false
	}
}

// shed answers those who found no room: those of c, and those who came after. It returns
// what must be stored all the same.
func (e *Engine) shed(c *commit, err error) *commit {
	if !e.setFull(true) {
		e.cfg.Logger.Error(noRoom, slog.String("error", err.Error()))
	}
	d := e.durable
	rest := &commit{done: make(chan struct{}), group: Group{Owner: c.group.Owner, Now: c.group.Now}}
	e.mu.Lock()
	all := append([]*commit{c}, d.collecting...)
	d.collecting = nil
	d.taken = d.changes.Load()
	for _, c := range all {
		c.moveEssential(rest)
		c.err = err
		e.giveUp(c)
	}
	d.starved = true
	e.deadlines.remove(&d.timer)
	d.timer.due = time.Now().Add(maxRoomWait)
	e.deadlines.push(&d.timer)
	e.unlock()
	for _, c := range all {
		close(c.done)
	}
	return rest
}

// setFull says whether outcomes wait for room in the store, and returns what was said
// before.
func (e *Engine) setFull(full bool) (was bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	was, e.durable.full = e.durable.full, full
	return was
}

// giveUp takes back what a commit that failed had reserved. The caller holds mu.
func (e *Engine) giveUp(c *commit) {
	for _, r := range c.submits {
		if r != nil {
			e.leave(r)
			e.unfinished--
			e.vacate(r)
		}
	}
	for i, claims := range c.claims {
		e.giveBack(claims, 0, c.group.Claims[i].Limit)
	}
	e.freeRetries(c)
	e.durable.due = e.durable.due || c.group.Due > 0
	e.durable.reclaim = e.durable.reclaim || c.group.Reclaim > 0
}

// failStore ends the committer: what the disk holds is not known any more, so nothing
// is accepted, and nothing is told that might not be true. The next start finds out.
func (e *Engine) failStore(c *commit, err error) {
	e.mu.Lock()
	d := e.durable
	d.err = fmt.Errorf("%w: %w", ErrStoreFailed, err)
	d.over = true
	c.err = d.err
	d.collecting = append(d.collecting, c)
	failed := d.collecting
	d.collecting = nil
	for _, c := range failed {
		c.err = d.err
		e.giveUp(c)
	}
	for _, r := range e.table.byID {
		switch {
		case r.settling != nil:
			e.forget(r)
		case r.state == StateQueued:
			e.handBack(r, time.Now())
		}
	}
	e.unlock()
	e.cfg.Logger.Error("the store failed: nothing more is accepted", slog.String("error", err.Error()))
	for _, c := range failed {
		close(c.done)
	}
	close(d.failed)
}
