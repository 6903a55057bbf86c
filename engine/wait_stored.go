package engine

import "context"

// waitStored is Wait with a store.
func (e *Engine) waitStored(ctx context.Context, id ID) (Status, error) {
	e.mu.Lock()
	w := e.durable.waiters[id]
	if w == nil {
		w = &waiters{ended: make(chan struct{})}
		e.durable.waiters[id] = w
	}
	w.count++
	e.mu.Unlock()
	defer e.stopWaiting(id, w)

	// What ended before is not told.
	status, err := e.Get(id)
	if err != nil || status.State.Terminal() {
		return status, err
	}
	select {
	case <-w.ended:
		return w.status, nil
	case <-ctx.Done():
		err = ctx.Err()
	case <-e.durable.ended:
		if err = e.durableError(); err == nil {
			err = ErrDraining
		}
	}
	if status, getErr := e.Get(id); getErr == nil {
		return status, err
	}
	return status, err
}

// stopWaiting forgets waiters when the last one goes.
func (e *Engine) stopWaiting(id ID, w *waiters) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if w.count--; w.count == 0 && e.durable.waiters[id] == w {
		delete(e.durable.waiters, id)
	}
}

// takeWaiters returns those who wait for a message, nil if nobody does. The caller holds
// Engine.mu.
func (d *durable) takeWaiters(id ID) *waiters {
	w := d.waiters[id]
	delete(d.waiters, id)
	return w
}
