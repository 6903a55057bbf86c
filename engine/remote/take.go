package remote

import (
	"context"
	"errors"
	"time"

	"github.com/activemessage/activemessage/engine"
)

// Taken is the answer to Take.
type Taken struct {
	// Session names the session.
	Session string
	// Jobs are the worker's: they count as acked.
	Jobs []engine.Job
	// Stops are leases to end.
	Stops []engine.Stop
}

// Take is a hello and a turn in one, for workers without a connection: it returns what there
// is to do, and waits for it as long as ctx and wait allow. The window is absolute: with three
// messages running and a window of four it takes one. A Take of the instance that still waits
// returns at once, with nothing. What Hello.Held does not list of what earlier ones returned
// is lost. Errors: as Open; engine.ErrDraining.
func (w *Workers) Take(ctx context.Context, h Hello, wait time.Duration) (Taken, error) {
	s, fresh, err := w.turnOf(ctx, h)
	if err != nil {
		return Taken{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, max(wait, w.claiming(h.Types)))
	defer cancel()
	s.interrupt(cancel)
	if !s.takeTurn(ctx) { // overtaken by another one, whose list is newer
		return Taken{Session: s.id}, nil
	}
	defer func() { <-s.turn }()
	if !fresh && !h.Unlisted {
		if err := s.Beat(h.Held, &h.Window); err != nil {
			return Taken{}, err
		}
	}
	if err := s.begin(h.Window); err != nil {
		return Taken{}, err
	}
	taken := s.await(ctx)
	return taken, nil
}

// takeTurn waits for the session's turn, until ctx ends.
func (s *Session) takeTurn(ctx context.Context) bool {
	select {
	case s.turn <- struct{}{}: // also when there is no time to wait
		return true
	default:
	}
	select {
	case s.turn <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

// claimWait is how long a turn that does not wait gives a store to claim what is there.
const claimWait = time.Second

// claiming is how long a turn lasts at least: what is in a store has to be claimed first.
func (w *Workers) claiming(types []Type) time.Duration {
	for _, t := range types {
		if s, err := w.engine.TypeStats(t.MessageType); err == nil && s.Queued > 0 && !s.Policy.Paused {
			return claimWait
		}
	}
	return 0
}

// turnOf returns the instance's session; fresh, if it is a new one, which has read the hello.
func (w *Workers) turnOf(ctx context.Context, h Hello) (s *Session, fresh bool, err error) {
	w.mu.Lock()
	if i := w.instances[h.Instance]; i != nil && i.session != nil && i.session.turns && i.session.serves(h.Types) {
		s = i.session
	}
	draining := w.draining
	w.mu.Unlock()
	if draining {
		return nil, false, engine.ErrDraining
	}
	if s != nil {
		if err := w.check(h); err != nil {
			w.counts.refused.Add(1)
			return nil, false, err
		}
		return s, false, nil
	}
	s, err = w.open(ctx, h, true)
	return s, true, err
}

// interrupt ends the turn before, and lets the next end this one.
func (s *Session) interrupt(cancel context.CancelFunc) {
	s.Heard()
	s.workers.mu.Lock()
	defer s.workers.mu.Unlock()
	if s.next != nil {
		s.next()
	}
	s.next = cancel
}

// begin opens the consumer for a turn.
func (s *Session) begin(window int) error {
	w := s.workers
	w.mu.Lock()
	defer w.mu.Unlock()
	if s.cause != nil {
		return s.cause
	}
	if s.closed { // silent for too long, and just now
		return ErrClosed
	}
	s.taking, s.window = true, min(window, w.cfg.MaxWindow)
	s.resize()
	return nil
}

// await is the turn: until there is something, or ctx ends.
func (s *Session) await(ctx context.Context) Taken {
	var o Out
	for {
		s.Collect(&o)
		if len(o.Jobs)+len(o.Stops) > 0 || o.Drain || s.Wait(ctx) != nil {
			break
		}
	}
	w := s.workers
	w.mu.Lock()
	s.taking = false
	s.resize()
	w.mu.Unlock()
	s.Heard()
	taken := Taken{Session: s.id, Jobs: o.Jobs, Stops: o.Stops}
	o = Out{}
	s.Collect(&o) // what came while the consumer closed
	taken.Jobs, taken.Stops = append(taken.Jobs, o.Jobs...), append(taken.Stops, o.Stops...)
	if errors.Is(context.Cause(ctx), context.Canceled) { // who asked is gone, or asks again
		s.handBack(taken.Jobs)
		taken.Jobs = nil
		return taken
	}
	s.ackAll(&taken)
	return taken
}

// handBack gives offers back that nobody gets.
func (s *Session) handBack(jobs []engine.Job) {
	w := s.workers
	var r reconciled
	w.mu.Lock()
	for i := range jobs {
		l := leaseOf(&jobs[i])
		if h := w.own(s.instance, l); h != nil && h.state == offered {
			w.drop(h)
			r.offered = append(r.offered, l)
		}
	}
	w.mu.Unlock()
	w.giveUp(r)
}

// ackAll makes the jobs the worker's.
func (s *Session) ackAll(taken *Taken) {
	w := s.workers
	leases := make([]engine.Lease, 0, len(taken.Jobs))
	w.mu.Lock()
	for i := range taken.Jobs {
		l := leaseOf(&taken.Jobs[i])
		if h := w.own(s.instance, l); h != nil && h.state == offered {
			w.become(h, running)
			leases = append(leases, l)
		}
	}
	w.mu.Unlock()
	for _, l := range w.engine.Extend(w.cfg.Lease, leases...) {
		taken.Stops = append(taken.Stops, engine.Stop{Lease: l, Reason: engine.ErrStale})
		w.mu.Lock()
		if h := w.own(s.instance, l); h != nil {
			w.drop(h)
		}
		w.mu.Unlock()
	}
}

// leaseOf is the lease of a job.
func leaseOf(j *engine.Job) engine.Lease {
	return engine.Lease{ID: j.Message.ID, Attempt: j.Message.Attempt}
}

// Settle ends a lease of whoever says so: a worker without a connection, or who was handed
// the message by a handler that detached it. It returns when that is stored. stale means that
// it changed nothing. Errors: ctx's; engine.ErrDraining, engine.ErrStoreFailed.
func (w *Workers) Settle(ctx context.Context, l engine.Lease, result engine.Result, err error) (stale bool, _ error) {
	w.heardOf(l)
	stored, refused := w.engine.Settle(l, result, err)
	if stored == nil && errors.Is(refused, engine.ErrStale) && w.goesOn(ctx, l) {
		stored, refused = w.engine.Settle(l, result, err)
	}
	w.mu.Lock()
	if h := w.leases[l]; h != nil && h.state != settling && (refused == nil || errors.Is(refused, engine.ErrStale)) {
		i := h.owner
		w.drop(h)
		if i.session != nil {
			i.session.resize()
		}
	}
	w.mu.Unlock()
	switch {
	case stored != nil:
		err := stored.Wait(ctx)
		if !errors.Is(err, engine.ErrStale) { // of an attempt that its handler then did not detach
			return false, err
		}
	case !errors.Is(refused, engine.ErrStale):
		return false, refused
	case w.tookBefore(nil, l, err):
		return false, nil
	}
	w.counts.stale.Add(1)
	return true, nil
}

// goesOn resumes a lease of an earlier server, of which nobody said hello since: it waits for
// whoever has it, who was just heard of.
func (w *Workers) goesOn(ctx context.Context, l engine.Lease) bool {
	status, err := w.engine.Get(l.ID)
	waits := err == nil && (status.State == engine.StateQueued || status.State == engine.StateRetrying)
	return waits && status.Attempt == l.Attempt && w.engine.Resume(ctx, nil, l, w.cfg.Lease) == nil
}

// heardOf says that the worker of a lease lives, if it has no connection.
func (w *Workers) heardOf(l engine.Lease) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if h := w.leases[l]; h != nil && h.owner.session != nil && h.owner.session.turns {
		h.owner.session.Heard()
	}
}

// Report is what a worker says of a running lease.
type Report struct {
	// Progress is nil if it says nothing of it.
	Progress *engine.Progress
	// Checkpoint is to be saved; nil if there is none.
	Checkpoint []byte
}

// Extend lets a lease run on, of whoever says so, and takes a report of it. asked is nil, or
// why the attempt is to end: engine.ErrTimeout, engine.ErrCancelled, engine.ErrShutdown, or
// engine.ErrStale if it has ended. Errors: ctx's; engine.ErrTooLarge, engine.ErrStorageFull,
// engine.ErrStoreFailed, engine.ErrDraining.
func (w *Workers) Extend(ctx context.Context, l engine.Lease, r Report) (asked, err error) {
	w.heardOf(l)
	select {
	case <-w.engine.Failed():
		return nil, engine.ErrStoreFailed
	default:
	}
	if len(w.engine.Extend(w.cfg.Lease, l)) > 0 && !w.goesOn(ctx, l) {
		w.counts.stale.Add(1)
		return engine.ErrStale, nil
	}
	if r.Progress != nil {
		_ = w.engine.ReportProgress(l, r.Progress.Fraction, r.Progress.Note) // stale since: the next beat tells
	}
	if r.Checkpoint != nil {
		saved, err := w.engine.Save(l, r.Checkpoint)
		if errors.Is(err, engine.ErrStale) {
			return engine.ErrStale, nil
		}
		if err == nil {
			err = saved.Wait(ctx)
		}
		if err != nil {
			return nil, err
		}
	}
	return w.asked(l), nil
}

// LeaseLeft is for how long a lease runs if nothing is heard of it: Config.Lease from the
// latest word on, or what a handler detached it for.
func (w *Workers) LeaseLeft(l engine.Lease) time.Duration {
	ends, err := w.engine.LeaseEnds(l)
	if err != nil || ends.IsZero() {
		return w.cfg.Lease
	}
	return max(time.Until(ends), 0).Round(time.Second)
}

// asked returns why a lease is to end.
func (w *Workers) asked(l engine.Lease) error {
	w.mu.Lock()
	h := w.leases[l]
	var s *Session
	if h != nil && h.owner.session != nil && h.owner.session.turns {
		s = h.owner.session
	}
	w.mu.Unlock()
	if s != nil {
		select {
		case s.turn <- struct{}{}: // no turn is under way that would tell
			s.keepStops()
			<-s.turn
		default:
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if h := w.leases[l]; h != nil {
		return h.asked
	}
	if status, err := w.engine.Get(l.ID); err == nil && status.CancelRequested {
		return engine.ErrCancelled
	}
	return nil
}

// keepStops notes what the engine wants to end, for the next turn too.
func (s *Session) keepStops() {
	var o Out
	s.Collect(&o)
	s.handBack(o.Jobs) // there are none: the consumer has no slots
	s.workers.mu.Lock()
	s.out.Stops = append(o.Stops, s.out.Stops...)
	s.workers.mu.Unlock()
}
