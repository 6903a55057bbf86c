package engine

import (
	"time"
)

// Notification tells how a message with a response notification ended. It is
// published exactly once, after the outcome is recorded.
type Notification struct {
	// Number is the position in the log: 1, 2, 3, … without holes.
	Number uint64
	// Time is when the outcome was reached.
	Time time.Time
	// ID is the message's; zero where the message was refused for its type.
	ID ID
	// MessageType is the message's.
	MessageType string
	// ResponseNotification is the prefix the submitter chose.
	ResponseNotification string
	// State is the terminal state reached.
	State State
	// Error is nil if and only if State is StateSucceeded.
	Error *Error
	// Result is the handler's. Do not change its bytes.
	Result Result
	// Origin is the message's.
	Origin *Origin

	log uint32
}

// Cursor is the position just after the notification: subscribe from it for what
// follows.
func (n *Notification) Cursor() Cursor { return Cursor{Log: n.log, Number: n.Number, set: true} }

// OK reports whether the message succeeded.
func (n *Notification) OK() bool { return n.State == StateSucceeded }

// AppendText appends the string form, exact and unescaped: "prefix:ok" or
// "prefix:err(message)". It never fails.
func (n *Notification) AppendText(b []byte) ([]byte, error) {
	b = append(b, n.ResponseNotification...)
	if n.OK() {
		return append(b, ":ok"...), nil
	}
	b = append(b, ":err("...)
	b = append(b, n.Error.Message...)
	return append(b, ')'), nil
}

// String returns the string form; see AppendText.
func (n *Notification) String() string {
	text, _ := n.AppendText(nil)
	return string(text)
}

// ProgressReport is a running message's latest progress. It has no number and
// is not kept: a subscriber that is behind sees only the newest.
type ProgressReport struct {
	ID                   ID
	MessageType          string
	ResponseNotification string
	Attempt              int
	Progress             Progress
}
