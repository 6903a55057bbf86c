package memstore

import (
	"context"

	"github.com/activemessage/activemessage/engine"
)

// publish gives n the next number and keeps it.
func (c *commit) publish(n engine.Notification) {
	c.last++
	n.Number, n.Error = c.last, withoutCause(n.Error)
	c.log = append(c.log, n)
	c.logBytes += notificationBytes(&n)
	c.Published = append(c.Published, n)
}

// publishEnd tells how m ended, if it did and someone wants to know.
func (c *commit) publishEnd(m *message) {
	if !m.State.Terminal() || m.ResponseNotification == "" {
		return
	}
	c.publish(engine.Notification{
		Time:                 m.FinishedAt,
		ID:                   m.ID,
		MessageType:          m.MessageType,
		ResponseNotification: m.ResponseNotification,
		State:                m.State,
		Error:                m.Error,
		Result:               m.Result,
		Origin:               m.Origin,
	})
}

// notificationOverhead is what a notification takes besides its texts, roughly.
const notificationOverhead = 128

// notificationBytes is what one counts for in Retention, roughly.
func notificationBytes(n *engine.Notification) int64 {
	return notificationOverhead + int64(len(n.ResponseNotification)+len(n.Result.Data))
}

// firstNumber is the oldest number the log has, or one past its last. The caller
// holds mu.
func (s *Store) firstNumber() uint64 { return s.last + 1 - uint64(len(s.log)) }

// Notifications returns what the log holds from a number on.
func (s *Store) Notifications(ctx context.Context, from uint64, limit int, maxBytes int64) (page []engine.Notification, first uint64, err error) {
	if err := ctx.Err(); err != nil {
		return nil, 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	first = s.firstNumber()
	for number := max(from, first); number <= s.last && len(page) < limit; number++ {
		n := s.log[number-first]
		maxBytes -= int64(len(n.Result.Data))
		if len(page) > 0 && maxBytes < 0 {
			break
		}
		page = append(page, n)
	}
	return page, first, nil
}
