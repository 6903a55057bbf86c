package memstore

import (
	"fmt"
	"slices"
	"time"

	"github.com/activemessage/activemessage/engine"
)

// own returns a message that the owner has claimed at an attempt, nil if it does not.
func (c *commit) own(id engine.ID, attempt int) *message {
	m := c.messages[id]
	if m == nil || m.State != engine.StateRunning || m.owner != c.Owner || m.Attempt != attempt {
		return nil
	}
	return m
}

func (c *commit) save(change *engine.SaveChange) error {
	m := c.own(change.ID, change.Attempt)
	if m == nil {
		return fmt.Errorf("save %s: %w", change.ID, engine.ErrStale)
	}
	m.Checkpoint = change.Data
	return nil
}

func (c *commit) settle(change *engine.SettleChange) error {
	m := c.own(change.ID, change.Attempt)
	if m == nil {
		return fmt.Errorf("settle %s: %w", change.ID, engine.ErrStale)
	}
	if change.State.Terminal() {
		c.leaveLane(m, change.HoldKey)
	}
	c.change(m, func() {
		m.owner, m.StartedAt, m.Uncounted = 0, change.StartedAt, change.Uncounted
		if change.Unstarted {
			m.Attempt--
		}
		if change.Lost {
			m.Lost++
		}
		if change.Attempts != nil {
			m.Attempts = slices.Clone(change.Attempts)
		}
		switch change.State {
		case engine.StateQueued:
			c.queue(m)
		case engine.StateScheduled, engine.StateRetrying:
			m.State, m.DueAt = change.State, change.DueAt
		default:
			m.end(change.State, change.Error, change.FinishedAt)
			m.Result, m.ResultBytes = change.Result, len(change.Result.Data)
		}
		if m.State == engine.StateSucceeded {
			m.MessageData = nil
		}
	})
	c.publishEnd(m)
	return nil
}

// end is what all ends have in common.
func (m *message) end(state engine.State, failure *engine.Error, now time.Time) {
	m.State, m.FinishedAt, m.DueAt, m.Error = state, now, time.Time{}, withoutCause(failure)
	m.Checkpoint = nil
}

// withoutCause is what is kept of an error.
func withoutCause(e *engine.Error) *engine.Error {
	if e == nil || e.Cause == nil {
		return e
	}
	return &engine.Error{Code: e.Code, Message: e.Message}
}

func (c *commit) cancel(change *engine.CancelChange) error {
	m := c.messages[change.ID]
	if m == nil {
		return fmt.Errorf("cancel %s: %w", change.ID, engine.ErrNotFound)
	}
	defer func() { change.Message = m.withoutData() }()
	switch {
	case m.State.Terminal():
		return fmt.Errorf("cancel %s: %w", change.ID, engine.ErrTerminal)
	case m.State == engine.StateRunning:
		m.CancelRequested = true
		return fmt.Errorf("cancel %s: %w", change.ID, engine.ErrClaimed)
	}
	c.endWaiting(m, engine.StateCancelled, change.Error)
	return nil
}

// endWaiting ends a message that nobody runs.
func (c *commit) endWaiting(m *message, state engine.State, failure *engine.Error) {
	c.change(m, func() {
		c.leaveLane(m, false)
		m.end(state, failure, c.Now)
	})
	c.publishEnd(m)
}

func (c *commit) retry(change *engine.RetryChange) error {
	m := c.messages[change.ID]
	if m == nil {
		return fmt.Errorf("retry %s: %w", change.ID, engine.ErrNotFound)
	}
	defer func() { change.Message = m.withoutData() }()
	switch {
	case !m.State.Terminal() || m.State == engine.StateSucceeded:
		return fmt.Errorf("retry %s: %w: it is %s", change.ID, engine.ErrNotRetryable, m.State)
	case m.Attempt != change.Attempt:
		return fmt.Errorf("retry %s: %w", change.ID, engine.ErrStale)
	}
	c.change(m, func() {
		m.Error, m.Result, m.ResultBytes = nil, engine.Result{}, 0
		m.CancelRequested = false
		m.FinishedAt, m.ExpiresAt = time.Time{}, time.Time{}
		m.Attempts, m.Uncounted, m.Lost = slices.Clone(change.Attempts), m.Attempt, 0
		c.queue(m)
	})
	return nil
}
