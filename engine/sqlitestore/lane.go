package sqlitestore

import (
	"github.com/activemessage/activemessage/engine"
)

// A lane is the messages of one type with one key. The first that was queued has the
// key, from then until it ends: its row in table lane says so. The others that are queued
// are blocked. A message that ended and holds its key has no claim to it when it is
// queued again: it waits behind itself.

// takeKey reports whether r is first in its lane now.
func (c *commit) takeKey(r *record) (bool, error) {
	holder, held, err := c.holder(r)
	switch {
	case err != nil:
		return false, err
	case holder != 0:
		return holder == r.seq && !held, nil
	}
	return true, c.sql.insertLane.with().int(r.typeID).word(r.Key).int(r.seq).exec()
}

// holder returns who has r's key, 0 if nobody, and whether it has ended and holds it.
func (c *commit) holder(r *record) (seq int64, held bool, err error) {
	q := c.sql.selectLane.with().int(r.typeID).word(r.Key)
	if q.next() {
		seq, held = q.column(), q.column() != 0
	}
	return seq, held, q.done()
}

// leaveLane passes r's key on, if r has it.
func (c *commit) leaveLane(r *record) error {
	switch holder, held, err := c.holder(r); {
	case err != nil:
		return err
	case holder != r.seq || held:
		return nil
	}
	return c.passKey(r.typeID, r.Key)
}

// passKey makes the next message of a lane ready; without one the key is free.
func (c *commit) passKey(typeID int64, key string) error {
	next := record{typeID: typeID, state: blocked} // without what it wakes for: that stays
	next.Key = key
	q := c.sql.selectBlocked.with().int(typeID).word(key)
	found := q.next()
	if found {
		next.seq, next.Size, next.Priority, next.place = q.column(), q.column(), int(q.column()), q.column()
	}
	if err := q.done(); err != nil {
		return err
	}
	if !found {
		return c.sql.deleteLane.with().int(typeID).word(key).exec()
	}
	if err := c.leave(&next); err != nil {
		return err
	}
	next.state = ready
	if err := c.enter(&next); err != nil {
		return err
	}
	if err := c.sql.unblockMessage.with().int(next.seq).exec(); err != nil {
		return err
	}
	return c.sql.passLane.with().int(typeID).word(key).int(next.seq).exec()
}

// hold is a key whose holder has ended.
type hold struct {
	typeID int64
	key    string
	owner  engine.Owner
}

func holds(q *statement) ([]hold, error) {
	var all []hold
	for q.next() {
		all = append(all, hold{q.column(), q.textColumn(), engine.Owner(q.column())})
	}
	return all, q.done()
}

// release frees the key that a message of the group's owner holds.
func (c *commit) release(id engine.ID) error {
	found, err := holds(c.sql.selectHeld.with().int(seqOf(id)))
	if err != nil {
		return err
	}
	for _, h := range found {
		if h.owner == c.g.Owner {
			if err := c.passKey(h.typeID, h.key); err != nil {
				return err
			}
		}
	}
	return nil
}
