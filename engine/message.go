package engine

import (
	"context"
	"time"
)

// Submission is what a caller hands to Submit: a message before it is accepted.
// The engine owns MessageData and Metadata from then on; do not change them.
type Submission struct {
	// MessageType names the handler that runs. Required; see Register for its form.
	MessageType string
	// MessageData is what the handler receives: any bytes, nil included. At
	// most Config.MaxMessageBytes.
	MessageData []byte
	// ContentType is the media type of MessageData, at most MaxContentTypeBytes; the
	// engine does not interpret it.
	ContentType string
	// ResponseNotification is the prefix under which the outcome is published.
	// Empty means that nobody is told. At most 255 bytes of UTF-8, without
	// control characters, not ending in '*' (that would read as a pattern).
	ResponseNotification string
	// Key orders messages: those of one type with the same key run one at a
	// time, in the order accepted. Empty means no order. At most 255 bytes.
	Key string
	// Priority is from -9 to 9; within a type, higher runs first. Key order
	// comes before priority.
	Priority int
	// Metadata travels with the message untouched: at most 32 entries, names
	// and values together at most 8 KiB.
	Metadata map[string]string

	// Delay and DeliverAt hold the message back: for a time from now on, or until
	// a time; at most one of them is set, and not beyond 366 days from now. A
	// DeliverAt in the past means now. A message that is held back takes its place
	// in its key's order only when it is due.
	Delay     time.Duration
	DeliverAt time.Time
	// ExpiresAt is when attempts no longer start: a message that waits then, also
	// for a retry, ends with StateExpired. The zero time means never. It must be in
	// the future.
	ExpiresAt time.Time
	// Timeout and MaxAttempts tighten the type's policy for this message; 0 means
	// the policy's own. More than the policy allows is refused.
	Timeout     time.Duration
	MaxAttempts int

	// IdempotencyKey makes submitting twice safe: a second submission with the key
	// and the same content is answered with the first one's Receipt. At most 255
	// bytes; empty means none.
	IdempotencyKey string
	// IdempotencyTTL is how long the key is remembered after acceptance, and in
	// any case until the message has ended. 0 means Config.IdempotencyTTL, more
	// than that is refused; UntilTerminal frees the key when the message ends.
	IdempotencyTTL time.Duration

	// Origin is where the message comes from; nil where nobody said.
	Origin *Origin

	// unfit is why the type's Checker refuses it, while it may be a replay.
	unfit error
}

// UntilTerminal as Submission.IdempotencyTTL frees the key as soon as the message
// has ended.
const UntilTerminal time.Duration = -1

// Origin is what a message carries on for others: to its handler, to its status,
// and to its notification. Do not change one that was submitted.
type Origin struct {
	// Traceparent and Tracestate are the submitter's W3C Trace Context. Empty, or
	// valid by that standard.
	Traceparent, Tracestate string
	// CloudEvent is what the message keeps of the CloudEvent it came in as; nil if it
	// did not.
	CloudEvent *CloudEvent
}

// CloudEvent holds the context attributes that a message keeps which came in as
// a CloudEvent (CloudEvents 1.0.2, section 3.1).
type CloudEvent struct {
	// ID and Source identify the event for its producer.
	ID, Source string
	// Type is the event's own, which need not be the message type.
	Type string
	// Subject and Time are optional.
	Subject string
	Time    time.Time
}

// Receipt is the answer to an accepted Submission.
type Receipt struct {
	// ID names the message from now on.
	ID ID
	// State is the state at acceptance: StateQueued, StateScheduled, or StateRetrying
	// from Retry of a message whose handler is stuck.
	State State
	// MessageType is the submission's.
	MessageType string
	// Cursor is the log position at acceptance: a subscription from it sees the
	// message's notification, even if the work is done by then.
	Cursor Cursor
	// Durability is what the accepted message survives.
	Durability Durability
	// Replayed is true if this is the receipt of an earlier submission with the
	// same idempotency key.
	Replayed bool
}

// Message is what a handler receives. It is the handler's until Handle returns;
// a handler does not change it, and copies what it keeps for longer.
type Message struct {
	// ID is the same on every attempt: what a handler is idempotent by.
	ID ID
	// MessageType, MessageData, ContentType, ResponseNotification, Key,
	// Priority, Metadata and Origin are the submission's.
	MessageType          string
	MessageData          []byte
	ContentType          string
	ResponseNotification string
	Key                  string
	Priority             int
	Metadata             map[string]string
	Origin               *Origin
	// Attempt counts from 1.
	Attempt int
	// AcceptedAt is when Submit accepted the message.
	AcceptedAt time.Time
	// Checkpoint is what an earlier attempt saved last; nil if none did.
	Checkpoint []byte

	attempt *attempt // nil outside an engine, as in a handler's unit test
}

// Progress tells whoever follows the message how far it is: fraction from 0 to
// 1 (clamped), and a note for people (cut to 255 bytes). Progress is advice,
// not history: reports in quick succession are merged and only the latest is
// kept. It is cheap, may be called from any goroutine, and does nothing after
// the attempt is over.
func (m *Message) Progress(fraction float64, note string) {
	if m.attempt != nil {
		m.attempt.reportProgress(fraction, note)
	}
}

// Save keeps a checkpoint, at most Config.MaxMessageBytes, for the next attempt, which
// has it as Checkpoint; a later one replaces it, and the end of the message drops it. It
// returns when the Store has it, if there is one; data is the engine's from then on.
// Errors: ErrStale after the attempt is over, ErrTooLarge, ErrStorageFull,
// ErrStoreFailed. Outside an engine it does nothing.
func (m *Message) Save(ctx context.Context, data []byte) error {
	if m.attempt == nil {
		return nil
	}
	saved, err := m.attempt.engine.Save(m.lease(), data)
	if err != nil {
		return err
	}
	if err := saved.Wait(ctx); err != nil {
		return err
	}
	if reports, told := m.attempt.reports(); told {
		reports.Saved(data)
	}
	return nil
}

// Progress is the latest report of a running message.
type Progress struct {
	// Fraction is from 0 to 1.
	Fraction float64
	// Note is the handler's text, possibly empty.
	Note string
}

// Status is a snapshot of one message, as Get and List return it.
type Status struct {
	ID                   ID
	MessageType          string
	State                State
	ContentType          string
	ResponseNotification string
	Key                  string
	Priority             int
	Metadata             map[string]string
	Origin               *Origin
	// MessageBytes is the length of the message's data.
	MessageBytes int
	// Attempt is the number of the latest attempt; 0 before the first.
	Attempt int
	// MaxAttempts and Timeout are those in force for the message; a Timeout of 0
	// means none.
	MaxAttempts int
	Timeout     time.Duration
	// Lost is how many attempts were lost: the server died while they ran.
	Lost int
	// Attempts are the latest attempts, oldest first: the current or last one, and
	// at most 20 before it.
	Attempts []Attempt
	// DueAt is when a message in StateScheduled or StateRetrying is queued again;
	// zero otherwise, and while a retry waits for a stuck handler to return.
	DueAt time.Time
	// ExpiresAt is the submission's.
	ExpiresAt time.Time
	// Progress is the latest report, nil if there was none.
	Progress *Progress
	// CancelRequested is true from Cancel of a running message on.
	CancelRequested bool
	// AcceptedAt, StartedAt (of the latest attempt) and FinishedAt are zero for
	// what has not happened.
	AcceptedAt, StartedAt, FinishedAt time.Time
	// Error is set in every terminal state but StateSucceeded.
	Error *Error
	// Result is the handler's, in StateSucceeded. Do not change its bytes. List of an
	// engine with a Store leaves its data out.
	Result Result
	// ResultBytes is the length of the result's data.
	ResultBytes int
}

// Attempt is one run of a message's handler, as its Status tells.
type Attempt struct {
	// Number counts from 1.
	Number int
	// State is what the attempt came to: StateSucceeded, StateFailed,
	// StateCancelled, StateRetrying if it failed and another one follows,
	// StateScheduled for a snooze, StateQueued if a shutdown or a crash cut it
	// short and the message was queued again, or StateRunning if it has not ended.
	State State
	// StartedAt and FinishedAt; FinishedAt is zero while it runs.
	StartedAt, FinishedAt time.Time
	// Error is why it did not succeed; nil in StateSucceeded, StateScheduled and
	// StateRunning.
	Error *Error
}
