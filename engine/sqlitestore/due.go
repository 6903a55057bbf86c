package sqlitestore

import (
	"github.com/activemessage/activemessage/engine"
)

// due looks at the messages whose time has come, in the order in which it came.
func (c *commit) due() error {
	if c.g.Due <= 0 || c.head.nextDue == 0 && !c.wakes {
		return nil
	}
	found, err := c.records(c.sql.selectDue.with().int(c.now).int(int64(c.g.Due)))
	if err != nil {
		return err
	}
	for i := range found {
		if err := c.wakeUp(&found[i]); err != nil {
			return err
		}
	}
	return nil
}

func (c *commit) wakeUp(r *record) error {
	if r.state == blocked { // another that was woken may have passed it the key
		again, _, err := c.find(r.ID)
		if err != nil {
			return err
		}
		*r = again
	}
	if r.expiredAt(c.now) {
		return c.expire(r)
	}
	if err := c.leave(r); err != nil {
		return err
	}
	return c.queue(r, nil)
}

// expire ends a message whose time to start is over.
func (c *commit) expire(r *record) error {
	err := c.endWaiting(r, &outcome{
		state: engine.StateExpired, at: c.g.Now, failure: &engine.Error{Code: engine.CodeExpired, Message: "expired"},
	})
	c.g.Ended = append(c.g.Ended, r.StoredMessage)
	return err
}
