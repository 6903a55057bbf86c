package sqlitestore

import "github.com/activemessage/activemessage/engine"

// state is a message's state as its row has it: a queued message is either ready or
// behind its key.
type state int64

const (
	scheduled state = iota + 1
	retrying
	blocked
	ready
	running
	succeeded
	failed
	cancelled
	expired
)

func (s state) ended() bool { return s >= succeeded }

// waits reports whether a message in the state counts in its queue's bytes.
func (s state) waits() bool { return s <= ready }

// engine is the state as everyone else knows it.
func (s state) engine() engine.State {
	switch s {
	case scheduled:
		return engine.StateScheduled
	case retrying:
		return engine.StateRetrying
	case blocked, ready:
		return engine.StateQueued
	case running:
		return engine.StateRunning
	case succeeded:
		return engine.StateSucceeded
	case failed:
		return engine.StateFailed
	case cancelled:
		return engine.StateCancelled
	case expired:
		return engine.StateExpired
	}
	return ""
}

// stateOf is the row's state for an engine's; a queued message's is ready.
func stateOf(s engine.State) state {
	switch s {
	case engine.StateScheduled:
		return scheduled
	case engine.StateRetrying:
		return retrying
	case engine.StateQueued:
		return ready
	case engine.StateRunning:
		return running
	case engine.StateSucceeded:
		return succeeded
	case engine.StateFailed:
		return failed
	case engine.StateCancelled:
		return cancelled
	case engine.StateExpired:
		return expired
	}
	return 0
}
