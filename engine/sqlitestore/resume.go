package sqlitestore

import (
	"fmt"
	"time"

	"github.com/activemessage/activemessage/engine"
)

// resume makes a message's last attempt, which was lost, the owner's.
func (c *commit) resume(change *engine.ResumeChange) error {
	r, found, err := c.find(change.ID)
	switch {
	case err != nil:
		return err
	case !found:
		change.Err = fmt.Errorf("resume %s: %w", change.ID, engine.ErrNotFound)
		return nil
	case r.Attempt != change.Attempt || !r.cutShort() || r.CancelRequested || r.expiredAt(c.now):
		change.Err = fmt.Errorf("resume %s: %w", change.ID, engine.ErrStale)
		return nil
	}
	if err := c.unlose(&r); err != nil {
		return err
	}
	if r.MessageData, err = blobOf(c.sql.selectInline.with().int(r.seq)); err != nil {
		return err
	}
	if err := c.fillApart(&r); err != nil {
		return err
	}
	change.Message = r.StoredMessage
	return nil
}

// cutShort reports whether a message waits, with its key if it has one, since its last
// attempt was lost, or left outside. Of one that was lost and retried by hand since nothing
// is in Lost.
func (r *record) cutShort() bool {
	if r.state != ready && r.state != retrying || len(r.Attempts) == 0 {
		return false
	}
	last := &r.Attempts[len(r.Attempts)-1]
	if last.Number != r.Attempt || last.Error == nil {
		return false
	}
	return last.Error.Code == engine.CodeLost && r.Lost > 0 || last.Error.Code == engine.CodeLeftOutside
}

// unlose undoes lose: the attempt runs, as the group's owner's.
func (c *commit) unlose(r *record) error {
	if err := c.leave(r); err != nil {
		return err
	}
	last := len(r.Attempts) - 1
	r.state, r.State, r.StartedAt, r.DueAt = running, engine.StateRunning, r.Attempts[last].StartedAt, time.Time{}
	if r.Attempts[last].Error.Code == engine.CodeLost {
		r.Lost--
	}
	r.Attempts = r.Attempts[:last]
	r.Uncounted = max(r.Uncounted-1, 0)
	if err := c.enter(r); err != nil {
		return err
	}
	c.hold(claimOf(r, c.g.Owner))
	attempts, err := encodeAttempts(r.Attempts)
	if err != nil {
		return err
	}
	return c.sql.resumeMessage.with().int(r.seq).int(int64(r.Uncounted)).int(int64(r.Lost)).time(r.StartedAt).raw(attempts).exec()
}
