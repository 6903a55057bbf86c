package sqlitestore

import (
	"github.com/activemessage/activemessage/engine"
)

const (
	// largeResult is from where on a result is not stored with its message and again with
	// its notification.
	largeResult = 16 << 10
	// logOverhead is what a notification costs besides its bytes, roughly.
	logOverhead = 64
)

// publishEnd tells how r ended.
func (c *commit) publishEnd(r *record) error {
	n := &engine.Notification{
		Time: r.FinishedAt, ID: r.ID, MessageType: r.MessageType, ResponseNotification: r.ResponseNotification,
		State: r.State, Error: r.Error, Result: r.Result, Origin: r.Origin,
	}
	if len(n.Result.Data) > largeResult {
		r.resultNumber = int64(c.head.last + 1)
	}
	return c.append(n, r.origin)
}

// publish is for what no message stands behind.
func (c *commit) publish(n *engine.Notification) error {
	origin, err := encodeOrigin(n.Origin)
	if err != nil {
		return err
	}
	refusal := *n
	refusal.Error = withoutCause(n.Error)
	return c.append(&refusal, origin)
}

// append gives n the next number and writes it to the log.
func (c *commit) append(n *engine.Notification, origin []byte) error {
	c.head.last++
	n.Number = c.head.last
	size := logOverhead + int64(len(n.ResponseNotification)+len(origin)+len(n.Result.Data))
	if n.Error != nil {
		size += int64(len(n.Error.Code) + len(n.Error.Message))
	}
	c.head.logBytes += size
	result, large := n.Result.Data, len(n.Result.Data) > largeResult
	if large {
		if err := c.sql.insertResult.with().int(int64(n.Number)).blob(result).exec(); err != nil {
			return err
		}
		result = nil
	}
	q := c.sql.insertLog.with().int(int64(n.Number)).int(seqOf(n.ID)).int(restOf(n.ID)).int(int64(stateOf(n.State))).
		int(nanos(n.Time)).int(size).word(n.MessageType).word(n.ResponseNotification).failure(n.Error).
		raw(origin).text(n.Result.ContentType)
	if err := q.flagOrNull(large).blob(result).exec(); err != nil {
		return err
	}
	c.g.Published = append(c.g.Published, *n)
	return nil
}
