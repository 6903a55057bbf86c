package engine

import (
	"context"
	"fmt"
)

// Wait returns a message's status once it has ended, or its latest and ctx's error
// if ctx ends first. Errors also: ErrNotFound.
func (e *Engine) Wait(ctx context.Context, id ID) (Status, error) {
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
	if p.done == nil {
		p.done = make(chan struct{})
	}
	done := p.done
	e.mu.Unlock()

	var err error
	select {
	case <-done:
	case <-ctx.Done():
		err = ctx.Err()
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return r.status(), err
}
