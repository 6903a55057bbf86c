package worker

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// The causes (context.Cause) with which a handler's context ends.
var (
	// ErrTimeout: the attempt's time is up.
	ErrTimeout = errors.New("timed out")
	// ErrCancelled: somebody cancelled the message.
	ErrCancelled = errors.New("cancelled")
	// ErrStale: the attempt is not this worker's any more; nobody waits for its result.
	ErrStale = errors.New("stale attempt")
	// ErrDrain: the worker or the server shuts down, and this attempt took too long.
	// What the handler then returns as an error counts as no attempt.
	ErrDrain = errors.New("shutting down")
)

// ErrTooLarge means that a checkpoint does not fit into a frame of the server's.
var ErrTooLarge = errors.New("too large for the server")

// The codes an Error of the worker's own carries, as those of handlers in the server
// do. Handlers may use any other.
const (
	CodeHandlerFailed  = "handler_failed"
	CodeHandlerCrashed = "handler_crashed"
	CodeInvalidData    = "invalid_data"
	CodeTimeout        = "timeout"
	CodeCancelled      = "cancelled"
	CodeResultTooLarge = "result_too_large"
)

// codeStale is told of an attempt that was stale, when its handler has returned.
const codeStale = "stale"

// Error is a failure in words that clients of the server may read.
type Error struct {
	// Code is for programs: short, lower case, stable. Empty means
	// CodeHandlerFailed.
	Code string
	// Message is for people; it is the text of the :err notification.
	Message string
	// Cause goes to the worker's log only. It may be nil.
	Cause error
}

// Error returns the message.
func (e *Error) Error() string {
	if e == nil { // what a handler returns that declares one, and never sets it
		return "handler failed"
	}
	return e.Message
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error {
	if e == nil {
		return nil
	}
	return e.Cause
}

// Permanent marks an error that no further attempt can mend: the message fails,
// whatever attempts are left.
func Permanent(err error) error { return &directive{kind: kindPermanent, err: err} }

// RetryAfter marks an error after which the next attempt, if one is left, starts
// d from now instead of after the policy's backoff.
func RetryAfter(d time.Duration, err error) error {
	return &directive{kind: kindRetry, after: max(d, 0), err: err}
}

// Snooze puts the message off: it is scheduled again d from now. It is no failure,
// and the attempt does not count.
func Snooze(d time.Duration) error {
	d = max(d, 0)
	return &directive{kind: kindSnooze, after: d, err: fmt.Errorf("snoozed for %s", d)}
}

// The kinds of a fail frame.
const (
	kindRetry     = "retry"
	kindPermanent = "permanent"
	kindSnooze    = "snooze"
)

// directive is an error with what shall follow it.
type directive struct {
	kind  string
	after time.Duration // -1: the policy's backoff
	err   error
}

// Error returns the text of the error it is about.
func (d *directive) Error() string {
	if d.err == nil {
		return "handler failed"
	}
	return d.err.Error()
}

// Unwrap returns the error it is about.
func (d *directive) Unwrap() error { return d.err }

// failure is what a fail frame says.
type failure struct {
	code, message, kind string
	after               time.Duration // -1: not said
}

// crashed is the failure of a handler that panicked.
func crashed() *failure {
	return &failure{code: CodeHandlerCrashed, message: "handler crashed", kind: kindRetry, after: -1}
}

// newFailure puts a handler's error into words for the server. Its text is for the
// log alone, unless an *Error is in the chain, so that no handler leaks a query or a
// path by accident. cause is that of the handler's context, nil if it has not ended.
func newFailure(err, cause error) *failure {
	f := &failure{code: CodeHandlerFailed, message: "handler failed", kind: kindRetry, after: -1}
	d, directed := errors.AsType[*directive](err)
	if directed {
		f.kind, f.after = d.kind, d.after
		if d.kind == kindPermanent {
			f.after = -1
		}
	}
	if errors.Is(cause, ErrDrain) && f.kind == kindRetry {
		return &failure{code: CodeHandlerFailed, message: "the worker shut down", kind: kindSnooze}
	}
	if own, is := errors.AsType[*Error](err); is {
		f.message = own.Error()
		if own != nil && own.Code != "" {
			f.code = own.Code
		}
		return f
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || cause != nil && errors.Is(err, cause) {
		switch {
		case errors.Is(cause, ErrTimeout):
			f.code, f.message = CodeTimeout, ErrTimeout.Error()
		case errors.Is(cause, ErrCancelled):
			f.code, f.message = CodeCancelled, ErrCancelled.Error()
		}
	}
	return f
}

// UnsettledError is what Run returns when a shutdown left something behind. The
// server runs those messages again once their leases have passed.
type UnsettledError struct {
	// Running is how many handlers have not returned, although their context ended;
	// their goroutines go on.
	Running int
	// Unsettled is how many outcomes the server has not confirmed. It may have them
	// all the same.
	Unsettled int
}

// Error says how many.
func (e *UnsettledError) Error() string {
	return fmt.Sprintf("stopped with %d handlers that do not return and %d outcomes that are not confirmed", e.Running, e.Unsettled)
}

// InvalidError is a Config that can never work.
type InvalidError struct {
	// Field is the field of Config.
	Field string
	// Reason says what is wrong and what is allowed.
	Reason string
}

// Error returns the field and the reason.
func (e *InvalidError) Error() string { return "worker: " + e.Field + ": " + e.Reason }
