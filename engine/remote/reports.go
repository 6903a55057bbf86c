package remote

import (
	"context"
	"errors"

	"github.com/activemessage/activemessage/engine"
)

// Ack says that the worker has a message.
func (s *Session) Ack(l engine.Lease) { s.touch(l) }

// Progress reports how far the worker is with a lease: fraction from 0 to 1, and a note.
func (s *Session) Progress(l engine.Lease, fraction float64, note string) {
	if s.touch(l) {
		_ = s.workers.engine.ReportProgress(l, fraction, note) // stale since just now: the beat tells
	}
}

// Save keeps a checkpoint of a lease for the next attempt. Errors: engine.ErrTooLarge,
// engine.ErrStoreFailed, engine.ErrDraining.
func (s *Session) Save(l engine.Lease, data []byte) error {
	if !s.touch(l) {
		return nil
	}
	_, err := s.workers.engine.Save(l, data)
	if errors.Is(err, engine.ErrStale) {
		return nil
	}
	return err
}

// touch extends a lease of which the worker said something, and reports whether it is its.
func (s *Session) touch(l engine.Lease) bool {
	s.Heard()
	w := s.workers
	w.mu.Lock()
	h := w.own(s.instance, l)
	switch {
	case h == nil || h.state == ghost || s.instance.session != s:
		s.stale(l)
		w.mu.Unlock()
		return false
	case h.state == settling:
		w.mu.Unlock()
		return false // settled will follow
	case h.state == offered:
		w.become(h, running)
	}
	w.mu.Unlock()
	if len(w.engine.Extend(w.cfg.Lease, l)) == 0 {
		return true
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	s.haunt(l)
	return false
}

// Settle ends a lease with what its worker made of it; err is as a Handler returns it. It is
// answered, by Collect, when it is stored, and at once if it is stale.
func (s *Session) Settle(l engine.Lease, result engine.Result, err error) {
	s.Heard()
	w := s.workers
	w.mu.Lock()
	h := w.own(s.instance, l)
	switch {
	case h == nil || h.state == ghost || s.instance.session != s:
		w.mu.Unlock()
		s.answer(l, !w.tookBefore(s.instance, l, err))
		return
	case h.state == settling: // twice, and answered once
		w.counts.stale.Add(1)
		w.mu.Unlock()
		return
	}
	w.become(h, settling)
	w.mu.Unlock()
	stored, refused := w.engine.Settle(l, result, err)
	w.mu.Lock()
	defer w.mu.Unlock()
	s.settled(l, stored, refused)
}

// settled goes on when the engine has said what it makes of a settlement. The caller holds
// mu.
func (s *Session) settled(l engine.Lease, stored *engine.Stored, err error) {
	w, i := s.workers, s.instance
	h := w.own(i, l)
	if h == nil {
		return
	}
	switch {
	case stored != nil && (!stored.Ready() || i.confirming != nil):
		i.await(l, stored)
		s.resize()
	case err == nil || errors.Is(err, engine.ErrStale):
		w.drop(h)
		if err != nil {
			w.counts.stale.Add(1)
		}
		if stored != nil && stored.Wait(context.Background()) != nil {
			return // could not be stored
		}
		s.out.Settled = append(s.out.Settled, Settled{Lease: l, Stale: err != nil && stored == nil})
		s.rouse()
	default: // the engine ends, and the next takes it
		w.become(h, running)
	}
}

// Confirmed returns when all settlements of the instance are stored, and Collect has their
// answers; or when ctx ends.
func (s *Session) Confirmed(ctx context.Context) {
	w := s.workers
	w.mu.Lock()
	confirming := s.instance.confirming
	w.mu.Unlock()
	if confirming == nil {
		return
	}
	select {
	case <-confirming:
	case <-ctx.Done():
	}
}

// answer answers a report that changes nothing, but that the worker has let go of the lease.
func (s *Session) answer(l engine.Lease, stale bool) {
	w := s.workers
	w.mu.Lock()
	defer w.mu.Unlock()
	if stale {
		w.counts.stale.Add(1)
	}
	if h := w.own(s.instance, l); h != nil && h.state == ghost {
		w.drop(h)
		s.resize()
	}
	s.out.Settled = append(s.out.Settled, Settled{Lease: l, Stale: stale})
	s.rouse()
}

// tookBefore reports whether a lease was settled as reported now: its confirmation was
// lost, and the report came again. i is whose it was; nil if nobody says.
func (w *Workers) tookBefore(i *instance, l engine.Lease, err error) bool {
	w.mu.Lock()
	h := w.leases[l]
	others := h != nil && h.owner != i
	w.mu.Unlock()
	if others {
		return false
	}
	status, unknown := w.engine.Get(l.ID)
	if unknown != nil {
		return false
	}
	for n := range status.Attempts {
		a := &status.Attempts[n]
		if a.Number == l.Attempt {
			return sameEnd(a, err)
		}
	}
	return false
}

// sameEnd reports whether an attempt ended with err.
func sameEnd(a *engine.Attempt, err error) bool {
	if a.Error == nil || err == nil {
		return a.State == engine.StateSucceeded && err == nil
	}
	told, is := errors.AsType[*engine.Error](err)
	return is && a.Error.Code == told.Code && a.Error.Message == told.Message
}

// Receiving is for the transport, while parts of a frame arrive that is not all there: the
// worker cannot beat before it is through, and what it runs goes on.
func (s *Session) Receiving() {
	s.Heard()
	now, last := s.workers.uptime(), s.extended.Load()
	if now-last < int64(s.workers.cfg.Beat) || !s.extended.CompareAndSwap(last, now) {
		return
	}
	w := s.workers
	var all []engine.Lease
	w.mu.Lock()
	for h := s.instance.leases; h != nil && s.instance.session == s; h = h.next {
		if h.state == running {
			all = append(all, h.lease)
		}
	}
	w.mu.Unlock()
	w.engine.Extend(w.cfg.Lease, all...) // what is stale, the answer to the next beat tells
}
