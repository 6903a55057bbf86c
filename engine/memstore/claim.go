package memstore

import (
	"slices"

	"github.com/activemessage/activemessage/engine"
)

// maxPast bounds the attempts that are remembered.
const maxPast = 20

// claim takes one message after the other: one that expires may pass its key to
// another that is then the first.
func (c *commit) claim(change *engine.ClaimChange) {
	change.Messages = nil
	ready := c.ready[change.MessageType]
	for ready != nil && len(change.Messages) < change.Limit {
		m := ready.first()
		switch {
		case m == nil:
			return
		case m.expired(c.Now):
			c.expire(m)
		default:
			c.change(m, func() { c.start(m) })
			change.Messages = append(change.Messages, m.stored())
		}
	}
}

// start makes a queued message the owner's.
func (c *commit) start(m *message) {
	m.State, m.owner, m.StartedAt = engine.StateRunning, c.Owner, c.Now
	m.Attempt++
}

func (c *commit) expire(m *message) {
	c.endWaiting(m, engine.StateExpired, &engine.Error{Code: engine.CodeExpired, Message: "expired"})
	c.Ended = append(c.Ended, m.withoutData())
}

// due looks at the messages whose time has come, in the order in which it came.
func (c *commit) due() {
	for range c.Due {
		m := c.waiting.first()
		switch {
		case m == nil || m.due().After(c.Now):
			return
		case m.expired(c.Now):
			c.expire(m)
		default:
			c.change(m, func() { c.queue(m) })
		}
	}
}

// reclaim queues what was claimed by owners whose lease is over, the oldest accepted
// first, and frees the keys that they hold.
func (c *commit) reclaim() {
	c.Reclaimed = 0
	if c.Reclaim == 0 {
		return
	}
	for id, l := range c.holds {
		if c.over(l.owner) {
			delete(c.holds, id)
			c.pass(l)
		}
	}
	var lost []*message
	for owner, messages := range c.claimed {
		if !c.over(owner) {
			continue
		}
		for m := range messages {
			lost = append(lost, m)
		}
	}
	slices.SortFunc(lost, func(a, b *message) int { return compareIDs(a.ID, b.ID) })
	for _, m := range lost[:min(c.Reclaim, len(lost))] {
		c.change(m, func() { c.lose(m) })
		c.Reclaimed++
	}
}

// over reports whether an owner's lease is over. One that never set a lease has it
// for ever.
func (c *commit) over(owner engine.Owner) bool {
	lease, set := c.leases[owner]
	return set && !lease.After(c.Now)
}

// lose queues a message whose owner died while it ran.
func (c *commit) lose(m *message) {
	past := append(slices.Clone(m.Attempts), engine.Attempt{
		Number:     m.Attempt,
		State:      engine.StateQueued,
		StartedAt:  m.StartedAt,
		FinishedAt: c.Now,
		Error:      &engine.Error{Code: engine.CodeLost, Message: "the server died while it ran"},
	})
	m.Attempts = past[max(len(past)-maxPast, 0):]
	m.Uncounted++
	m.Lost++
	c.queue(m)
}
