package sqlitestore

import (
	"github.com/activemessage/activemessage/engine"
)

// claim takes messages to run. One that has expired may pass its key to another, which
// is then claimed in its place, so it looks again until it has enough or there are none.
func (c *commit) claim(change *engine.ClaimChange) error {
	t := c.types.byName[change.MessageType]
	if t == nil {
		return nil
	}
	c.touch(t)
	for len(change.Messages) < change.Limit && t.counts.Ready > 0 {
		found, err := c.readyOf(t, change.Limit-len(change.Messages))
		if err != nil {
			return err
		}
		if len(found) == 0 {
			return nil
		}
		for i := range found {
			if err := c.claimOne(&found[i], change); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *commit) claimOne(r *record, change *engine.ClaimChange) error {
	if r.expiredAt(c.now) {
		r.MessageData, r.Checkpoint = nil, nil
		return c.expire(r)
	}
	if err := c.leave(r); err != nil {
		return err
	}
	r.state, r.State, r.StartedAt = running, engine.StateRunning, c.g.Now
	r.Attempt++
	if err := c.enter(r); err != nil {
		return err
	}
	change.Messages = append(change.Messages, r.StoredMessage)
	c.hold(claimOf(r, c.g.Owner))
	return c.sql.claimMessage.with().int(r.seq).int(int64(r.Attempt)).time(r.StartedAt).exec()
}

// readyOf returns the next messages of a type to run, with their data and checkpoints.
func (c *commit) readyOf(t *messageType, limit int) ([]record, error) {
	var found []record
	q := c.sql.selectReady.with().int(t.id).int(int64(limit))
	for q.next() {
		r, err := q.record()
		if err != nil {
			return nil, q.check(err).done()
		}
		r.MessageType, r.MessageData = t.name, q.bytesColumn()
		found = append(found, r)
	}
	if err := q.done(); err != nil {
		return nil, err
	}
	for i := range found {
		if err := c.fillApart(&found[i]); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// fillApart adds what a message that is to run has apart from its row: its data, if that
// is large, and its checkpoint.
func (c *commit) fillApart(r *record) (err error) {
	if r.large {
		if r.MessageData, err = blobOf(c.sql.selectData.with().int(r.seq)); err != nil {
			return err
		}
	}
	if r.saved {
		r.Checkpoint, err = blobOf(c.sql.selectCheckpoint.with().int(r.seq))
	}
	return err
}

// blobOf reads the only column of the only row of a query.
func blobOf(q *statement) (data []byte, err error) {
	if q.next() {
		data = q.bytesColumn()
	}
	return data, q.done()
}
