package engine

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// cancelStored is Cancel with a store, which also remembers what is asked of a running
// message: after a crash it does not run again.
func (e *Engine) cancelStored(id ID) (Status, error) {
	for {
		e.mu.Lock()
		r := e.table.byID[id]
		switch {
		case r == nil:
			e.mu.Unlock()
			status, err := e.cancelInStore(id)
			if !errors.Is(err, ErrClaimed) {
				return status, err
			}
			if !e.hasClaimed(id) {
				return status, nil // another engine's, or a dead one's: the store remembers
			}
			// It was claimed meanwhile: ask again where it is now.
		case r.settling != nil:
			decided := r.settling
			e.mu.Unlock()
			if err := decided.wait(context.Background()); err != nil {
				return Status{}, fmt.Errorf("cancel %s: %w", id, err)
			}
		case r.state == StateRunning:
			r.cancelled = true
			r.attempt.ask(ErrCancelled, time.Now())
			asked := r.status()
			e.unlock()
			status, err := e.cancelInStore(id)
			if errors.Is(err, ErrClaimed) || errors.Is(err, ErrTerminal) || errors.Is(err, ErrStorageFull) {
				return asked, nil // it may have ended with what was asked by now
			}
			return status, err
		default:
			e.end(r, StateCancelled, ending(ErrCancelled), time.Now())
			ended := r.settling
			e.unlock()
			return e.cancelled(r, ended)
		}
	}
}

// hasClaimed reports whether a message is in memory.
func (e *Engine) hasClaimed(id ID) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.table.byID[id] != nil
}

// cancelInStore cancels a message that nobody has claimed; if somebody has, the store
// remembers that it was asked for, and the error is ErrClaimed.
func (e *Engine) cancelInStore(id ID) (Status, error) {
	change := &CancelChange{ID: id, Error: ending(ErrCancelled)}
	err := e.change(context.Background(), func(c *commit) { c.group.Cancels = append(c.group.Cancels, change) })
	if err == nil {
		err = change.Err
	}
	e.mu.Lock()
	status := e.statusOf(&change.Message)
	e.mu.Unlock()
	if err != nil {
		err = fmt.Errorf("cancel %s: %w", id, err)
	}
	return status, err
}

// cancelled waits for the end of a message that waited in memory.
func (e *Engine) cancelled(r *record, ended *commit) (Status, error) {
	err := e.durableError()
	if ended != nil {
		err = ended.wait(context.Background())
	}
	if err != nil && !errors.Is(err, ErrStorageFull) {
		return Status{}, fmt.Errorf("cancel %s: %w", r.message.ID, err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	status := r.status()
	status.CancelRequested = status.CancelRequested || err != nil // it ends when there is room
	return status, nil
}
