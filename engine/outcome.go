package engine

// State is where a message is on its way. Every accepted message reaches
// exactly one terminal state, and stays in it.
type State string

// The states, in the order a message passes them.
const (
	// StateScheduled: accepted, waiting for its time: a delay, or a snooze.
	StateScheduled State = "scheduled"
	// StateQueued: waiting for a slot of the pool and of its type.
	StateQueued State = "queued"
	// StateRunning: a handler has it.
	StateRunning State = "running"
	// StateRetrying: an attempt failed, and another one follows after a backoff.
	StateRetrying State = "retrying"
	// StateSucceeded is terminal: the handler returned a result.
	StateSucceeded State = "succeeded"
	// StateFailed is terminal: the handler returned an error, panicked, or took
	// longer than its timeout, and no attempt is left. Engine.Retry gives it new
	// ones.
	StateFailed State = "failed"
	// StateCancelled is terminal: Cancel, or a shutdown that does not wait for it,
	// ended the message first.
	StateCancelled State = "cancelled"
	// StateExpired is terminal: the message's ExpiresAt came before another attempt
	// could start.
	StateExpired State = "expired"
)

// States lists all states in the order a message passes them.
func States() []State {
	return append([]State{StateScheduled, StateQueued, StateRunning, StateRetrying}, TerminalStates()...)
}

// TerminalStates lists the states in which a message ends.
func TerminalStates() []State {
	return []State{StateSucceeded, StateFailed, StateCancelled, StateExpired}
}

// Terminal reports whether s is final.
func (s State) Terminal() bool {
	switch s {
	case StateSucceeded, StateFailed, StateCancelled, StateExpired:
		return true
	}
	return false
}

// Result is what a handler returns on success.
type Result struct {
	// Data is any bytes, nil included, at most Config.MaxResultBytes. The
	// engine owns it from then on.
	Data []byte
	// ContentType is the media type of Data; empty means unspecified.
	ContentType string
}
