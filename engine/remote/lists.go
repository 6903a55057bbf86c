package remote

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/activemessage/activemessage/engine"
)

// reconciled is what follows from a list of leases.
type reconciled struct {
	running []engine.Lease // that are the worker's
	strange []engine.Lease // that the worker lists, and the instance does not have
	offered []engine.Lease // that the worker did not get
	lost    []engine.Lease // that the worker does not have any more
}

// reconcile holds a worker's list against what it was given. complete means that the list
// also says which offers have arrived. The caller holds mu.
func (i *instance) reconcile(list []engine.Lease, complete bool) (r reconciled) {
	w := i.workers
	i.lists++
	for _, l := range list {
		h := w.own(i, l)
		switch {
		case h == nil:
			r.strange = append(r.strange, l)
			continue
		case h.listed == i.lists: // twice
			continue
		case h.state == offered: // its ack was cut off
			w.become(h, running)
		}
		h.listed = i.lists
		if h.state == running {
			r.running = append(r.running, l)
		}
	}
	for h := i.leases; h != nil; {
		next := h.next
		if h.listed != i.lists {
			switch {
			case h.state == ghost:
				w.drop(h)
			case h.state == offered && complete:
				r.offered = append(r.offered, h.lease)
				w.drop(h)
			case h.state == running:
				r.lost = append(r.lost, h.lease)
				w.drop(h)
			}
		}
		h = next
	}
	return r
}

// errNotListed is why a lease is lost that a worker does not list.
var errNotListed = errors.New("its worker does not have it any more")

// giveUp ends what the worker does not have.
func (w *Workers) giveUp(r reconciled) {
	for _, l := range r.offered {
		if _, err := w.engine.Settle(l, engine.Result{}, engine.HandBack()); err == nil {
			w.counts.handedBack.Add(1)
		}
	}
	for _, l := range r.lost {
		if _, err := w.engine.Settle(l, engine.Result{}, engine.Lost(errNotListed)); err == nil {
			w.counts.lost.Add(1)
		}
	}
}

// Beat says what the worker holds, all of it, and its window, unless that is nil: it stays
// as it is then. Errors: *RefusedError, of a list or a window that cannot be; nothing changes
// then.
func (s *Session) Beat(list []engine.Lease, window *int) error {
	w := s.workers
	if err := w.checkHeld(list); err != nil {
		return err
	}
	if window != nil {
		if err := checkWindow(*window); err != nil {
			return err
		}
	}
	s.Heard()
	w.mu.Lock()
	if s.instance.session != s {
		w.mu.Unlock()
		return nil // the instance says it elsewhere now
	}
	r := s.instance.reconcile(list, false)
	w.mu.Unlock()
	w.giveUp(r)
	stale := w.engine.Extend(w.cfg.Lease, r.running...)
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, l := range stale {
		s.haunt(l)
	}
	for _, l := range r.strange {
		s.stale(l)
	}
	if window != nil {
		s.window = min(*window, w.cfg.MaxWindow)
	}
	s.out.Beaten = true
	s.resize()
	s.rouse()
	return nil
}

// haunt tells the worker to stop what the engine has ended, and remembers it until the
// worker has. The caller holds mu.
func (s *Session) haunt(l engine.Lease) {
	h := s.workers.own(s.instance, l)
	if h == nil {
		return // settled meanwhile
	}
	if h.state == running || h.state == offered {
		s.workers.become(h, ghost)
		s.stale(l)
	}
}

// resume takes over what the instance holds. Errors: ctx's.
func (s *Session) resume(ctx context.Context, h Hello) error {
	w, i := s.workers, s.instance
	w.mu.Lock()
	var r reconciled
	if h.Unlisted {
		for one := i.leases; one != nil; one = one.next {
			if one.state == offered || one.state == running {
				r.running = append(r.running, one.lease)
			}
		}
	} else {
		r = i.reconcile(h.Held, true)
	}
	w.mu.Unlock()
	w.giveUp(r)
	return errors.Join(s.resumeAll(ctx, r.running, true), s.resumeAll(ctx, r.strange, false))
}

// resuming is how many leases are resumed at once: those of an earlier server share what the
// store commits.
const resuming = 256

func (s *Session) resumeAll(ctx context.Context, leases []engine.Lease, had bool) error {
	for chunk := range slices.Chunk(leases, resuming) {
		errs := make([]error, len(chunk))
		var waiting sync.WaitGroup
		for i, l := range chunk {
			waiting.Go(func() { errs[i] = s.resumeOne(ctx, l, had) })
		}
		waiting.Wait()
		if err := errors.Join(errs...); err != nil {
			return err
		}
	}
	return nil
}

// resumeOne takes one lease over, which the instance had before, or had of an earlier server.
func (s *Session) resumeOne(ctx context.Context, l engine.Lease, had bool) error {
	w := s.workers
	w.mu.Lock()
	others := w.leases[l] != nil && w.own(s.instance, l) == nil
	w.mu.Unlock()
	err := engine.ErrStale
	if !others {
		err = w.engine.Resume(ctx, s.consumer, l, w.cfg.Lease)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case err == nil && !had:
		w.hold(l, s.instance, running)
	case err == nil:
		if h := w.own(s.instance, l); h != nil && h.state == offered {
			w.become(h, running)
		}
	case others:
		s.stale(l)
	case errors.Is(err, engine.ErrStale) && !had:
		w.hold(l, s.instance, ghost)
		s.stale(l)
	case errors.Is(err, engine.ErrStale):
		s.haunt(l)
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return nil // of a store that failed the worker learns by what follows
}
