package remote

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/activemessage/activemessage/engine"
)

// Session is an instance while it is connected. Its transport says what the worker said by
// its methods, and sends what Collect returns.
type Session struct {
	workers  *Workers
	instance *instance
	id       string
	consumer *engine.Consumer
	types    []string
	turns    bool // the transport has no connection, see Workers.Take

	wake  chan struct{} // sent to when there is something for Collect; capacity 1, never closed
	ended chan struct{} // closed by end
	heard atomic.Int64  // when the worker last said something, by Workers.uptime
	// extended is when Receiving last extended all leases, by Workers.uptime.
	extended atomic.Int64

	// collecting is held by Collect, so that what it returns comes in order.
	collecting sync.Mutex
	// turn has an element while Workers.Take has its turn; capacity 1, never closed.
	turn chan struct{}

	// Guarded by Workers.mu.
	out     Out
	cause   error // why it ended
	closed  bool
	window  int
	slots   int  // the consumer's
	leaving bool // the worker drains
	full    bool // the transport cannot send more now
	taking  bool // with turns: one is under way
	next    context.CancelFunc
}

// Out is what a session has to tell its worker. Who sends it keeps this order.
type Out struct {
	// Settled are reports that are answered.
	Settled []Settled
	// Stops are leases to end.
	Stops []engine.Stop
	// Beaten is true if a beat is to be answered; Stops are part of that answer, if one
	// likes.
	Beaten bool
	// Jobs are offers; over a transport with turns they are the worker's already.
	Jobs []engine.Job
	// Drain is true if the worker is to be told that the server drains, and has so long.
	Drain  bool
	Within time.Duration
}

// Settled answers a report of a lease's end.
type Settled struct {
	Lease engine.Lease
	// Stale: the report changed nothing, for the lease was not the worker's any more.
	Stale bool
}

// Empty reports whether there is nothing in it.
func (o *Out) Empty() bool {
	return len(o.Settled)+len(o.Stops)+len(o.Jobs) == 0 && !o.Beaten && !o.Drain
}

// ID names the session, for people.
func (s *Session) ID() string { return s.id }

// Ended is closed when the session is over by no doing of its transport, which then closes.
func (s *Session) Ended() <-chan struct{} { return s.ended }

// Cause returns why Ended is closed: ErrReplaced, ErrDead or ErrClosed.
func (s *Session) Cause() error {
	s.workers.mu.Lock()
	defer s.workers.mu.Unlock()
	return s.cause
}

// Wait returns when there may be something to collect. Errors: ctx's; Cause.
func (s *Session) Wait(ctx context.Context) error {
	select {
	case <-s.wake:
	case <-s.consumer.Ready():
	case <-s.ended:
		return s.Cause()
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// Backlog is how many answers wait to be collected: a transport that does not get rid of
// them does not read on.
func (s *Session) Backlog() int {
	s.workers.mu.Lock()
	defer s.workers.mu.Unlock()
	return len(s.out.Settled) + len(s.out.Stops)
}

// Collect moves what there is to tell into o, which is empty but for its memory. It does not
// wait.
func (s *Session) Collect(o *Out) {
	s.collecting.Lock()
	defer s.collecting.Unlock()
	work, _ := s.consumer.Poll() // when it is closed there is nothing
	w := s.workers
	w.mu.Lock()
	defer w.mu.Unlock()
	if s.instance.session != s { // since just now: nobody would be told
		work.Jobs = nil // they are handed back when their offer ends
	}
	*o, s.out = s.out, Out{Settled: o.Settled[:0], Stops: o.Stops[:0]}
	for _, stop := range work.Stops {
		s.stopped(stop)
		o.Stops = append(o.Stops, stop)
	}
	if len(work.Stops) > 0 {
		s.resize()
	}
	o.Jobs = work.Jobs
	for i := range work.Jobs {
		w.hold(leaseOf(&work.Jobs[i]), s.instance, offered)
	}
}

// stopped notes what the engine wants to end, or has. The caller holds mu.
func (s *Session) stopped(stop engine.Stop) {
	w := s.workers
	h := w.own(s.instance, stop.Lease)
	switch {
	case h == nil:
	case stop.Reason != engine.ErrStale: //nolint:errorlint // it is one of four values, see engine.Stop
		h.asked = stop.Reason
	case h.state == offered:
		w.counts.handedBack.Add(1)
		w.drop(h)
	case h.state == running:
		w.become(h, ghost)
		w.counts.lost.Add(1)
	}
}

// stale tells the worker that a lease is not its. The caller holds mu.
func (s *Session) stale(l engine.Lease) {
	s.workers.counts.stale.Add(1)
	s.out.Stops = append(s.out.Stops, engine.Stop{Lease: l, Reason: engine.ErrStale})
	s.rouse()
}

// resize gives the consumer the slots that the session has: its window, without what the
// worker runs on though it was told to stop, and without settlements that wait for the
// store, as far as those exceed the window: they are in the worker's memory, and in ours.
// The caller holds mu.
func (s *Session) resize() {
	i := s.instance
	slots := max(0, s.window-i.ghosts-max(0, i.settling-s.window-settlingAhead))
	if s.closed || s.leaving || s.full || s.workers.draining || s.turns && !s.taking {
		slots = 0
	}
	if slots != s.slots {
		s.slots = slots
		s.consumer.Resize(slots)
	}
}

// Full says whether the transport cannot send more now: meanwhile messages are for others.
func (s *Session) Full(full bool) {
	s.workers.mu.Lock()
	defer s.workers.mu.Unlock()
	s.full = full
	s.resize()
}

// settlingAhead is how many settlements may wait for the store beyond a window.
const settlingAhead = 256

// announceDrain tells the worker how long it has. The caller holds mu.
func (s *Session) announceDrain(now time.Time) {
	s.out.Drain, s.out.Within = true, max(0, s.workers.drainBy.Sub(now))
	s.rouse()
}

// rouse wakes Wait.
func (s *Session) rouse() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Heard says that something came of the worker, if only part of a frame.
func (s *Session) Heard() { s.heard.Store(s.workers.uptime()) }

// silent reports whether the worker is dead. The caller holds mu.
func (s *Session) silent() bool {
	if s.taking || s.closed || s.cause != nil {
		return false
	}
	limit := silences * s.workers.cfg.Beat
	if s.turns && s.instance.leases != nil {
		limit = max(limit, s.workers.cfg.Lease) // it says what it holds one by one
	}
	return s.workers.uptime()-s.heard.Load() >= int64(limit)
}

// end tells the transport to close.
func (s *Session) end(cause error) {
	s.workers.mu.Lock()
	defer s.workers.mu.Unlock()
	if s.cause == nil {
		s.cause = cause
		close(s.ended)
	}
}

// Close is for the transport, when the connection is gone. What the worker holds runs on
// until its leases end; the instance's next hello resumes it.
func (s *Session) Close() {
	w := s.workers
	w.mu.Lock()
	if s.closed {
		w.mu.Unlock()
		return
	}
	s.closed = true
	if i := s.instance; i.session == s {
		i.session, i.gone = nil, time.Now()
		if i.leases == nil {
			i.forget()
		}
	}
	w.mu.Unlock()
	s.consumer.Close()
	w.cfg.Logger.Debug("worker session closed", slog.String("session", s.id), slog.String("instance", s.instance.name))
}

// Drain says that the worker wants no more jobs. It goes on to settle what it holds.
func (s *Session) Drain() {
	s.Heard()
	s.workers.mu.Lock()
	defer s.workers.mu.Unlock()
	s.leaving = true
	s.resize()
}

// serves reports whether the session has just these types.
func (s *Session) serves(types []Type) bool {
	return slices.EqualFunc(s.types, types, func(name string, t Type) bool { return name == t.MessageType })
}
