package sqlitestore

import (
	"fmt"
	"time"

	"github.com/activemessage/activemessage/engine"
)

// settle ends an attempt, if the owner has the message at that attempt.
func (c *commit) settle(change *engine.SettleChange) error {
	h := c.ledger.claimed(change.ID, c.g.Owner, change.Attempt)
	if h == nil {
		change.Err = fmt.Errorf("settle %s: %w", change.ID, engine.ErrStale)
		return nil
	}
	r, err := h.record()
	if err != nil {
		return err
	}
	r.MessageType = c.typeName(r.typeID)
	c.letGo(h)
	if err := c.leave(&r); err != nil {
		return err
	}
	if change.Unstarted {
		r.Attempt--
	}
	if change.Lost {
		r.Lost++
	}
	r.StartedAt, r.Uncounted = change.StartedAt, change.Uncounted
	switch change.State {
	case engine.StateQueued:
		return c.queue(&r, change.Attempts)
	case engine.StateScheduled, engine.StateRetrying:
		return c.putOff(&r, change)
	}
	return c.end(&r, &outcome{
		state: change.State, at: change.FinishedAt, failure: change.Error, result: change.Result,
		attempts: change.Attempts, holdKey: change.HoldKey,
	})
}

// putOff lets a message wait for its time. It keeps its key.
func (c *commit) putOff(r *record, change *engine.SettleChange) error {
	r.state, r.DueAt = stateOf(change.State), change.DueAt
	attempts, err := encodeAttempts(change.Attempts)
	if err != nil {
		return err
	}
	if err := c.enter(r); err != nil {
		return err
	}
	return c.sql.putOffMessage.with().int(r.seq).int(int64(r.state)).time(r.DueAt).
		int(int64(r.Attempt)).int(int64(r.Uncounted)).int(int64(r.Lost)).time(r.StartedAt).
		flag(change.Attempts != nil).raw(attempts).exec()
}

// outcome is how a message ends.
type outcome struct {
	state    engine.State
	at       time.Time
	failure  *engine.Error
	result   engine.Result
	attempts []engine.Attempt // nil: they stay
	holdKey  bool
}

// end ends a message that was taken out of the counts: its row, its key, and its
// notification.
func (c *commit) end(r *record, o *outcome) error {
	holder := r.state != blocked
	r.state, r.State, r.FinishedAt, r.DueAt = stateOf(o.state), o.state, o.at, time.Time{}
	if o.at.IsZero() {
		r.FinishedAt = c.g.Now // a row that has none would never be forgotten
	}
	r.Error, r.Result, r.ResultBytes = withoutCause(o.failure), o.result, len(o.result.Data)
	if err := c.enter(r); err != nil {
		return err
	}
	if r.ResponseNotification != "" {
		if err := c.publishEnd(r); err != nil {
			return err
		}
	}
	if err := c.writeEnd(r, o.attempts); err != nil || r.Key == "" || !holder {
		return err
	}
	if o.holdKey {
		return c.sql.holdLane.with().int(r.typeID).word(r.Key).int(int64(r.owner)).exec()
	}
	return c.leaveLane(r)
}

func (c *commit) writeEnd(r *record, attempts []engine.Attempt) error {
	drop := r.state == succeeded
	if drop && r.large {
		if err := c.sql.deleteData.with().int(r.seq).exec(); err != nil {
			return err
		}
	}
	if r.saved {
		if err := c.sql.deleteCheckpoint.with().int(r.seq).exec(); err != nil {
			return err
		}
	}
	result := r.Result.Data
	if r.resultNumber != 0 {
		result = nil
	}
	text, err := encodeAttempts(attempts)
	if err != nil {
		return err
	}
	return c.sql.endMessage.with().int(r.seq).flag(drop).int(int64(r.state)).
		int(int64(r.Attempt)).int(int64(r.Uncounted)).int(int64(r.Lost)).time(r.StartedAt).time(r.FinishedAt).
		flag(attempts != nil).raw(text).failure(r.Error).
		text(r.Result.ContentType).int(int64(r.ResultBytes)).optional(r.resultNumber).blob(result).exec()
}

// withoutCause is what is kept of an error.
func withoutCause(e *engine.Error) *engine.Error {
	if e == nil || e.Cause == nil {
		return e
	}
	return &engine.Error{Code: e.Code, Message: e.Message}
}
