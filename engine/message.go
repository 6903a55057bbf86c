package engine

import (
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
	// ContentType is the media type of MessageData, at most 255 bytes; the
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
}

// Receipt is the answer to an accepted Submission.
type Receipt struct {
	// ID names the message from now on.
	ID ID
	// State is the state at acceptance: StateQueued.
	State State
	// MessageType is the submission's.
	MessageType string
	// Cursor is the log position at acceptance: a subscription from it sees the
	// message's notification, even if the work is done by then.
	Cursor Cursor
}

// Message is what a handler receives. It is the handler's until Handle returns;
// a handler does not change it, and copies what it keeps for longer.
type Message struct {
	// ID is the same on every attempt: what a handler is idempotent by.
	ID ID
	// MessageType, MessageData, ContentType, ResponseNotification, Key,
	// Priority and Metadata are the submission's.
	MessageType          string
	MessageData          []byte
	ContentType          string
	ResponseNotification string
	Key                  string
	Priority             int
	Metadata             map[string]string
	// Attempt counts from 1.
	Attempt int
	// AcceptedAt is when Submit accepted the message.
	AcceptedAt time.Time

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
	// MessageBytes is the length of the message's data.
	MessageBytes int
	// Attempt is the number of the latest attempt; 0 before the first.
	Attempt int
	// Progress is the latest report, nil if there was none.
	Progress *Progress
	// CancelRequested is true from Cancel of a running message on.
	CancelRequested bool
	// AcceptedAt, StartedAt and FinishedAt are zero for what has not happened.
	AcceptedAt, StartedAt, FinishedAt time.Time
	// Error is set in every terminal state but StateSucceeded.
	Error *Error
	// Result is the handler's, in StateSucceeded. Do not change its bytes.
	Result Result
}
