package memstore

import (
	"cmp"
	"slices"
	"time"

	"github.com/activemessage/activemessage/engine"
)

// lane is the order of one key: a message has it, the others wait. It exists while
// the key is taken.
type lane struct {
	name   laneName
	holder engine.ID
	// held: the holder has ended, and what owner ran of it goes on. It may be queued
	// again: then it waits for its own key.
	held    bool
	owner   engine.Owner
	waiting []*message // in the order in which they were queued
}

type laneName struct{ messageType, key string }

func (m *message) lane() laneName { return laneName{m.MessageType, m.Key} }

// has reports whether m has the key.
func (l *lane) has(m *message) bool { return l != nil && l.holder == m.ID && !l.held }

// queue queues m, behind its key if another has it.
func (c *commit) queue(m *message) {
	c.queuings++
	m.State, m.QueuedAt, m.queuing = engine.StateQueued, c.Now, c.queuings
	m.owner, m.DueAt = 0, time.Time{}
	if m.Key == "" {
		return
	}
	switch l := c.lanes[m.lane()]; {
	case l == nil:
		c.lanes[m.lane()] = &lane{name: m.lane(), holder: m.ID}
	case !l.has(m):
		m.behind = true
		l.waiting = append(l.waiting, m)
	}
}

// leaveLane makes a message that ends wait for its key no more, or pass it on; with
// hold the key stays taken.
func (c *commit) leaveLane(m *message, hold bool) {
	l := c.lanes[m.lane()]
	switch {
	case m.behind:
		i, _ := slices.BinarySearchFunc(l.waiting, m, func(a, b *message) int { return cmp.Compare(a.queuing, b.queuing) })
		l.waiting = slices.Delete(l.waiting, i, i+1)
		m.behind = false
	case !l.has(m):
	case hold:
		l.held, l.owner = true, m.owner
		c.holds[m.ID] = l
	default:
		c.pass(l)
	}
}

// release frees the key of an ended message that held it for the group's owner.
func (c *commit) release(id engine.ID) {
	if l := c.holds[id]; l != nil && l.owner == c.Owner {
		delete(c.holds, id)
		c.pass(l)
	}
}

// pass gives a key to who waits for it.
func (c *commit) pass(l *lane) {
	if len(l.waiting) == 0 {
		delete(c.lanes, l.name)
		return
	}
	next := l.waiting[0]
	l.waiting = l.waiting[1:]
	l.holder, l.held, l.owner = next.ID, false, 0
	c.change(next, func() { next.behind = false })
}
