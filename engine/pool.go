package engine

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"time"
)

// worker is a standing goroutine of the pool. It is started when work waits and
// nobody is idle, up to Config.Concurrency, and then stays until Drain: the
// number of workers is the bound on running handlers.
type worker struct {
	// wake is sent to by whoever took the worker off the idle list; capacity 1,
	// never closed.
	wake chan struct{}
	// goroutine names it in stack dumps.
	goroutine string
	// woken: this worker has Engine.waking; guarded by Engine.mu.
	woken bool
	// looked: it found nothing when it looked again; the worker's own.
	looked bool
}

// workerToWake picks who takes the work that waits. Only one worker is on its
// way at a time; when it has taken its message it wakes the next if there is
// more, so that a burst does not wake the whole pool for work that one worker
// finishes sooner. The caller holds mu.
func (e *Engine) workerToWake() (w *worker, start bool) {
	if e.stopping {
		return e.popIdle(), false
	}
	if e.waking || e.ready.first == nil {
		return nil, false
	}
	w = e.popIdle()
	if w == nil && e.workers < e.cfg.Concurrency {
		w, start = &worker{wake: make(chan struct{}, 1)}, true
		e.workers++
	}
	if w != nil {
		w.woken, e.waking = true, true
	}
	return w, start
}

func (e *Engine) popIdle() *worker {
	n := len(e.idle)
	if n == 0 {
		return nil
	}
	w := e.idle[n-1]
	e.idle = e.idle[:n-1]
	return w
}

// work is a worker's life: settle what it ran, take the next message, run it.
func (e *Engine) work(w *worker) {
	w.goroutine = goroutineName()
	var done, next *attempt
	left := false
	defer func() {
		if !left {
			e.replace(next)
		}
	}()
	for {
		if next == nil {
			next = &attempt{engine: e, worker: w}
		}
		step := e.turn(w, done, next)
		if done != nil {
			e.report(done)
			done = nil
		}
		switch step {
		case stepRun:
			next.execute()
			done, next = next, nil
		case stepLook:
			w.looked = !e.lookAgain()
		case stepPark:
			<-w.wake
		case stepLeave:
			left = true
			return
		}
	}
}

// step is what a worker does after its turn.
type step int

const (
	stepRun   step = iota // it has a message
	stepLook              // there is none: look again for a moment
	stepPark              // still none
	stepLeave             // and none will come
)

// turn settles what w ran and takes the next message: one critical section.
func (e *Engine) turn(w *worker, done, next *attempt) step {
	now := time.Now()
	e.mu.Lock()
	defer e.unlock()
	if w.woken {
		w.woken, e.waking = false, false
	}
	if done != nil {
		e.finish(done, now)
	}
	looked := w.looked
	w.looked = false
	switch {
	case e.claim(next, now):
		return stepRun
	case e.stopping:
		e.workers--
		return stepLeave
	case !looked && !e.waking:
		// While this worker looks, nobody else need be woken.
		w.woken, e.waking = true, true
		return stepLook
	}
	e.idle = append(e.idle, w)
	return stepPark
}

// looks is how often a worker looks again before it parks: a few microseconds,
// which under load saves parking and waking for every message.
const looks = 32

// lookAgain reports whether work came within a moment.
func (e *Engine) lookAgain() bool {
	for range looks {
		runtime.Gosched()
		if e.waiting.Load() {
			return true
		}
	}
	return false
}

// claim gives the next message to a: the turn goes round the types. The caller
// holds mu.
func (e *Engine) claim(a *attempt, now time.Time) bool {
	t := e.nextType(&e.ready, now)
	if t == nil {
		return false
	}
	e.take(t, a, now)
	return true
}

// take gives a type's next message to a. The caller holds mu.
func (e *Engine) take(t *messageType, a *attempt, now time.Time) {
	r := t.queue.pop()
	t.ring.remove(t)
	e.start(r, a, now)
	e.updateTurn(t)
}

// start begins an attempt of a message that waits in no queue any more. The caller holds
// mu.
func (e *Engine) start(r *record, a *attempt, now time.Time) {
	t := r.messageType
	e.leave(r)
	t.running++
	if a.lease != nil {
		e.outside++
	} else {
		e.running++
	}
	r.outside = a.lease != nil
	r.state = StateRunning
	r.attempt = a
	r.startedIn = now.Sub(r.message.AcceptedAt)
	queuedAt := r.message.AcceptedAt
	if p := r.plan; p != nil {
		e.deadlines.remove(&p.timer)
		if !p.readyAt.IsZero() {
			queuedAt = p.readyAt
		}
	}
	t.wait.observe(now.Sub(queuedAt))
	a.begin(r, now)
	if e.cfg.Observer != nil {
		a.observed = &observation{queuedAt: queuedAt}
	}
	a.arm()
}

// nextType returns the type whose turn it is, once what has expired is out of its
// way: the clock may be late. The caller holds mu.
func (e *Engine) nextType(ring *typeRing, now time.Time) *messageType {
	for t := ring.first; t != nil; t = ring.first {
		r := t.queue.top()
		if r.plan == nil || r.plan.expiresAt.IsZero() || r.plan.expiresAt.After(now) {
			return t
		}
		e.expire(r, now)
	}
	return nil
}

// finish is called when the handler returned: the message gets its outcome or
// another attempt, unless it went on without the handler; the slot becomes free,
// and the key too, except for a retry. The caller holds mu.
func (e *Engine) finish(a *attempt, now time.Time) {
	r, t := a.record, a.record.messageType
	e.deadlines.remove(&a.timer)
	switch wait, detached := a.detached(); {
	case a.early != nil && !a.over:
		e.detach(a, wait, now)
		e.settleDetached(a)
		return
	case a.early != nil:
		a.refuseEarly()
	case detached:
		e.detach(a, wait, now)
		return
	}
	t.duration.observe(now.Sub(a.began))
	t.running--
	if a.lease != nil {
		e.outside--
	} else {
		e.running--
	}
	e.vacate(r)
	if e.durable != nil && a.lease == nil {
		e.durable.returned++
	}
	if a.over {
		a.late = true
		t.stuck--
		e.stuck--
		e.unblock(r, now)
	} else {
		a.over = true
		v := a.judge(a.ctx.ending(a.err()))
		e.throttle(a, now)
		if v.state == StateSucceeded && e.durable == nil {
			r.succeed(a.result)
		}
		a.state = e.conclude(a, v, now)
	}
	if r.state.Terminal() {
		t.queue.passKey(r)
	}
	e.updateTurn(t)
	e.dropIfDone(t)
}

// settle gives a message its one outcome and publishes it: the record first,
// then the log, then (by the router) the subscribers. The caller holds mu and
// has taken the record out of every queue.
func (e *Engine) settle(r *record, state State, failure *Error, now time.Time) {
	if e.durable != nil {
		e.storeOutcome(r, state, failure, now)
		return
	}
	r.state, r.failure, r.attempt = state, failure, nil
	r.size += failure.size()
	if r.plan != nil {
		e.release(r)
	}
	t := r.messageType
	e.countOutcome(t, state, now)
	e.unfinished--
	e.table.keep(r)
	if r.message.ResponseNotification != "" {
		e.log.append(&Notification{
			Time:                 now,
			ID:                   r.message.ID,
			MessageType:          t.name,
			ResponseNotification: r.message.ResponseNotification,
			State:                state,
			Error:                failure,
			Result:               r.result,
			Origin:               r.message.Origin,
		})
	}
}

// countOutcome counts a message that ended. The caller holds mu.
func (e *Engine) countOutcome(t *messageType, state State, now time.Time) {
	t.outcomes.add(state)
	t.rate.add(now)
	e.rate.add(now)
}

// report tells the observer and the operator how an attempt ended, and lets go of
// what its handler returned: the attempt is kept with its message. The caller is its
// worker.
func (e *Engine) report(a *attempt) {
	if a.early != nil && a.early.attempt != nil {
		defer e.report(a.early.attempt)
	}
	failed, wasLost, wasHandedBack := a.failed, a.is(lost), a.is(handBack)
	a.failed, a.result = nil, Result{}
	if a.observed != nil && a.observed.run != nil {
		if a.lease != nil {
			a.observed.run.Returned(errorOf(failed))
		}
		a.observed.run.Settled(a.state, a.state.Terminal() && a.message.ResponseNotification != "")
	}
	level, message := slog.LevelDebug, "message succeeded"
	switch {
	case a.state == StateScheduled:
		message = "message snoozed"
	case a.state == StateRunning:
		message = "message detached: whoever has it settles it"
	case wasHandedBack:
		message = "message handed back: it did not begin"
	case wasLost:
		level, message = slog.LevelWarn, "whoever ran the message outside of the server is gone"
	case a.state == StateQueued:
		level, message = slog.LevelInfo, "shut down before the message ended: it is queued again"
	case a.state == StateRetrying && failed != nil && failed.stack == nil:
		level, message = slog.LevelWarn, "attempt failed: another one follows"
	case a.late:
		level, message = slog.LevelWarn, "stuck handler returned"
	case failed != nil && failed.stack != nil:
		level, message = slog.LevelError, "handler crashed"
	case failed != nil:
		level, message = slog.LevelWarn, "message did not succeed"
	}
	if !e.cfg.Logger.Enabled(context.Background(), level) {
		return
	}
	attrs := a.attrs()
	if failed != nil {
		attrs = append(attrs, slog.String("error", failed.text))
		if failed.stack != nil {
			attrs = append(attrs, slog.String("stack", string(failed.stack)))
		}
	}
	e.cfg.Logger.LogAttrs(context.Background(), level, message, attrs...)
}

// describe is an error for the operator: with the cause that clients do not see.
func describe(err error) string {
	if failure, ok := errors.AsType[*Error](err); ok && failure != nil && failure.Cause != nil {
		return err.Error() + ": " + failure.Cause.Error()
	}
	return err.Error()
}

// replace ends a worker whose handler called runtime.Goexit, as a test's Fatal
// does: the goroutine cannot be kept, its message and its slot can.
func (e *Engine) replace(a *attempt) {
	a.failed = newFailed(&Error{Code: CodeHandlerCrashed, Message: "handler crashed", Cause: errors.New("the handler called runtime.Goexit")})
	if a.observed != nil {
		a.observed.run.Returned(a.failed.err)
	}
	a.end()
	e.mu.Lock()
	e.finish(a, time.Now())
	e.workers--
	e.unlock()
	e.report(a)
}
