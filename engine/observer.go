package engine

import (
	"context"
	"time"
)

// Observer follows messages on their way, for tracing. Its methods are called from
// many goroutines at once, never under the engine's lock, and must not block.
type Observer interface {
	// Submit is called before a valid submission is accepted, or refused for want of
	// room, with the submitter's ctx. It may replace s.Origin by another valid one, and
	// change nothing else.
	// The function it returns is called with what became of it.
	Submit(ctx context.Context, s *Submission) func(Receipt, error)
	// Run is called by a worker before the handler, for every attempt, or when its Consumer
	// takes it; queuedAt is when the message began to wait for it. The handler's context has
	// the values of the context that Run returns.
	Run(m *Message, queuedAt time.Time) (context.Context, Run)
}

// Run follows one attempt. Its methods are called once, in this order, by the
// worker.
type Run interface {
	// Returned is called when the handler has returned, or what runs with a Consumer has
	// ended; err is nil on success.
	Returned(err error)
	// Settled is called when what follows is decided: a terminal state, StateRetrying,
	// StateScheduled for a snooze, StateQueued if a shutdown hands the message back, or
	// StateRunning if the handler detached it, or "" if the message went on without the
	// handler before. published tells that the
	// outcome goes to the notification log. With a Store both are still on their way
	// there.
	Settled(state State, published bool)
}

// Reports is a power of a Run: to follow what the handler reports. Its methods are called
// in the goroutine that reports, from several at once if there are several, and not after
// the attempt is over.
type Reports interface {
	// Progress is called with every report, as it is kept.
	Progress(p Progress)
	// Saved is called when Message.Save has saved a checkpoint, which must not be changed.
	Saved(checkpoint []byte)
}

// observation is what an observed attempt has more; the worker's own, and of one with a
// consumer guarded by Engine.mu until it is over.
type observation struct {
	queuedAt time.Time
	run      Run // nil until the attempt is executed, or taken
}

// observe tells the observer of an attempt that its consumer takes.
func (a *attempt) observe(m *Message) {
	_, run := a.engine.cfg.Observer.Run(m, a.observed.queuedAt)
	a.engine.mu.Lock()
	over := a.over
	if !over {
		a.observed.run = run
	}
	a.engine.mu.Unlock()
	if over { // and reported
		run.Returned(notRunning(m.lease()))
		run.Settled("", false)
	}
}
