package worker

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// progressEvery is how often the progress of a job is sent at once; what comes sooner
// goes with the next beat.
const progressEvery = 100 * time.Millisecond

const (
	// settlingAhead is how many outcomes may wait to be settled beyond the window, if they
	// are small: the server stores many at once, and jobs need not wait for that.
	settlingAhead = 256
	// maxKept is how many bytes of results are small, all together.
	maxKept = 16 << 20
)

// lease names one attempt of a message.
type lease struct {
	id    string
	lease int
}

// outcome is how an attempt ended: failure is nil if it succeeded.
type outcome struct {
	result  Result
	failure *failure
}

// attempt is a job that this worker has, from its ack until it is settled.
type attempt struct {
	lease
	job  *Job
	ctx  context.Context
	stop context.CancelCauseFunc

	// All below is guarded by the mutex of leases.
	gone    bool     // settled: nothing is sent about it any more
	stale   bool     // nobody waits for its result: it is held only until its handler returns
	listed  bool     // stands in leases.dirty
	ack     bool     // is to be sent
	outcome *outcome // set when the handler returned
	report  bool     // outcome is to be sent

	checkpoint []byte // the last one, if saved
	saved      bool
	save       bool // checkpoint is to be sent

	fraction   float64
	note       string
	progressed bool // the two above were set
	progress   bool // they are to be sent
	progressAt time.Time
}

// leases is what the worker holds: what runs, and what ended and is not settled. It is
// independent of connections: what a session owes the server is marked on attempts,
// and marked anew when the next session begins, so nothing queues up.
type leases struct {
	window int
	begin  func(*attempt) // runs an attempt; does not block
	// changed is sent to when something ended or was settled; capacity 1, never
	// closed. drain receives.
	changed chan struct{}
	// wake is sent to when there is something to write; capacity 1, never closed. The
	// session's writer receives.
	wake chan struct{}

	mu sync.Mutex
	// All below is guarded by mu.
	held     map[lease]*attempt
	waiting  []*attempt // offers that are not acknowledged: no room
	dirty    []*attempt // have something to be sent
	running  int        // handlers, also of attempts that are gone
	kept     int        // bytes of results that are not settled
	draining bool
	goodbye  bool // the drain frame is to be sent
	maxFrame int64
}

func (l *leases) init(window int, begin func(*attempt)) {
	l.window, l.begin = window, begin
	l.changed, l.wake = make(chan struct{}, 1), make(chan struct{}, 1)
	l.held = make(map[lease]*attempt)
}

// poke sends to a channel of capacity 1 that says "look again".
func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// mark puts the attempt on the list of what the writer looks at. The caller holds mu.
func (l *leases) mark(a *attempt) {
	if !a.listed {
		a.listed = true
		l.dirty = append(l.dirty, a)
	}
	poke(l.wake)
}

// offer takes a job, or lets it wait for room. It reports false for one that cannot
// even wait: the server offered more than the window.
func (l *leases) offer(a *attempt) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if same := l.held[a.lease]; same != nil { // its ack did not arrive
		same.ack = true
		l.mark(same)
		return true
	}
	if !l.room() {
		if len(l.waiting) >= l.window {
			return false
		}
		l.waiting = append(l.waiting, a)
		return true
	}
	l.take(a)
	return true
}

// room says whether another job may run: the window has a place, and what ended does not
// pile up. The caller holds mu.
func (l *leases) room() bool {
	ended := len(l.held) - l.running // less what runs and is gone, which may only run less
	return l.running < l.window && (ended < l.window || ended < l.window+settlingAhead && l.kept < maxKept)
}

// take acknowledges an offer and runs it. The caller holds mu.
func (l *leases) take(a *attempt) {
	l.held[a.lease] = a
	a.ack = true
	l.mark(a)
	if l.draining { // it crossed our drain: somebody else runs it
		l.end(a, &outcome{failure: newFailure(ErrDrain, ErrDrain)})
		return
	}
	l.running++
	l.begin(a)
}

// takeWaiting takes offers that there is room for now. The caller holds mu.
func (l *leases) takeWaiting() {
	for len(l.waiting) > 0 && l.room() {
		a := l.waiting[0]
		l.waiting[0] = nil
		l.waiting = l.waiting[1:]
		l.take(a)
	}
}

// end notes an attempt's outcome, which is to be sent. The caller holds mu.
func (l *leases) end(a *attempt, o *outcome) {
	if a.stale { // it is told that it ended, and that is all
		o = &outcome{failure: &failure{code: codeStale, message: ErrStale.Error(), kind: kindRetry, after: -1}}
	}
	a.outcome, a.report = o, true
	a.progress = false // the end says more
	l.kept += len(o.result.Data)
	l.mark(a)
}

// finish notes how a handler ended.
func (l *leases) finish(a *attempt, report *outcome) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.running--
	if !a.gone {
		l.end(a, report)
	}
	l.takeWaiting()
	poke(l.changed)
}

// progress notes how far an attempt is.
func (w *worker) progress(a *attempt, fraction float64, note string) {
	l := &w.leases
	l.mu.Lock()
	defer l.mu.Unlock()
	if a.over() {
		return
	}
	a.fraction, a.note, a.progressed, a.progress = fraction, note, true, true
	if now := time.Now(); now.Sub(a.progressAt) >= progressEvery {
		a.progressAt = now
		l.mark(a)
	}
}

// over says whether what the handler still reports interests nobody. The caller holds
// the mutex of leases.
func (a *attempt) over() bool { return a.gone || a.stale || a.outcome != nil }

// save notes a checkpoint.
func (w *worker) save(a *attempt, data []byte) error {
	l := &w.leases
	l.mu.Lock()
	defer l.mu.Unlock()
	if a.over() {
		return ErrStale
	}
	if l.maxFrame > 0 && int64(len(data)) > l.maxFrame { // encoded it may still be: then it is logged
		return ErrTooLarge
	}
	a.checkpoint, a.saved, a.save = data, true, true
	l.mark(a)
	return nil
}

// settle forgets an attempt: the server has its outcome, or does not want it. It
// reports whether there was one.
func (l *leases) settle(key lease) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.held[key]
	if a == nil {
		return false
	}
	delete(l.held, key)
	a.gone, a.checkpoint = true, nil
	if a.outcome == nil {
		a.stop(ErrStale)
	} else {
		l.kept -= len(a.outcome.result.Data)
		a.outcome = nil
	}
	l.takeWaiting()
	poke(l.changed)
	return true
}

// cancel ends the context of an attempt, or withdraws an offer. What is stale stays held
// until its handler has returned, for until then it has a place in the window.
func (l *leases) cancel(key lease, cause error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting = slices.DeleteFunc(l.waiting, func(a *attempt) bool { return a.lease == key })
	a := l.held[key]
	if a == nil {
		return
	}
	if errors.Is(cause, ErrStale) {
		a.stale, a.save, a.saved, a.checkpoint = true, false, false, nil
		if a.outcome != nil { // the server did not get it, or its answer was lost
			a.report = true
			l.mark(a)
		}
	}
	a.stop(cause)
}

// drain takes no more jobs from now on.
func (l *leases) drain() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.draining, l.goodbye = true, true
	l.waiting = nil // the server withdraws them
	poke(l.wake)
}

// interrupt ends the contexts of all that runs.
func (l *leases) interrupt() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, a := range l.held {
		a.stop(ErrDrain)
	}
}

// rest counts handlers that run, and outcomes that are not settled.
func (l *leases) rest() (running, unsettled int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, a := range l.held {
		if a.outcome != nil {
			unsettled++
		}
	}
	return l.running, unsettled
}

// empty says whether nothing is held.
func (l *leases) empty() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.held) == 0
}

// reconnect begins a session: it returns what is held, for its hello, and marks
// everything that the server may have missed to be sent after it.
func (l *leases) reconnect() []lease {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting, l.dirty, l.goodbye = nil, nil, l.draining
	all := make([]lease, 0, len(l.held))
	for key, a := range l.held {
		all = append(all, key)
		a.listed, a.ack = false, false
		a.save, a.report = a.saved, a.outcome != nil
		a.progress = a.progressed && !a.over()
		if a.save || a.report || a.progress {
			l.mark(a)
		}
	}
	poke(l.wake)
	return all
}

// welcome notes what the server takes.
func (l *leases) welcome(maxFrame int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.maxFrame = maxFrame
}
