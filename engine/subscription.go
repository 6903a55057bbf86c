package engine

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
)

const (
	// deliveryBatch is how many notifications Next returns at most.
	deliveryBatch = 64
	// maxPending bounds the numbers a subscription notes ahead of its reader. A
	// reader further behind reads the log itself.
	maxPending = 256
	// maxSubscriptionReports bounds the messages whose progress waits.
	maxSubscriptionReports = 64
)

// Subscription is a cursor and a set of selectors, not a queue: being slow costs
// nobody else anything, and what the log no longer has when it is read is
// reported as a Gap. Its reading methods are for one goroutine at a time; Add,
// Remove and Close may be called from any.
type Subscription struct {
	log       *notificationLog
	router    *router
	selectors int // the bound
	// reading: the reader holds mu while it waits for a store. missed: the router passed it
	// over for that, so it has to look for itself.
	reading, missed atomic.Bool
	// ready has room for one wake of Next; sent to under mu, never closed.
	ready chan struct{}

	mu sync.Mutex
	// All below is guarded by mu.
	set     []Selector
	next    uint64   // everything before has been considered
	pending []uint64 // numbers noted by the router, from next on
	behind  bool     // pending is not complete: the log has to be scanned from next on
	all     bool     // one selector is "*": the log is the list of what matches
	foreign bool     // the cursor named another log, and the reader was not told yet
	replays []replay // one for a selector at most
	reports []*attempt
	armed   bool // the reader found nothing: tell it when that changes
	onReady func()
	ended   bool // the router has nothing more
	closed  bool
	failed  error          // why the store could not be read
	buf     []Notification // Next's
}

// replay is the past of a selector that was added with an earlier cursor.
type replay struct {
	selector  Selector
	next, end uint64
}

// Delivery is what one read returns.
type Delivery struct {
	// Gap is set when notifications before the first of Notifications are lost.
	Gap *Gap
	// Notifications are in log order; valid until the next read.
	Notifications []Notification
	// Progress has the latest reports of running messages, in no order.
	Progress []ProgressReport
	// Cursor is the position after this delivery: subscribe from it to go on.
	Cursor Cursor
}

// Empty reports whether there was nothing to read.
func (d *Delivery) Empty() bool {
	return d.Gap == nil && len(d.Notifications) == 0 && len(d.Progress) == 0
}

// Gap tells that the log no longer had what the subscription wanted to read.
type Gap struct {
	// From and To are the first and last number missed. Both are 0 when the
	// cursor named another log, whose end this engine cannot know: it goes on with
	// the oldest notification kept of the log it has.
	From, To uint64
	// Cursor is the position just after the gap: what follows is not lost.
	Cursor Cursor
}

// Subscribe follows the notifications that sel picks, from a position of the log
// on. Close the subscription when it is no longer read. Errors: ErrInvalid (sel,
// or a cursor ahead of the log).
//
// After Drain a subscription still reads what the log has, then gets ErrClosed.
func (e *Engine) Subscribe(sel Selector, from Cursor) (*Subscription, error) {
	next, foreign, err := e.log.start(from)
	if err != nil {
		return nil, err
	}
	s := &Subscription{
		log:       e.log,
		router:    e.router,
		selectors: e.cfg.MaxSelectors,
		ready:     make(chan struct{}, 1),
		next:      next,
		behind:    true,
		foreign:   foreign,
	}
	e.router.mu.Lock()
	e.router.index.subscriptions[s] = struct{}{}
	s.ended = e.router.ended
	e.router.mu.Unlock()
	e.router.subscriptions.Add(1)
	if err := s.Add(sel, Cursor{}); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// Add adds a selector. A notification that several selectors match comes once.
// With the zero Cursor, sel counts from the subscription's own position on; with
// one before it, what sel picks in between is delivered first, even if another
// selector delivered it before. Adding a selector that is there replays only.
// Errors: ErrInvalid (the selector, too many of them, or a cursor ahead of the
// log), ErrClosed.
func (s *Subscription) Add(sel Selector, from Cursor) error {
	if err := sel.Validate(); err != nil {
		return err
	}
	start, foreign, err := s.log.start(from)
	if err != nil {
		return err
	}
	s.router.mu.Lock()
	defer s.router.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	s.settleNext()
	if !slices.Contains(s.set, sel) {
		if len(s.set) >= s.selectors {
			return &InvalidError{Field: "selector", Reason: fmt.Sprintf("%d selectors are too many for one subscription: use a pattern, or several connections", len(s.set)+1)}
		}
		s.set = append(s.set, sel)
		s.router.index.add(sel, s)
		if len(s.pending) > 0 {
			s.pending, s.behind = nil, true // sel may pick what the router has passed over since next
		}
		if matchesAll(sel) {
			s.all, s.pending = true, nil
		}
	}
	if !from.IsZero() {
		s.foreign = s.foreign || foreign
		s.replayFrom(sel, start)
		s.wakeReader()
	}
	return nil
}

func matchesAll(sel Selector) bool { return sel.ResponseNotification == "*" }

// replayFrom makes up for what sel missed before next, from where on the
// subscription sees all that matches it. The caller holds mu.
func (s *Subscription) replayFrom(sel Selector, start uint64) {
	end := s.next
	if start >= end {
		return
	}
	for i := range s.replays {
		if r := &s.replays[i]; r.selector == sel {
			r.next, r.end = min(r.next, start), max(r.end, end)
			return
		}
	}
	s.replays = append(s.replays, replay{selector: sel, next: start, end: end})
}

// settleNext moves next over what the router found not to match. The caller
// holds mu.
func (s *Subscription) settleNext() {
	if !s.behind && !s.all && len(s.pending) == 0 {
		s.next = max(s.next, s.router.routed.Load()+1)
	}
}

// Remove removes a selector; it reports whether it was there.
func (s *Subscription) Remove(sel Selector) bool {
	s.router.mu.Lock()
	defer s.router.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.Index(s.set, sel)
	if i < 0 || s.closed {
		return false
	}
	s.set = slices.Delete(s.set, i, i+1)
	s.router.index.remove(sel, s)
	if s.all && !slices.ContainsFunc(s.set, matchesAll) {
		// What follows is noted by the router only from now on, so the reader has to
		// come and look.
		s.all, s.behind = false, true
		s.wakeReader()
	}
	s.replays = slices.DeleteFunc(s.replays, func(r replay) bool { return r.selector == sel })
	return true
}

// Close ends the subscription: reads return ErrClosed. It may be called more
// than once.
func (s *Subscription) Close() {
	s.router.mu.Lock()
	defer s.router.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	s.closed = true
	for _, sel := range s.set {
		s.router.index.remove(sel, s)
	}
	delete(s.router.index.subscriptions, s)
	s.router.subscriptions.Add(-1)
	s.set, s.pending, s.replays, s.reports = nil, nil, nil, nil
	s.wakeReader()
}

// Next waits until there is something to read. Errors: ctx's, and Poll's.
func (s *Subscription) Next(ctx context.Context) (Delivery, error) {
	if s.buf == nil {
		s.buf = make([]Notification, 0, deliveryBatch)
	}
	for {
		d, err := s.Poll(s.buf)
		if err != nil || !d.Empty() {
			return d, err
		}
		select {
		case <-s.ready:
		case <-ctx.Done():
			return Delivery{}, ctx.Err()
		}
	}
}

// OnReady sets the function that is called, once, when something becomes
// readable after Poll found nothing (ErrClosed included). It replaces Next, must
// not block, and must not call the subscription. Call it before the first Poll.
func (s *Subscription) OnReady(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.onReady = f
}

// Cursor returns the position up to which the subscription has read.
func (s *Subscription) Cursor() Cursor {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settleNext()
	return s.position()
}

func (s *Subscription) position() Cursor {
	next := s.next
	for _, r := range s.replays {
		next = min(next, r.next)
	}
	return s.log.at(next - 1)
}

// offer notes a notification that a selector matches. Called by the router.
func (s *Subscription) offer(number uint64) {
	if s.passOver() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || number < s.next {
		return
	}
	if !s.behind && !s.all {
		switch n := len(s.pending); {
		case n > 0 && s.pending[n-1] == number:
			return
		case n == maxPending:
			s.fallBehind()
		default:
			s.pending = append(s.pending, number)
		}
	}
	s.wakeReader()
}

// passOver reports whether the router need not wait for a reader that waits for a store:
// it will look for what it missed.
func (s *Subscription) passOver() bool {
	if !s.reading.Load() {
		return false
	}
	s.missed.Store(true)
	return s.reading.Load() // if not any more, it may not have seen
}

// makeUp is called by the reader when it has waited for a store; it reports whether the
// router passed it over meanwhile. The caller holds mu.
func (s *Subscription) makeUp() bool {
	if !s.missed.Swap(false) {
		return false
	}
	if !s.behind && !s.all {
		s.fallBehind()
	}
	return true
}

// fallBehind gives up what was noted: the log has to be scanned for it. The caller
// holds mu.
func (s *Subscription) fallBehind() {
	if len(s.pending) > 0 {
		s.next, s.pending = s.pending[0], nil
	}
	s.behind = true
}

// outrun is called by the router when the log forgot what it had not routed: the
// reader's own scan finds the gap.
func (s *Subscription) outrun() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.behind || s.all {
		return
	}
	s.settleNext()
	s.fallBehind()
	s.wakeReader()
}

// offerProgress notes that a message reported progress. Called by the router.
func (s *Subscription) offerProgress(a *attempt) {
	if s.passOver() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || len(s.reports) >= maxSubscriptionReports || slices.Contains(s.reports, a) {
		return
	}
	s.reports = append(s.reports, a)
	s.wakeReader()
}

// notify tells a subscription to all that the log has grown. Called by the
// router.
func (s *Subscription) notify() {
	if s.passOver() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wakeReader()
}

// finish tells that the router has routed the end of the log.
func (s *Subscription) finish() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	s.wakeReader()
}

// wakeReader wakes a reader that found nothing. The caller holds mu.
func (s *Subscription) wakeReader() {
	if !s.armed {
		return
	}
	s.armed = false
	if s.onReady != nil {
		s.onReady()
		return
	}
	select {
	case s.ready <- struct{}{}:
	default:
	}
}
