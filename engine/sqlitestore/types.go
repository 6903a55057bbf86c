package sqlitestore

import "github.com/activemessage/activemessage/engine"

// messageType is a message type of which the store has, or had, messages.
type messageType struct {
	id     int64
	name   string
	counts engine.Counts
}

// types has all message types. Guarded by Store.turn.
type types struct {
	byName map[string]*messageType
	byID   map[int64]*messageType
}

func (t *types) add(m *messageType) {
	t.byName[m.name] = m
	t.byID[m.id] = m
}

func (t *types) remove(m *messageType) {
	delete(t.byName, m.name)
	delete(t.byID, m.id)
}

const selectTypes = `SELECT id, name, scheduled, queued, retrying, running, ready, bytes FROM type`

func readTypes(c *connection) (types, error) {
	all := types{byName: make(map[string]*messageType), byID: make(map[int64]*messageType)}
	q, err := c.prepare(selectTypes)
	if err != nil {
		return all, err
	}
	defer func() { _ = q.s.Close() }()
	for q.with(); q.next(); {
		m := &messageType{id: q.column(), name: q.textColumn()}
		m.counts = engine.Counts{
			Scheduled: int(q.column()), Queued: int(q.column()), Retrying: int(q.column()), Running: int(q.column()),
			Ready: int(q.column()), Bytes: q.column(),
		}
		all.add(m)
	}
	return all, q.done()
}

// count adds n messages in a state, of a size together, to the counts.
func (m *messageType) count(s state, n int, size int64) {
	c := &m.counts
	switch s {
	case scheduled:
		c.Scheduled += n
	case retrying:
		c.Retrying += n
	case blocked:
		c.Queued += n
	case ready:
		c.Queued += n
		c.Ready += n
	case running:
		c.Running += n
	}
	if s.waits() {
		c.Bytes += int64(n) * size
	}
}
