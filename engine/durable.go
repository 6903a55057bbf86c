package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"time"
)

// durable is what an engine with a Store has more. What waits is in the store; in
// memory is what the engine has claimed: what runs, and a little ahead. All changes go
// through one goroutine, the committer: those that come while it commits are its next
// group, so that groups grow with the load and share one sync of the disk.
type durable struct {
	store Store
	owner Owner
	clock steadyClock
	// opened is when the engine began.
	opened time.Time
	// failed is closed when the store has failed.
	failed chan struct{}
	// abandon is closed by Drain when it can wait no longer for room in the store.
	abandon chan struct{}
	// wake is sent to by whoever cleared asleep; capacity 1, never closed.
	wake chan struct{}
	// grown is sent to when something ended, for retention; capacity 1, never closed.
	grown chan struct{}
	// ended is closed when the committer has returned.
	ended chan struct{}
	// changes counts what was ever to be committed.
	changes atomic.Uint64
	// noRoom is what the store said last.
	noRoom atomic.Bool

	// The committer's own: how much of changes it has taken, and how large the last
	// commit was, and how long it took.
	taken, lastChanges uint64
	lastTook           time.Duration

	// All below is guarded by Engine.mu.
	collecting []*commit // the oldest first; the last takes changes
	asleep     bool
	quit       bool // the committer returns when there is nothing to commit
	over       bool // it takes no more
	err        error
	full       bool // outcomes wait for room in the store

	claimed  int            // or about to be; not those whose handler has returned
	stored   Counts         // over all types
	behind   []*messageType // the store has messages of these to claim; whose turn it is first
	reclaim  bool           // earlier owners may have left claims
	due      bool           // a message's time has come
	starved  bool           // there was no room for what nobody asked for: it waits a moment
	timer    timer          // for the next message's time, or for that moment
	ahead    timer          // for what is claimed ahead
	returned int            // handlers, since ahead was armed
	sequence uint64         // of the last ID made
	waiters  map[ID]*waiters
	stuck    map[ID]struct{} // ended, but their handlers run on
	suspect  suspect
	lost     []lostMessage // not reported yet
	stats    StoreStats
	duration histogram
}

// openStore makes an engine's durable part from what is in the store.
func (e *Engine) openStore() error {
	d := &durable{
		store:   e.cfg.Store,
		owner:   Owner(rand.Uint64() | 1),
		clock:   newSteadyClock(time.Now()),
		opened:  time.Now(),
		failed:  make(chan struct{}),
		abandon: make(chan struct{}),
		wake:    make(chan struct{}, 1),
		grown:   make(chan struct{}, 1),
		ended:   make(chan struct{}),
		reclaim: true,
		waiters: make(map[ID]*waiters),
		stuck:   make(map[ID]struct{}),
	}
	snapshot, err := d.store.Load(context.Background())
	if err != nil {
		return fmt.Errorf("load the store: %w", err)
	}
	e.durable = d
	d.timer.fire = func(time.Time) { d.due, d.starved = true, false }
	d.ahead.fire = e.handBackAhead
	d.sequence = snapshot.LastSequence
	for _, name := range snapshot.Paused {
		e.knownType(name).pausedBefore = true
	}
	for name, counts := range snapshot.Counts {
		e.setStored(e.knownType(name), counts)
	}
	e.awaitDue(snapshot.NextDue, time.Now())
	e.log.readFrom(d.store, &snapshot, e.cfg.Logger)
	return nil
}

// Failed returns a channel that is closed when the store has failed: the engine
// accepts nothing more, and what has no outcome yet gets it after a restart. Without a
// Store it never is.
func (e *Engine) Failed() <-chan struct{} {
	if e.durable == nil {
		return nil
	}
	return e.durable.failed
}

// unusable returns why nothing is to be stored, or nil. The caller holds mu.
func (d *durable) unusable() error {
	switch {
	case d.err != nil:
		return d.err
	case d.over:
		return ErrDraining
	}
	return nil
}

// storeReady returns why messages should go elsewhere, or nil.
func (e *Engine) storeReady() error {
	d := e.durable
	e.mu.Lock()
	err, full := d.err, d.full
	e.mu.Unlock()
	switch {
	case err != nil:
		return ErrStoreFailed // anybody may ask; the log says why
	case full:
		return ErrStorageFull
	}
	return e.checkRoom()
}

// checkRoom returns ErrStorageFull if the store says that it has no room. If it does not
// know, the next commit will tell.
func (e *Engine) checkRoom() error {
	_, err := e.durable.store.Usage()
	full := errors.Is(err, ErrStorageFull)
	switch was := e.durable.noRoom.Swap(full); {
	case full && !was:
		e.cfg.Logger.Error(noRoom, slog.String("error", err.Error()))
	case was && !full:
		e.cfg.Logger.Info("the store has room again")
	}
	if full {
		return err
	}
	return nil
}

// noRoom is what the operator is told.
const noRoom = "the store has no room: new messages are refused until it has"

// durableError returns why the store does not go on, or nil.
func (e *Engine) durableError() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.durable.err
}

// awaitDue makes the clock wake for the next message whose time comes. The caller
// holds mu.
func (e *Engine) awaitDue(next, now time.Time) {
	d := e.durable
	e.deadlines.remove(&d.timer)
	if next.IsZero() {
		return
	}
	if d.timer.due = d.clock.loaded(next); !d.timer.due.After(now) {
		d.due = true
		return
	}
	e.deadlines.push(&d.timer)
}

// newID returns an ID greater than all before, also if the clock was set back. The
// caller holds mu.
func (d *durable) newID(now time.Time) ID {
	id := newID(d.clock.stored(now))
	if id.Sequence() <= d.sequence {
		id.setSequence(d.sequence + 1)
	}
	d.sequence = id.Sequence()
	return id
}

// storeStats returns the counters.
func (e *Engine) storeStats() *StoreStats {
	d := e.durable
	usage, err := d.store.Usage()
	e.mu.Lock()
	defer e.mu.Unlock()
	s := d.stats
	s.CommitDuration = d.duration.snapshot()
	s.Usage, s.Full = usage, d.full || errors.Is(err, ErrStorageFull)
	return &s
}

// unread is why a store cannot be read.
func unread(err error) error {
	if errors.Is(err, ErrNotFound) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrStoreFailed, err)
}
