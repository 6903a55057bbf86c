package engine

import (
	"math"
	"slices"
	"sync"
	"sync/atomic"
)

const (
	// routeBatch is how many notifications the router takes from the log at once.
	routeBatch = 128
	// maxReports bounds the progress reports that wait for the router.
	maxReports = 1024
)

// router tells subscriptions that the log has something for them. It is one
// goroutine between those who publish and those who read, so that publishing
// costs the same for one subscriber and for a million, and a notification costs
// the subscriptions that match it, not those that exist.
type router struct {
	log *notificationLog

	// routed is the last number whose subscriptions have been told.
	routed atomic.Uint64
	// asleep: the router waits for wake. Whoever clears it must send.
	asleep atomic.Bool
	// wake is sent to by whoever cleared asleep; capacity 1, never closed.
	wake chan struct{}
	// stop is closed by finish.
	stop chan struct{}

	mu    sync.Mutex
	index subscriptionIndex // guarded by mu
	ended bool              // routed is the end of the log for ever; guarded by mu

	subscriptions atomic.Int64
	delivered     atomic.Uint64
	gaps          atomic.Uint64

	progressMu sync.Mutex
	reports    []*attempt // guarded by progressMu
}

func newRouter(log *notificationLog) *router {
	r := &router{
		log:   log,
		wake:  make(chan struct{}, 1),
		stop:  make(chan struct{}),
		index: newSubscriptionIndex(),
	}
	r.routed.Store(log.last.Load())
	return r
}

// wakeIfBehind wakes the router if there is anything to route.
func (r *router) wakeIfBehind() {
	if r.log.last.Load() != r.routed.Load() {
		r.rouse()
	}
}

func (r *router) rouse() {
	if r.asleep.Load() && r.asleep.CompareAndSwap(true, false) {
		r.wake <- struct{}{}
	}
}

// run is the router's goroutine, owned by the engine.
func (r *router) run() {
	buf := make([]Notification, 0, routeBatch)
	for {
		worked := r.routeReports()
		worked = r.routeBatch(buf) || worked
		if worked {
			continue
		}
		if isClosed(r.stop) {
			r.end()
			return
		}
		r.asleep.Store(true)
		if r.pending() && r.asleep.CompareAndSwap(true, false) {
			continue
		}
		<-r.wake
	}
}

func (r *router) pending() bool {
	if isClosed(r.stop) {
		return true
	}
	r.progressMu.Lock()
	defer r.progressMu.Unlock()
	return len(r.reports) > 0 || r.log.last.Load() != r.routed.Load()
}

func (r *router) routeBatch(buf []Notification) bool {
	last := r.log.last.Load()
	if last == r.routed.Load() {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.index.empty() {
		r.routed.Store(last)
		return true
	}
	// The results' bytes are not read here.
	page := r.log.scan(r.routed.Load()+1, nil, buf, math.MaxInt64)
	if page.err != nil {
		page.first = last + 1 // the readers' own scans meet it, too
		page.next = page.first
	}
	batch := page.found
	if r.routed.Load()+1 < page.first {
		// What the log forgot before it was routed may have been for anyone.
		for s := range r.index.subscriptions {
			s.outrun()
		}
	}
	for i := range batch {
		n := &batch[i]
		r.index.each(n.ResponseNotification, n.MessageType, n.ID, func(s *Subscription) { s.offer(n.Number) })
	}
	for s := range r.index.all {
		s.notify()
	}
	clear(batch)
	r.routed.Store(page.next - 1)
	return true
}

// progress queues a report. A report that waits already is replaced by being
// newer when it is read; when too many wait, the newest are dropped: the next
// report of the same message comes again.
func (r *router) progress(a *attempt) {
	if r.subscriptions.Load() == 0 || !a.reported.CompareAndSwap(false, true) {
		return
	}
	r.progressMu.Lock()
	full := len(r.reports) >= maxReports
	if !full {
		r.reports = append(r.reports, a)
	}
	r.progressMu.Unlock()
	if full {
		a.reported.Store(false)
		return
	}
	r.rouse()
}

func (r *router) routeReports() bool {
	r.progressMu.Lock()
	reports := r.reports
	r.reports = nil
	r.progressMu.Unlock()
	if len(reports) == 0 {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, a := range reports {
		a.reported.Store(false)
		m := a.message
		tell := func(s *Subscription) { s.offerProgress(a) }
		r.index.each(m.ResponseNotification, m.MessageType, m.ID, tell)
		for s := range r.index.all {
			tell(s)
		}
	}
	return true
}

// finish makes the router route what is left and end.
func (r *router) finish() {
	close(r.stop)
	r.rouse()
}

// end wakes every subscription for the last time.
func (r *router) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended = true
	for s := range r.index.subscriptions {
		s.finish()
	}
}

// subscriptionIndex finds the subscriptions that a notification concerns, at a
// cost of those found and of the distinct lengths of patterns.
type subscriptionIndex struct {
	subscriptions map[*Subscription]struct{}
	all           map[*Subscription]struct{}
	exact         map[string][]*Subscription
	byType        map[string][]*Subscription
	byID          map[ID][]*Subscription
	patterns      map[string][]*Subscription // by the part before '*'
	lengths       []patternLength            // of the starts in patterns
}

func newSubscriptionIndex() subscriptionIndex {
	return subscriptionIndex{
		subscriptions: make(map[*Subscription]struct{}),
		all:           make(map[*Subscription]struct{}),
		exact:         make(map[string][]*Subscription),
		byType:        make(map[string][]*Subscription),
		byID:          make(map[ID][]*Subscription),
		patterns:      make(map[string][]*Subscription),
	}
}

func (x *subscriptionIndex) empty() bool { return len(x.subscriptions) == 0 }

func (x *subscriptionIndex) add(sel Selector, s *Subscription) {
	start, pattern := sel.pattern()
	switch {
	case pattern && start == "":
		x.all[s] = struct{}{}
	case pattern:
		if len(x.patterns[start]) == 0 {
			x.countLength(len(start), 1)
		}
		x.patterns[start] = append(x.patterns[start], s)
	case sel.ResponseNotification != "":
		x.exact[sel.ResponseNotification] = append(x.exact[sel.ResponseNotification], s)
	case sel.MessageType != "":
		x.byType[sel.MessageType] = append(x.byType[sel.MessageType], s)
	default:
		x.byID[sel.MessageID] = append(x.byID[sel.MessageID], s)
	}
}

func (x *subscriptionIndex) remove(sel Selector, s *Subscription) {
	start, pattern := sel.pattern()
	switch {
	case pattern && start == "":
		delete(x.all, s)
	case pattern:
		removeFrom(x.patterns, start, s)
		if len(x.patterns[start]) == 0 {
			x.countLength(len(start), -1)
		}
	case sel.ResponseNotification != "":
		removeFrom(x.exact, sel.ResponseNotification, s)
	case sel.MessageType != "":
		removeFrom(x.byType, sel.MessageType, s)
	default:
		removeFrom(x.byID, sel.MessageID, s)
	}
}

func removeFrom[K comparable](m map[K][]*Subscription, key K, s *Subscription) {
	list := m[key]
	if i := slices.Index(list, s); i >= 0 {
		list[i] = list[len(list)-1]
		list[len(list)-1] = nil
		list = list[:len(list)-1]
	}
	if len(list) == 0 {
		delete(m, key)
		return
	}
	m[key] = list
}

// each calls f with the subscriptions that match, except those to all; one with
// several matching selectors comes several times.
func (x *subscriptionIndex) each(prefix, messageType string, id ID, f func(*Subscription)) {
	for _, s := range x.exact[prefix] {
		f(s)
	}
	for _, s := range x.byType[messageType] {
		f(s)
	}
	for _, s := range x.byID[id] {
		f(s)
	}
	for _, l := range x.lengths {
		if l.length <= len(prefix) {
			for _, s := range x.patterns[prefix[:l.length]] {
				f(s)
			}
		}
	}
}

// patternLength is how many distinct pattern starts have a length.
type patternLength struct{ length, starts int }

func (x *subscriptionIndex) countLength(length, change int) {
	i := slices.IndexFunc(x.lengths, func(l patternLength) bool { return l.length == length })
	if i < 0 {
		x.lengths = append(x.lengths, patternLength{length, change})
		return
	}
	if x.lengths[i].starts += change; x.lengths[i].starts == 0 {
		x.lengths = slices.Delete(x.lengths, i, i+1)
	}
}
