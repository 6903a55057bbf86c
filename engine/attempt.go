package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"
)

// attempt is one run of a handler. It holds the slot until the handler returns,
// even if the message got its outcome before.
type attempt struct {
	engine  *Engine
	worker  *worker
	record  *record
	message *Message // the handler's
	handler Handler
	timeout time.Duration // 0 means none
	grace   time.Duration
	began   time.Time
	ctx     attemptContext

	observed *observation // nil without an observer

	// result and failed are what the handler returned; the worker's own.
	result Result
	failed *failed // nil on success

	// late: the handler returned after the outcome was published without it; the
	// worker's own.
	late bool

	// ended: the handler returned or the outcome went without it.
	ended atomic.Bool
	// reported: progress waits for the router.
	reported atomic.Bool

	// Guarded by Engine.mu.
	over  bool  // the message went on without the handler, or with what it returned
	asked error // why the engine ended the context, nil if it did not
	timer timer
	early *early
	lease *lease // of one that runs outside of the engine, whose worker is nil
	state State  // what the attempt came to
}

// failed is a handler's error. The error's methods are its own code, and may panic:
// they are called where that is caught, and never again.
type failed struct {
	err    error
	told   *Error     // as clients are told it
	marked *directive // nil if it has none
	text   string     // as the operator is told it
	stack  []byte     // of a panic
}

func newFailed(err error) *failed {
	marked, _ := errors.AsType[*directive](err)
	return &failed{err: err, told: told(err), marked: marked, text: describe(err)}
}

// begin binds a to the message it runs. The caller holds Engine.mu.
func (a *attempt) begin(r *record, now time.Time) {
	r.attempts++
	a.message = &r.message
	if r.attempts > 1 {
		// What is left of the first attempt may still look at its message.
		again := r.message
		again.Checkpoint = r.plan.checkpoint
		a.message = &again
	}
	a.message.Attempt, a.message.attempt = r.attempts, a
	a.record, a.handler, a.began = r, r.messageType.handler, now
	a.timer.record, a.timer.running = r, true
	a.timeout, a.grace = r.timeout(), r.messageType.policy.Grace
	if a.timeout > 0 {
		a.timer.due = now.Add(a.timeout)
		a.ctx.deadline = a.timer.due
	}
	if a.lease != nil {
		a.lease.until = a.timer.due
	}
}

// execute calls the handler. The caller is the worker.
func (a *attempt) execute() {
	if o := a.observed; o != nil {
		var ctx context.Context
		ctx, o.run = a.engine.cfg.Observer.Run(a.message, o.queuedAt)
		a.ctx.inherit(ctx)
	}
	a.call()
	a.boundResult()
	if a.observed != nil {
		a.observed.run.Returned(a.err())
	}
	a.end()
}

// call turns a panic into an error.
func (a *attempt) call() {
	defer func() {
		if p := recover(); p != nil {
			a.failed = newFailed(&Error{Code: CodeHandlerCrashed, Message: "handler crashed", Cause: fmt.Errorf("panic: %v", p)})
			a.failed.stack = debug.Stack()
		}
	}()
	result, err := a.handler.Handle(&a.ctx, a.message)
	if err != nil {
		a.failed = newFailed(err)
		return
	}
	a.result = result
}

// err is what the handler returned.
func (a *attempt) err() error { return errorOf(a.failed) }

func errorOf(f *failed) error {
	if f == nil {
		return nil
	}
	return f.err
}

// end marks the handler as returned and frees its context.
func (a *attempt) end() {
	a.ended.Store(true)
	a.ctx.cancel(context.Canceled)
}

// What clients are told of a failure is bounded: it is kept, and sent to many.
const (
	maxErrorCode    = 64
	maxErrorMessage = 4 << 10
)

// told is a handler's error as clients are told it, without its cause, which may hold
// anything.
func told(err error) *Error {
	failure, _ := errors.AsType[*Error](err)
	switch {
	case failure == nil:
		return &Error{Code: CodeHandlerFailed, Message: "handler failed"}
	case failure.Cause == nil && failure.Code != "" && len(failure.Code) <= maxErrorCode &&
		len(failure.Message) <= maxErrorMessage && utf8.ValidString(failure.Message):
		return failure
	}
	return &Error{
		Code:    cutText(cmp.Or(failure.Code, CodeHandlerFailed), maxErrorCode),
		Message: cutText(failure.Message, maxErrorMessage),
	}
}

func (a *attempt) timedOut() *Error {
	return &Error{Code: CodeTimeout, Message: fmt.Sprintf("timed out after %s", a.timeout)}
}

// ending is why a message was cancelled.
func ending(cause error) *Error {
	if errors.Is(cause, ErrShutdown) {
		return &Error{Code: CodeShutdown, Message: ErrShutdown.Error()}
	}
	return &Error{Code: CodeCancelled, Message: ErrCancelled.Error()}
}

// ask ends the handler's context, and gives it its grace to return. The caller
// holds Engine.mu.
func (a *attempt) ask(cause error, now time.Time) {
	if a.asked != nil {
		return
	}
	a.asked = cause
	a.ctx.cancel(cause)
	a.timer.due = now.Add(a.grace)
	if a.lease != nil {
		a.lease.until = a.timer.due
		a.record.consumer.stop(a, cause)
	}
	a.arm()
}

// arm sets the timer, of an attempt outside to what is due next. The caller holds
// Engine.mu.
func (a *attempt) arm() {
	a.engine.deadlines.remove(&a.timer)
	if a.lease != nil {
		a.timer.due = a.lease.next()
	}
	if !a.timer.due.IsZero() {
		a.engine.deadlines.push(&a.timer)
	}
}

// attrs names the attempt in the log.
func (a *attempt) attrs() []slog.Attr {
	m := a.message
	return []slog.Attr{
		slog.String("id", m.ID.String()),
		slog.String("message_type", m.MessageType),
		slog.Int("attempt", m.Attempt),
		slog.Duration("duration", time.Since(a.began)),
	}
}

func (a *attempt) reportProgress(fraction float64, note string) {
	if a.ended.Load() {
		return
	}
	if !(fraction > 0) { // NaN too
		fraction = 0
	}
	p := &Progress{Fraction: min(fraction, 1), Note: cutText(note, maxNameBytes)}
	a.record.progress.Store(p)
	a.engine.router.progress(a)
	if reports, told := a.reports(); told {
		reports.Progress(*p)
	}
}

// reports returns the Run that is told of reports, if it wants to be.
func (a *attempt) reports() (Reports, bool) {
	if a.observed == nil || a.lease != nil {
		return nil, false
	}
	reports, told := a.observed.run.(Reports)
	return reports, told
}

// attemptContext is the handler's context. Most handlers never look at theirs,
// so what a real one costs is paid when it is first used.
type attemptContext struct {
	deadline time.Time

	mu    sync.Mutex
	real  context.Context         // nil until used; guarded by mu
	stop  context.CancelCauseFunc // ends real; guarded by mu
	ended error                   // why, if it ended before it was used; guarded by mu
}

// Deadline returns when the attempt's timeout passes.
func (c *attemptContext) Deadline() (time.Time, bool) { return c.deadline, !c.deadline.IsZero() }

// Done returns a channel that is closed when the attempt should stop.
func (c *attemptContext) Done() <-chan struct{} { return c.use().Done() }

// Err returns nil until then.
func (c *attemptContext) Err() error { return c.use().Err() }

// Value returns the observer's values; context.Cause finds the cause through it.
func (c *attemptContext) Value(key any) any { return c.use().Value(key) }

func (c *attemptContext) use() context.Context {
	return c.inherit(context.Background())
}

// inherit makes the real context with parent's values, unless there is one.
func (c *attemptContext) inherit(parent context.Context) context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.real == nil {
		c.real, c.stop = context.WithCancelCause(parent)
		if !c.deadline.IsZero() {
			var release context.CancelFunc
			parentStop := c.stop
			c.real, release = context.WithDeadlineCause(c.real, c.deadline, ErrTimeout)
			c.stop = func(cause error) { parentStop(cause); release() }
		}
		if c.ended != nil {
			c.stop(c.ended)
		}
	}
	return c.real
}

func (c *attemptContext) cancel(cause error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended == nil {
		c.ended = cause
	}
	if c.real != nil {
		c.stop(cause)
	}
}

// ending returns why the engine ended the context before the handler returned
// err, or nil. A handler that returned no error did its work all the same.
func (c *attemptContext) ending(err error) error {
	if err == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	cause := c.ended
	if c.real != nil {
		cause = context.Cause(c.real)
	}
	if errors.Is(cause, ErrTimeout) || errors.Is(cause, ErrCancelled) || errors.Is(cause, ErrShutdown) {
		return cause
	}
	return nil
}
