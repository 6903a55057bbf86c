package sqlitestore

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/activemessage/activemessage/engine"
	"github.com/ncruces/go-sqlite3"
)

// largeData is from where on a message's data is not in its row, which is written again
// with every change.
const largeData = 2 << 10

// submit stores a new message, once.
func (c *commit) submit(change *engine.SubmitChange) error {
	if change.IdempotencyKey != "" {
		if known, err := c.remembered(change); known || err != nil {
			return err
		}
	}
	if change.ReplayOnly {
		return nil
	}
	t, err := c.typeNamed(change.Message.MessageType)
	if err != nil {
		return err
	}
	r := record{StoredMessage: change.Message, typeID: t.id, idempotency: change.IdempotencyKey}
	r.seq, r.rest = seqOf(r.ID), restOf(r.ID)
	r.MessageBytes, r.large = len(r.MessageData), len(r.MessageData) > largeData
	if r.origin, err = encodeOrigin(r.Origin); err != nil {
		change.Err = fmt.Errorf("submit %s: %w", r.ID, err)
		return nil
	}
	switch err := c.insert(&r, change); {
	case errors.Is(err, sqlite3.CONSTRAINT_PRIMARYKEY), errors.Is(err, sqlite3.CONSTRAINT_ROWID):
		change.Claimed = false
		change.Err = fmt.Errorf("submit %s: there is a message with this sequence", r.ID)
		return nil
	case err != nil:
		return err
	}
	if err := c.enter(&r); err != nil {
		return err
	}
	if change.Claimed {
		c.hold(claimOf(&r, c.g.Owner))
	}
	c.head.sequence = max(c.head.sequence, r.ID.Sequence())
	if change.IdempotencyKey == "" {
		return nil
	}
	return c.sql.insertIdempotency.with().word(change.IdempotencyKey).blob(change.Fingerprint[:]).int(r.seq).
		int(int64(stateOf(change.Message.State))).int(int64(change.Cursor)).time(change.Remember).exec()
}

// insert writes a new message's row, in the state in which it begins.
func (c *commit) insert(r *record, change *engine.SubmitChange) error {
	if r.state = stateOf(r.State); r.state != scheduled {
		r.state, r.QueuedAt = ready, c.g.Now
		r.place = c.place()
	}
	if r.state == ready && r.Key != "" {
		exists, err := c.exists(r.seq) // before it takes a key
		if err != nil || exists {
			return errors.Join(err, sqlite3.CONSTRAINT_PRIMARYKEY)
		}
		first, err := c.takeKey(r)
		if err != nil {
			return err
		}
		if !first {
			r.state = blocked
		}
	}
	if change.Claim && r.state == ready {
		change.Claimed = true
		r.state, r.place = running, 0
		r.Attempt, r.StartedAt = 1, c.g.Now
	}
	return c.writeNew(r)
}

func (c *commit) writeNew(r *record) error {
	rare, err := rareOf(&r.StoredMessage)
	if err != nil {
		return err
	}
	q := c.sql.insertMessage.with().int(r.seq).int(r.rest).int(r.typeID).int(int64(r.state)).
		int(int64(r.Attempt)).int(int64(r.Uncounted)).int(int64(r.Lost)).int(int64(r.Priority)).
		optional(r.place).
		int(nanos(r.AcceptedAt)).time(r.QueuedAt).time(r.DueAt).time(r.ExpiresAt).time(r.StartedAt).
		int(r.Size).int(int64(r.MessageBytes)).
		text(r.ResponseNotification).text(r.Key).text(r.ContentType).text(r.idempotency).raw(r.origin).raw(rare)
	if !r.large {
		return q.flagOrNull(false).blob(r.MessageData).exec()
	}
	if err := q.flagOrNull(true).blob(nil).exec(); err != nil {
		return err
	}
	return c.sql.insertData.with().int(r.seq).blob(r.MessageData).exec()
}

func (c *commit) exists(seq int64) (bool, error) {
	q := c.sql.selectRecord.with().int(seq)
	found := q.next()
	return found, q.done()
}

// remembered reports whether a submission's key is taken, and by what.
func (c *commit) remembered(change *engine.SubmitChange) (bool, error) {
	q := c.sql.selectIdempotency.with().word(change.IdempotencyKey)
	if !q.next() {
		return false, q.done()
	}
	fingerprint := q.bytesColumn()
	replay := &engine.Replay{State: state(q.column()).engine(), Cursor: uint64(q.column())}
	remember := q.column()
	replay.ID = idOf(q.column(), q.column())
	ended := state(q.column()).ended()
	if err := q.done(); err != nil {
		return false, err
	}
	switch {
	case ended && remember <= c.now:
		return false, nil
	case !bytes.Equal(fingerprint, change.Fingerprint[:]):
		change.Err = fmt.Errorf("%w: %s", engine.ErrKeyReused, replay.ID)
	default:
		change.Replay = replay
	}
	return true, nil
}
