package engine

import (
	"fmt"
	"time"
)

// Cancel ends a message that waits at once, and asks a running one to stop by
// ending its context: its Status then has CancelRequested, and the outcome
// follows when the handler returns or its grace is over. A handler that returns
// a result all the same has succeeded. Errors: ErrNotFound, ErrTerminal; with a Store also
// ErrStorageFull, ErrStoreFailed, and ErrDraining at its very end.
func (e *Engine) Cancel(id ID) (Status, error) {
	if e.durable != nil {
		return e.cancelStored(id)
	}
	now := time.Now()
	e.mu.Lock()
	defer e.unlock()
	r, known := e.table.byID[id]
	switch {
	case !known:
		return Status{}, fmt.Errorf("cancel %s: %w", id, ErrNotFound)
	case r.state.Terminal():
		return r.status(), fmt.Errorf("cancel %s: %w: %s", id, ErrTerminal, r.state)
	case r.state == StateRunning:
		r.cancelled = true
		r.attempt.ask(ErrCancelled, now)
	default:
		e.end(r, StateCancelled, ending(ErrCancelled), now)
	}
	return r.status(), nil
}
