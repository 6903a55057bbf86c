package engine

import (
	"context"
	"fmt"
)

// Wait returns a message's status once it has ended, or its latest and ctx's error
// if ctx ends first. Errors also: ErrNotFound; with a Store ErrDraining if the engine ended
// before the message, ErrStoreFailed.
func (e *Engine) Wait(ctx context.Context, id ID) (Status, error) {
	if e.durable != nil {
		return e.waitStored(ctx, id)
	}
	e.mu.Lock()
	r, known := e.table.byID[id]
	if !known {
		e.mu.Unlock()
		return Status{}, fmt.Errorf("message %s: %w", id, ErrNotFound)
	}
	if r.state.Terminal() {
		defer e.mu.Unlock()
		return r.status(), nil
	}
	p := r.needPlan()
	if p.waiters == nil {
		p.waiters = &waiters{ended: make(chan struct{})}
	}
	w := p.waiters
	e.mu.Unlock()

	select {
	case <-w.ended:
		return w.status, nil
	case <-ctx.Done():
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return r.status(), ctx.Err()
}

// waiters are those who wait for a message's end. What they get is its status then:
// it may be retried before they look.
type waiters struct {
	ended  chan struct{} // closed by answer
	status Status        // written before that
	count  int           // with a store; guarded by Engine.mu
}

// answer tells all that the message has ended. The caller holds mu, and has taken w
// from where it was found.
func (w *waiters) answer(status Status) {
	w.status = status
	close(w.ended)
}
