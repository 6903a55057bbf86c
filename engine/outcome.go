package engine

// State is where a message is on its way. Every accepted message reaches
// exactly one terminal state, and stays in it.
type State string

// The states, in the order a message passes them.
const (
	// StateQueued: accepted, waiting for a slot of the pool and of its type.
	StateQueued State = "queued"
	// StateRunning: a handler has it.
	StateRunning State = "running"
	// StateSucceeded is terminal: the handler returned a result.
	StateSucceeded State = "succeeded"
	// StateFailed is terminal: the handler returned an error, panicked, or took
	// longer than the type's timeout.
	StateFailed State = "failed"
	// StateCancelled is terminal: Cancel, or a shutdown that ran out of time,
	// ended the message first.
	StateCancelled State = "cancelled"
)

// States lists all states in the order a message passes them.
func States() []State {
	return []State{StateQueued, StateRunning, StateSucceeded, StateFailed, StateCancelled}
}

// Terminal reports whether s is final.
func (s State) Terminal() bool {
	return s == StateSucceeded || s == StateFailed || s == StateCancelled
}

// Result is what a handler returns on success.
type Result struct {
	// Data is any bytes, nil included, at most Config.MaxResultBytes. The
	// engine owns it from then on.
	Data []byte
	// ContentType is the media type of Data; empty means unspecified.
	ContentType string
}
