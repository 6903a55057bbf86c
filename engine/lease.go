package engine

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Lease names an attempt that runs outside of the engine, with a Consumer or detached. It
// is that attempt's until its end: it does not rotate, and the next attempt has another.
type Lease struct {
	ID      ID
	Attempt int
}

// lease is what an attempt has that runs outside of the engine. Guarded by Engine.mu.
type lease struct {
	ends  time.Time // until then it is believed to run
	until time.Time // when its timeout passes, or once it was asked to end its grace; zero: never
	given bool      // its consumer has it
	begun bool      // somebody said so, by extending it
	lost  bool      // whoever ran it is gone
	told  bool      // whoever ran it said what it came to
	left  bool      // the engine ends, and the next may go on with it
	// wait is how long it was detached for, and so every extension; 0 if it was not.
	wait time.Duration
}

// next is when something is to be done about it.
func (l *lease) next() time.Time {
	if l.until.IsZero() || l.ends.Before(l.until) {
		return l.ends
	}
	return l.until
}

// Detach is what a handler returns whose work goes on elsewhere, as that of a webhook that
// answered "accepted": the message stays running, without a worker and a slot of
// Config.Concurrency, but with one of its type. It ends by Settle of its Lease, by its
// timeout, by Cancel, or as Lost when lease has passed without Extend. The handler's
// context ends when it returns.
func Detach(lease time.Duration) error {
	lease = min(max(lease, 0), maxHorizon)
	return &directive{kind: detach, after: lease, err: fmt.Errorf("detached for %s", lease)}
}

// Lost marks the end of an attempt whose worker is gone: for Settle. The attempt does not
// count, the loss does: the message is queued again, or has failed with CodeLost after
// Policy.MaxLost of them.
func Lost(err error) error { return &directive{kind: lost, err: err} }

// HandBack is for Settle of an attempt that did not begin: the message is queued again, and
// nothing counts; but the attempt's number is not used again.
func HandBack() error { return &directive{kind: handBack, err: errHandedBack} }

var errHandedBack = errors.New("handed back")

// Stored is a change on its way to the Store.
type Stored struct {
	commit *commit     // nil without a store, or if err says it all
	save   *SaveChange // of commit; nil if it is none
	early  *early      // nil if it did not come early
	err    error
}

// Wait returns when the change is as durable as Config.Store promises. Errors: ctx's,
// ErrStoreFailed; of a checkpoint ErrStorageFull and ErrStale.
func (s *Stored) Wait(ctx context.Context) error {
	if s.early != nil {
		return s.early.wait(ctx)
	}
	if s.commit == nil {
		return s.err
	}
	if err := s.commit.wait(ctx); err != nil || s.save == nil {
		return err
	}
	return s.save.Err
}

// Ready reports whether Wait returns at once.
func (s *Stored) Ready() bool {
	if s.early != nil {
		return s.early.ready()
	}
	return s.commit == nil || isClosed(s.commit.done)
}

// Settle ends an attempt that runs outside of the engine, with what a Handler would have
// returned; Lost and HandBack besides. Of one inside whose handler may detach it, and has
// not yet, the handler's context ends, and Stored waits until it has returned, whatever that
// is.
//
// The error is ErrStale if the lease is not a running attempt's; if it was settled before,
// Stored is not nil then and says when that is stored. With a Store also ErrStoreFailed, and
// ErrDraining when the engine ends: settle it again after the restart, see Resume.
func (e *Engine) Settle(l Lease, result Result, err error) (*Stored, error) {
	var reported *failed
	if err != nil {
		reported = newFailed(err)
	}
	e.mu.Lock()
	a, known := e.attemptOf(l)
	switch {
	case known != nil:
		var before *Stored
		if errors.Is(known, ErrStale) {
			before = e.settledBefore(l)
		}
		e.mu.Unlock()
		return before, known
	case a.lease == nil:
		stored, err := a.settleEarly(result, reported)
		e.mu.Unlock()
		return stored, err
	}
	stored := e.settleOutside(a, result, reported)
	over := a.over
	e.unlock()
	if over {
		e.report(a)
	}
	return stored, nil
}

// settleOutside ends an attempt with what is reported of it. The caller holds mu, and reports
// the attempt if it is over.
func (e *Engine) settleOutside(a *attempt, result Result, reported *failed) *Stored {
	now := time.Now()
	a.result, a.failed = result, reported
	a.boundResult()
	if wait, again := a.detached(); again {
		a.extend(wait, now)
		return &Stored{}
	}
	a.lease.told = !a.is(lost) && !a.is(handBack)
	e.finish(a, now)
	return e.onItsWay(a.record.settling)
}

// leased returns the attempt of a lease. The caller holds mu.
func (e *Engine) leased(l Lease) (*attempt, error) {
	a, err := e.attemptOf(l)
	if err == nil && a.lease == nil {
		return nil, notRunning(l)
	}
	return a, err
}

// lease names the attempt that the message is run in.
func (m *Message) lease() Lease { return Lease{m.ID, m.Attempt} }

func notRunning(l Lease) error {
	return fmt.Errorf("%w: attempt %d of %s is not running", ErrStale, l.Attempt, l.ID)
}

// attemptOf returns a running attempt, outside of the engine or not. The caller holds mu.
func (e *Engine) attemptOf(l Lease) (*attempt, error) {
	if e.durable != nil && e.durable.err != nil {
		return nil, e.durable.err
	}
	r := e.table.byID[l.ID]
	if e.durable != nil && e.draining && (r == nil || r.attempt != nil && r.attempt.lease != nil && r.attempt.lease.left) {
		return nil, ErrDraining // the next engine may go on with it
	}
	if r == nil || r.attempt == nil || r.attempt.over || r.attempts != l.Attempt {
		return nil, notRunning(l)
	}
	return r.attempt, nil
}

// settledBefore returns when what a lease was settled with is stored; nil if it was not, or
// long ago. The caller holds mu.
func (e *Engine) settledBefore(l Lease) *Stored {
	r := e.table.byID[l.ID]
	if r == nil || r.settling == nil || r.attempts != l.Attempt || r.attempt == nil || r.attempt.lease == nil || !r.attempt.lease.told {
		return nil
	}
	return &Stored{commit: r.settling}
}

// onItsWay is what waits for c. The caller holds mu.
func (e *Engine) onItsWay(c *commit) *Stored {
	if c == nil && e.durable != nil {
		return &Stored{err: e.durable.unusable()}
	}
	return &Stored{commit: c}
}

// Extend lets leases run for d from now on, or for longer if they do, and returns those that
// are stale; of an engine that ends, or whose store failed, none is known to be. The first
// one says that the attempt has begun: a Consumer's message whose lease ends without is
// handed back, not lost. One that a handler detached runs for as long as that said.
func (e *Engine) Extend(d time.Duration, leases ...Lease) (stale []Lease) {
	now := time.Now()
	e.mu.Lock()
	defer e.unlock()
	for _, l := range leases {
		a, err := e.attemptOf(l)
		switch {
		case err == nil && a.lease == nil: // its handler may detach it yet
		case err == nil:
			a.extend(d, now)
		case errors.Is(err, ErrStale): // not of an engine that ends, or whose store failed
			stale = append(stale, l)
		}
	}
	return stale
}

// LeaseEnds returns when a lease ends unless it is extended; zero for one inside of the engine,
// which has none. Errors: ErrStale, ErrStoreFailed, ErrDraining.
func (e *Engine) LeaseEnds(l Lease) (time.Time, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	a, err := e.attemptOf(l)
	if err != nil || a.lease == nil {
		return time.Time{}, err
	}
	return a.lease.ends, nil
}

// extend moves the end of the lease. The timer follows when it fires, as long as that is
// before. The caller holds Engine.mu.
func (a *attempt) extend(d time.Duration, now time.Time) {
	if a.lease.wait > 0 {
		d = a.lease.wait
	}
	ends := now.Add(min(max(d, 0), maxHorizon))
	if !a.lease.begun || ends.After(a.lease.ends) {
		a.lease.ends = ends
	}
	a.lease.begun = true
	if a.lease.ends.Before(a.timer.due) {
		a.arm()
	}
}

// ReportProgress is Message.Progress for an attempt outside of the engine. Errors:
// ErrStale, ErrStoreFailed, ErrDraining.
func (e *Engine) ReportProgress(l Lease, fraction float64, note string) error {
	e.mu.Lock()
	a, err := e.attemptOf(l)
	e.mu.Unlock()
	if err == nil {
		a.reportProgress(fraction, note)
	}
	return err
}

// Save is Message.Save for an attempt outside of the engine, and for one inside; it does
// not wait. Errors: ErrStale, ErrTooLarge, ErrStoreFailed, ErrDraining.
func (e *Engine) Save(l Lease, data []byte) (*Stored, error) {
	if int64(len(data)) > e.cfg.MaxMessageBytes {
		return nil, fmt.Errorf("%w: %d bytes of checkpoint, at most %d are allowed", ErrTooLarge, len(data), e.cfg.MaxMessageBytes)
	}
	e.mu.Lock()
	defer e.unlock()
	a, err := e.attemptOf(l)
	if err != nil {
		return nil, err
	}
	r := a.record
	p := r.needPlan()
	r.size += int64(len(data) - len(p.checkpoint))
	p.checkpoint = data
	if e.durable == nil {
		return &Stored{}, nil
	}
	return e.storeCheckpoint(r, data), nil
}
