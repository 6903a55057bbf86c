package engine

import (
	"context"
	"log/slog"
	"math"
	"time"
)

// Drain stops accepting, waits until every accepted message has its outcome and
// stops the engine's goroutines. A message that is due only after ctx's deadline,
// or whose type is paused, is cancelled at once. When ctx ends first, what still waits is
// cancelled, running handlers' contexts end, and after their grace they get
// their outcome without returning; Drain then returns ctx's error. Subscriptions
// read the log to its end, then get ErrClosed. Get and List go on working, with a Store
// until that is closed.
//
// With a Store nothing is cancelled: what waits stays there for the next engine, and so
// does, when ctx ends, what a handler did not finish. A handler that does not even
// return then is counted as lost.
//
// Calling it again waits for the first call's work.
func (e *Engine) Drain(ctx context.Context) error {
	e.mu.Lock()
	first := !e.draining
	if first {
		e.draining = true
		close(e.drains)
		e.drainBy = time.Now().Add(maxHorizon)
		if deadline, bounded := ctx.Deadline(); bounded {
			e.drainBy = deadline
		}
		if e.durable != nil {
			e.handBackLast(math.MaxInt, nil, time.Now())
		} else {
			e.cancelLater()
		}
	}
	e.unlock()
	if !first {
		select {
		case <-e.stopped:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}

	var err error
	select {
	case <-e.finished:
	case <-ctx.Done():
		err = ctx.Err()
		e.abandon()
		<-e.finished
	}
	e.stop()
	if e.durable != nil && err == nil {
		err = e.durableError()
	}
	return err
}

// abandon ends everything that has no outcome yet: what waits at once, what runs
// after its grace.
func (e *Engine) abandon() {
	now := time.Now()
	var waiting, running int
	e.mu.Lock()
	e.drainBy = now
	if e.durable != nil {
		running = e.abandonStored(now)
	} else {
		waiting, running = e.cancelAll(now)
	}
	e.unlock()
	e.cfg.Logger.Warn("drain ran out of time", slog.Int("waiting_cancelled", waiting), slog.Int("running_cancelled", running))
}

// cancelAll ends what waits and asks what runs to end; it returns how many that is. The
// caller holds mu.
func (e *Engine) cancelAll(now time.Time) (waiting, running int) {
	e.table.descend(math.MaxUint64, func(r *record) bool {
		switch {
		case r.state == StateRunning:
			r.attempt.ask(ErrShutdown, now)
			running++
		case !r.state.Terminal():
			e.end(r, StateCancelled, ending(ErrShutdown), now)
			waiting++
		}
		return true
	})
	return waiting, running
}

// cancelLater ends what would only be due when the drain is over, or never. The
// caller holds mu.
func (e *Engine) cancelLater() {
	now := time.Now()
	e.table.descend(math.MaxUint64, func(r *record) bool {
		waits := !r.state.Terminal() && r.state != StateRunning
		later := r.plan != nil && r.plan.dueAt.After(e.drainBy)
		if waits && (later || r.messageType.policy.Paused) {
			e.end(r, StateCancelled, ending(ErrShutdown), now)
		}
		return true
	})
}

// stop ends the goroutines: workers first, then the clock, then the router, which
// delivers what is left. Stuck handlers cannot be awaited.
func (e *Engine) stop() {
	e.mu.Lock()
	e.stopping = true
	e.unlock() // wakes one worker, which wakes the next on its way out
	<-e.quiet
	e.mu.Lock()
	stuck := e.stuck
	e.mu.Unlock()
	if e.durable != nil {
		e.stopCommitter()
	}
	close(e.clock.quit)
	e.router.finish()
	if stuck > 0 {
		e.cfg.Logger.Error("stopped with stuck handlers", slog.Int("stuck", stuck))
	} else {
		e.goroutines.Wait()
	}
	close(e.stopped)
}

// Draining returns a channel that is closed when Drain is called.
func (e *Engine) Draining() <-chan struct{} { return e.drains }

// Ready returns nil while the engine takes work: ErrDraining from Drain on, or
// an error that says so while more than half of the pool is held by stuck
// handlers, and with a Store ErrStorageFull and ErrStoreFailed.
func (e *Engine) Ready() error {
	if e.durable != nil {
		if err := e.storeReady(); err != nil {
			return err
		}
	}
	e.mu.Lock()
	draining, stuck := e.draining, e.stuck
	e.mu.Unlock()
	switch {
	case draining:
		return ErrDraining
	case 2*stuck > e.cfg.Concurrency:
		return &StuckError{Stuck: stuck, Concurrency: e.cfg.Concurrency}
	}
	return nil
}
