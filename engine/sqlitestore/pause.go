package sqlitestore

import "github.com/activemessage/activemessage/engine"

// pause remembers whether a message type is paused.
func (c *commit) pause(change engine.PauseChange) error {
	t, err := c.typeNamed(change.MessageType)
	if err != nil {
		return err
	}
	paused := int64(0)
	if change.Paused {
		paused = 1
	}
	return c.sql.pauseType.with().int(paused).int(t.id).exec()
}

// paused lists the message types that are. The caller has the turn.
func (s *Store) paused() (names []string, err error) {
	q, err := s.writer.prepare(`SELECT name FROM type WHERE paused ORDER BY name`)
	if err != nil {
		return nil, err
	}
	defer func() { _ = q.s.Close() }()
	for q.with(); q.next(); {
		names = append(names, q.textColumn())
	}
	return names, q.done()
}
