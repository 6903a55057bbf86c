package sqlitestore

import (
	"time"

	"github.com/activemessage/activemessage/engine"
)

// queue makes a message that was taken out of the counts wait for its turn: ready, or
// behind its key. Attempts nil means that they stay.
func (c *commit) queue(r *record, attempts []engine.Attempt) error {
	r.state, r.QueuedAt, r.DueAt = ready, c.g.Now, time.Time{}
	if r.Key != "" {
		first, err := c.takeKey(r)
		if err != nil {
			return err
		}
		if !first {
			r.state = blocked
		}
	}
	r.State, r.place = engine.StateQueued, c.place()
	if err := c.enter(r); err != nil {
		return err
	}
	text, err := encodeAttempts(attempts)
	if err != nil {
		return err
	}
	return c.sql.queueMessage.with().int(r.seq).int(int64(r.state)).int(r.place).time(r.QueuedAt).
		int(int64(r.Attempt)).int(int64(r.Uncounted)).int(int64(r.Lost)).time(r.StartedAt).
		flag(attempts != nil).raw(text).exec()
}

// cancel ends a message that nobody has claimed.
func (c *commit) cancel(change *engine.CancelChange) error {
	r, found, err := c.find(change.ID)
	if err != nil {
		return err
	}
	switch {
	case !found:
		change.Err = engine.ErrNotFound
		return nil
	case r.state.ended():
		change.Err = engine.ErrTerminal
		err = c.fillResult(&r)
	case r.state == running:
		change.Err = engine.ErrClaimed
		r.CancelRequested = true
		err = c.sql.askCancel.with().int(r.seq).exec()
	default:
		err = c.endWaiting(&r, &outcome{state: engine.StateCancelled, at: c.g.Now, failure: change.Error})
	}
	change.Message = r.StoredMessage
	return err
}

func (c *commit) endWaiting(r *record, o *outcome) error {
	if err := c.leave(r); err != nil {
		return err
	}
	return c.end(r, o)
}

// retry queues an ended message again.
func (c *commit) retry(change *engine.RetryChange) error {
	r, found, err := c.find(change.ID)
	if err != nil {
		return err
	}
	switch {
	case !found:
		change.Err = engine.ErrNotFound
		return nil
	case !r.state.ended() || r.state == succeeded:
		change.Err = engine.ErrNotRetryable
		err = c.fillResult(&r)
	case r.Attempt != change.Attempt:
		change.Err = engine.ErrStale
		err = c.fillResult(&r)
	default:
		err = c.revive(&r, change.Attempts)
	}
	change.Message = r.StoredMessage
	return err
}

func (c *commit) revive(r *record, attempts []engine.Attempt) error {
	if err := c.leave(r); err != nil {
		return err
	}
	if err := c.forgetResult(r); err != nil {
		return err
	}
	if err := c.sql.reviveMessage.with().int(r.seq).exec(); err != nil {
		return err
	}
	r.Error, r.Result, r.ResultBytes, r.resultNumber = nil, engine.Result{}, 0, 0
	r.FinishedAt, r.ExpiresAt, r.CancelRequested = time.Time{}, time.Time{}, false
	r.Uncounted, r.Lost, r.Attempts = r.Attempt, 0, attempts
	if attempts == nil {
		attempts = []engine.Attempt{} // here they do not stay
	}
	return c.queue(r, attempts)
}
