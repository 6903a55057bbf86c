package engine

import (
	"errors"
	"fmt"
	"time"
)

// What callers branch on with errors.Is.
var (
	// ErrUnknownType: no handler is registered for the message type.
	ErrUnknownType = errors.New("no handler for this message type")
	// ErrQueueFull: a queue is at its bound; the error is a *QueueFullError.
	ErrQueueFull = errors.New("queue full")
	// ErrDraining: the engine is shutting down and accepts nothing new.
	ErrDraining = errors.New("shutting down")
	// ErrTooLarge: the message data, or a checkpoint, is over Config.MaxMessageBytes.
	ErrTooLarge = errors.New("message too large")
	// ErrInvalid: a field breaks a rule; the error is an *InvalidError.
	ErrInvalid = errors.New("invalid")
	// ErrNotFound: no message has the id, or it is no longer kept.
	ErrNotFound = errors.New("no such message")
	// ErrTerminal: the message has ended, so it cannot be cancelled.
	ErrTerminal = errors.New("the message has already ended")
	// ErrNotRetryable: the message succeeded or has not ended, so there is nothing
	// to retry.
	ErrNotRetryable = errors.New("only a message that failed, was cancelled or expired can be retried")
	// ErrKeyReused: the idempotency key belongs to a submission with other content.
	ErrKeyReused = errors.New("this idempotency key was used for another message")
	// ErrTypeRegistered: Register of a type that has a handler.
	ErrTypeRegistered = errors.New("this message type already has a handler")
	// ErrStorageFull: the store has no room for new messages, or soon none. What it is
	// returned for was not stored.
	ErrStorageFull = errors.New("storage full")
	// ErrStoreFailed: the store failed, and the engine with it, see Engine.Failed; what
	// was to be stored may be, or not. Of what only reads: it could not be read now.
	ErrStoreFailed = errors.New("the store failed")
	// ErrStale: the attempt that a Lease, or a change for the Store, is about is over, or
	// somebody else's.
	ErrStale = errors.New("stale attempt")
	// ErrClaimed: a CancelChange of a message that is claimed.
	ErrClaimed = errors.New("the message is claimed")
	// ErrClosed: the subscription or the Consumer was closed, or the engine has stopped
	// and the subscription has read everything.
	ErrClosed = errors.New("closed")
)

// The causes (context.Cause) with which a handler's context ends.
var (
	// ErrTimeout: the attempt's timeout passed.
	ErrTimeout = errors.New("timed out")
	// ErrCancelled: Cancel was called for the message.
	ErrCancelled = errors.New("cancelled")
	// ErrShutdown: the engine's Drain ran out of time, or does not wait for it.
	ErrShutdown = errors.New("server shut down")
)

// The codes an Error of the engine's own carries. Handlers may use any other.
const (
	CodeHandlerFailed  = "handler_failed"
	CodeHandlerCrashed = "handler_crashed"
	CodeInvalidData    = "invalid_data"
	CodeTimeout        = "timeout"
	CodeCancelled      = "cancelled"
	CodeShutdown       = "shutdown"
	CodeResultTooLarge = "result_too_large"
	CodeUnknownType    = "unknown_message_type"
	CodeExpired        = "expired"
	CodeLost           = "lost"         // an attempt's: its server died; a message's: that often
	CodeWorkerLost     = "worker_lost"  // an attempt's: its worker outside of the server died
	CodeHandedBack     = "handed_back"  // an attempt's: it was given to a worker and did not begin
	CodeLeftOutside    = "left_outside" // an attempt's: it ran outside when its server was shut down
)

// Error is a failure in words that clients may read: a handler returns one, and
// every message that did not succeed ends with one.
type Error struct {
	// Code is for programs: short, lower case, stable. Empty means
	// CodeHandlerFailed.
	Code string
	// Message is for people; it is the text of the :err notification, exactly, up to
	// 4 KiB.
	Message string
	// Cause goes to the log only, and is not kept. It may be nil.
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

// size is what a failure holds.
func (e *Error) size() int64 {
	if e == nil {
		return 0
	}
	return int64(len(e.Code) + len(e.Message))
}

// InvalidError is an argument that breaks a rule, in words that say which.
type InvalidError struct {
	// Field is the field's name on the wire, such as "message_type".
	Field string
	// Reason says what is wrong and what is allowed.
	Reason string
}

// Error returns the field and the reason.
func (e *InvalidError) Error() string { return e.Field + ": " + e.Reason }

// Is makes errors.Is(err, ErrInvalid) true.
func (e *InvalidError) Is(target error) bool { return target == ErrInvalid }

// Scope tells whose bound was reached.
type Scope string

// The scopes of a bound.
const (
	ScopeType   Scope = "type"
	ScopeServer Scope = "server"
)

// QueueFullError is a submission refused because a queue is at its bound.
type QueueFullError struct {
	// Scope is the type's queue or the server's.
	Scope Scope
	// MessageType is the refused submission's.
	MessageType string
	// Limit is the bound reached, and Unit what it counts: "messages", "bytes" or
	// "idempotency keys".
	Limit int64
	Unit  string
	// RetryAfter estimates when there will be room, from how fast the queue
	// drains now: from 1 second to 1 minute.
	RetryAfter time.Duration
}

// Error says which queue is full, and of what.
func (e *QueueFullError) Error() string {
	if e.Scope == ScopeType {
		return fmt.Sprintf("the queue of message type %q is full: %d %s", e.MessageType, e.Limit, e.Unit)
	}
	return fmt.Sprintf("the server is full: %d %s", e.Limit, e.Unit)
}

// Is makes errors.Is(err, ErrQueueFull) true.
func (e *QueueFullError) Is(target error) bool { return target == ErrQueueFull }

// StuckError is why an engine is not ready: handlers that ignored the end of
// their context hold more than half of the pool.
type StuckError struct{ Stuck, Concurrency int }

// Error says how many.
func (e *StuckError) Error() string {
	return fmt.Sprintf("%d of %d slots are held by stuck handlers", e.Stuck, e.Concurrency)
}
