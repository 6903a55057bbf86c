package memstore

import (
	"slices"
	"time"

	"github.com/activemessage/activemessage/engine"
)

// message is one message, with its data.
type message struct {
	engine.StoredMessage
	owner          engine.Owner // who runs it, in StateRunning
	queuing        uint64       // the number of its latest queuing
	behind         bool         // it is queued, and another has its key
	idempotencyKey string
}

// due is when something is to be done about a message that waits, zero if never.
func (m *message) due() time.Time {
	if m.State == engine.StateRunning || m.State.Terminal() {
		return time.Time{}
	}
	if m.DueAt.IsZero() || !m.ExpiresAt.IsZero() && m.ExpiresAt.Before(m.DueAt) {
		return m.ExpiresAt
	}
	return m.DueAt
}

// expired reports whether the message may no longer be started.
func (m *message) expired(now time.Time) bool {
	return !m.ExpiresAt.IsZero() && !m.ExpiresAt.After(now)
}

// stored is what callers get. The attempts are theirs, as is all that a database
// returns; data, metadata and the like nobody changes.
func (m *message) stored() engine.StoredMessage {
	stored := m.StoredMessage
	stored.Attempts = slices.Clone(m.Attempts)
	return stored
}

// withoutData is what callers get who do not run it.
func (m *message) withoutData() engine.StoredMessage {
	stored := m.stored()
	stored.MessageData, stored.Checkpoint = nil, nil
	return stored
}

// bytes is what an ended message counts for in Retention.
func (m *message) bytes() int64 { return m.Size + int64(m.ResultBytes) }

// change takes m out of what finds it by its state, lets it be changed, and puts it
// back. That m has its key or waits for it is not touched.
func (c *commit) change(m *message, edit func()) {
	c.count(m, -1)
	c.unindex(m)
	edit()
	c.index(m)
	c.count(m, 1)
}

// count adds m to its type's counts, or takes it out with -1.
func (c *commit) count(m *message, n int) {
	counts := c.counts[m.MessageType]
	if counts == nil {
		counts = &engine.Counts{}
		c.counts[m.MessageType] = counts
	}
	c.touched[m.MessageType] = true
	switch m.State {
	case engine.StateScheduled:
		counts.Scheduled += n
	case engine.StateQueued:
		counts.Queued += n
		if !m.behind {
			counts.Ready += n
		}
	case engine.StateRetrying:
		counts.Retrying += n
	case engine.StateRunning:
		counts.Running += n
		return
	default:
		return
	}
	counts.Bytes += int64(n) * m.Size
}

// index makes m known to what finds it by its state.
func (s *Store) index(m *message) {
	if !m.due().IsZero() {
		s.waiting.add(m)
	}
	switch {
	case m.State == engine.StateQueued && !m.behind:
		if s.ready[m.MessageType] == nil {
			s.ready[m.MessageType] = newHeap(runsFirst)
		}
		s.ready[m.MessageType].add(m)
	case m.State == engine.StateRunning:
		if s.claimed[m.owner] == nil {
			s.claimed[m.owner] = make(map[*message]bool)
		}
		s.claimed[m.owner][m] = true
	case m.State.Terminal():
		s.ended[m.State].add(m)
		s.ended[m.State].bytes += m.bytes()
	}
}

// unindex is the opposite of index.
func (s *Store) unindex(m *message) {
	if !m.due().IsZero() {
		s.waiting.remove(m)
	}
	switch {
	case m.State == engine.StateQueued && !m.behind:
		s.ready[m.MessageType].remove(m)
	case m.State == engine.StateRunning:
		delete(s.claimed[m.owner], m)
	case m.State.Terminal():
		s.ended[m.State].remove(m)
		s.ended[m.State].bytes -= m.bytes()
	}
}

// nextDue is the time that comes next of all that messages wait for.
func (s *Store) nextDue() time.Time {
	if m := s.waiting.first(); m != nil {
		return m.due()
	}
	return time.Time{}
}
