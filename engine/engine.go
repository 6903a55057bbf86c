package engine

import (
	"sync"
	"sync/atomic"
	"time"
)

// Engine runs submitted messages on a bounded pool of standing workers. Its
// methods may be called from any goroutine.
//
// One mutex guards all state of messages, queues and slots, so that every
// transition is one step. It is held for tenths of a microsecond and never
// while a handler, a logger, a subscriber or a store runs.
type Engine struct {
	cfg Config
	// durable is nil without a store.
	durable *durable
	log     *notificationLog
	router  *router
	clock   *clock

	// types is replaced, never changed: Submit looks up without the lock.
	types   atomic.Pointer[map[string]*messageType]
	refused refusals

	// drains is closed by Drain, finished when the engine drains and no message is
	// without its outcome, quiet when no worker is left but stuck ones, stopped when
	// Drain is through. Each is closed once, by the engine.
	drains, finished, quiet, stopped chan struct{}
	goroutines                       sync.WaitGroup

	// waiting mirrors, for workers that look without the lock, whether there is a
	// message that could run.
	waiting atomic.Bool

	mu sync.Mutex
	// All below is guarded by mu.
	table      table    // with a store: only what is claimed
	ready      typeRing // types with messages for the workers
	consumable typeRing // types with messages for consumers; without a store
	keys       keys     // without a store
	deadlines  deadlines
	backlog    backlog // with a store: what is on its way there, or claimed and not started
	running    int     // handlers
	outside    int     // attempts outside of the engine
	stuck      int
	unfinished int // accepted messages without an outcome; with a store: claimed, or on their way there
	rate       drainRate

	idle     []*worker // parked; the last parked is woken first, its cache is warm
	workers  int
	waking   bool // a woken worker has not taken the lock yet
	draining bool
	drainBy  time.Time // what is due later is cancelled while draining
	stopping bool      // workers return when they find no work
}

// New makes an engine and starts its goroutines, which end with Drain. With a Store
// it goes on with what is there, as soon as the types are registered. The
// error is an *InvalidError, or the Store's.
func New(cfg Config) (*Engine, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	e := &Engine{
		cfg:      cfg,
		log:      newNotificationLog(cfg),
		clock:    newClock(),
		drains:   make(chan struct{}),
		finished: make(chan struct{}),
		quiet:    make(chan struct{}),
		stopped:  make(chan struct{}),
		table:    newTable(cfg),
		keys:     newKeys(cfg.IdempotencyLimit),
	}
	e.types.Store(&map[string]*messageType{})
	if cfg.Store != nil {
		if err := e.openStore(); err != nil {
			return nil, err
		}
	}
	e.router = newRouter(e.log)
	if e.durable != nil {
		e.goroutines.Go(e.runCommitter)
		e.goroutines.Go(e.runRetention)
	}
	e.goroutines.Go(e.router.run)
	e.goroutines.Go(e.runClock)
	return e, nil
}

// Config returns the configuration in force, defaults filled in.
func (e *Engine) Config() Config { return e.cfg }

// Cursor returns the end of the notification log.
func (e *Engine) Cursor() Cursor { return e.log.cursor() }

// unlock leaves the critical section and wakes whom the transition concerns:
// every path that makes work, room or news ends here, so no wake is forgotten.
func (e *Engine) unlock() {
	if e.consumable.first != nil {
		e.feedConsumers(time.Now())
	}
	w, started := e.workerToWake()
	if e.draining && e.unfinished == 0 {
		closeOnce(e.finished)
	}
	if e.stopping && e.workers == e.stuck {
		closeOnce(e.quiet)
	}
	if waiting := e.ready.first != nil; waiting != e.waiting.Load() {
		e.waiting.Store(waiting)
	}
	due, rearm := e.deadlines.rearm()
	commits := e.durable != nil && e.durable.asleep && (e.durable.quit || e.hasCommit())
	if commits {
		e.durable.asleep = false
	}
	e.mu.Unlock()

	switch {
	case started:
		e.goroutines.Go(func() { e.work(w) })
	case w != nil:
		w.wake <- struct{}{}
	}
	if rearm {
		e.clock.arm(due)
	}
	if commits {
		e.durable.wake <- struct{}{}
	}
	e.router.wakeIfBehind()
}

// closeOnce closes c if it is open; callers hold a lock.
func closeOnce(c chan struct{}) {
	if !isClosed(c) {
		close(c)
	}
}

// isClosed reports whether c, to which nobody sends, is closed.
func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
