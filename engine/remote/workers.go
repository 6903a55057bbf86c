package remote

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/activemessage/activemessage/engine"
)

// Why a session ends, besides that its transport does.
var (
	// ErrReplaced: the instance has another session, which has its leases.
	ErrReplaced = errors.New("another connection of this instance took over")
	// ErrDead: nothing was heard for three beats. The leases run on.
	ErrDead = errors.New("nothing was heard for three beats")
	// ErrClosed: Workers was closed.
	ErrClosed = errors.New("the server stops")
	// ErrFull: as many instances as are allowed are connected, or hold leases.
	ErrFull = errors.New("too many workers")
)

// RefusedError is a hello that cannot be served, in words that say why.
type RefusedError struct {
	// Field is what of the hello is wrong, as a JSON Pointer (RFC 6901).
	Field string
	// Reason says what is wrong and what is allowed.
	Reason string
	// Cause is the engine's error; nil if there is none.
	Cause error
}

// Error returns the field and the reason.
func (e *RefusedError) Error() string { return e.Field[1:] + ": " + e.Reason }

// Unwrap returns the cause.
func (e *RefusedError) Unwrap() error { return e.Cause }

// Workers has the instances of all transports and what they run. Its methods may be called
// from any goroutine.
type Workers struct {
	engine     *engine.Engine
	cfg        Config
	counts     counts
	began      time.Time
	quit       chan struct{} // closed by Close
	goroutines sync.WaitGroup

	mu sync.Mutex
	// All below is guarded by mu. The engine's lock is taken within it, never the other way
	// round.
	instances  map[string]*instance
	leases     map[engine.Lease]*held
	spare      *held // entries to be used again
	registered int   // types, by workers
	running    int   // leases
	drainBy    time.Time
	draining   bool
	closed     bool
}

// counts are since New.
type counts struct {
	handedBack, lost, stale, refused, malformed, replaced, dead atomic.Uint64
}

// Stats is a snapshot of Workers. Counts are since New.
type Stats struct {
	// Sessions is how many are open, and Instances how many are known, because they have a
	// session, or leases.
	Sessions, Instances int
	// Leases is how many run.
	Leases int
	// HandedBack counts offers that were not acked, Lost leases that ended without a word,
	// or that a worker no longer listed.
	HandedBack, Lost uint64
	// Stale counts what workers said of leases that they did not have.
	Stale uint64
	// Refused counts hellos that were, Malformed what could not be read.
	Refused, Malformed uint64
	// Replaced counts sessions that ended because their instance came again, Dead those in
	// which nothing was heard any more.
	Replaced, Dead uint64
}

// New makes Workers and starts its goroutine, which ends with Close.
func New(e *engine.Engine, cfg Config) *Workers {
	w := &Workers{
		engine:    e,
		cfg:       cfg.withDefaults(),
		began:     time.Now(),
		quit:      make(chan struct{}),
		instances: make(map[string]*instance),
		leases:    make(map[engine.Lease]*held),
	}
	w.goroutines.Go(w.watch)
	return w
}

// Config returns the configuration in force, defaults filled in.
func (w *Workers) Config() Config { return w.cfg }

// Engine returns the engine whose messages the workers run.
func (w *Workers) Engine() *engine.Engine { return w.engine }

// Stats returns the current counts.
func (w *Workers) Stats() Stats {
	c := &w.counts
	s := Stats{
		HandedBack: c.handedBack.Load(), Lost: c.lost.Load(), Stale: c.stale.Load(), Refused: c.refused.Load(),
		Malformed: c.malformed.Load(), Replaced: c.replaced.Load(), Dead: c.dead.Load(),
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	s.Instances, s.Leases = len(w.instances), w.running
	for _, i := range w.instances {
		if i.session != nil {
			s.Sessions++
		}
	}
	return s
}

// uptime is the time since New in nanoseconds, on a clock that nobody sets.
func (w *Workers) uptime() int64 { return int64(time.Since(w.began)) }

// Malformed counts something that a transport could not read.
func (w *Workers) Malformed() { w.counts.malformed.Add(1) }

// Close ends all sessions and the goroutines, which it awaits. Call it after the engine's
// Drain, and after the transports' shutdown. It may be called more than once.
func (w *Workers) Close() {
	w.mu.Lock()
	first := !w.closed
	w.closed = true
	var open []*Session
	for _, i := range w.instances {
		if i.session != nil {
			open = append(open, i.session)
		}
	}
	w.mu.Unlock()
	for _, s := range open {
		s.end(ErrClosed)
		s.Close()
	}
	if first {
		close(w.quit)
	}
	w.goroutines.Wait()
}

// watch is the goroutine that finds who is silent, and says when the engine drains.
func (w *Workers) watch() {
	ticker := time.NewTicker(w.cfg.Beat)
	defer ticker.Stop()
	draining := w.engine.Draining()
	for {
		select {
		case now := <-ticker.C:
			w.sweep(now)
		case <-draining:
			draining = nil
			w.drain(time.Now())
		case <-w.quit:
			return
		}
	}
}

// drain tells all that no more jobs come.
func (w *Workers) drain(now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.draining, w.drainBy = true, now.Add(w.cfg.Drain)
	for _, i := range w.instances {
		if s := i.session; s != nil {
			s.resize()
			s.announceDrain(now)
		}
	}
}

// sweep ends sessions that are silent, and forgets instances of which nothing is left.
func (w *Workers) sweep(now time.Time) {
	var dead []*Session
	w.mu.Lock()
	for _, i := range w.instances {
		switch s := i.session; {
		case s == nil && now.Sub(i.gone) > max(w.cfg.Lease, w.cfg.Offer):
			i.forget() // its leases have ended, or somebody else extends them
		case s != nil && s.silent():
			dead = append(dead, s)
		}
	}
	w.mu.Unlock()
	for _, s := range dead {
		if s.turns {
			s.Close() // nobody is there to be told
			continue
		}
		w.counts.dead.Add(1)
		s.end(ErrDead)
	}
}
