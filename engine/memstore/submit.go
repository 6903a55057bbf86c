package memstore

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/activemessage/activemessage/engine"
)

// submission is what an idempotency key remembers. It is there until another takes
// the key or the message is forgotten.
type submission struct {
	engine.Replay
	fingerprint [32]byte
	remember    time.Time
}

func (c *commit) submit(change *engine.SubmitChange) error {
	change.Claimed, change.Replay = false, nil
	if !change.ReplayOnly && c.messages[change.Message.ID] != nil {
		return fmt.Errorf("submit %s: there is such a message", change.Message.ID)
	}
	if first := c.remembered(change.IdempotencyKey); first != nil {
		if first.fingerprint != change.Fingerprint {
			return fmt.Errorf("%w: %s", engine.ErrKeyReused, first.ID)
		}
		replay := first.Replay
		change.Replay = &replay
		return nil
	}
	if change.ReplayOnly {
		return nil
	}
	m := &message{StoredMessage: change.Message, idempotencyKey: change.IdempotencyKey}
	m.MessageBytes, m.Checkpoint = len(m.MessageData), nil
	if m.State == engine.StateQueued {
		c.queue(m)
		if change.Claim && !m.behind {
			c.start(m)
			change.Claimed = true
		}
	}
	c.add(m)
	if m.idempotencyKey != "" {
		c.once[m.idempotencyKey] = &submission{
			Replay:      engine.Replay{ID: m.ID, State: change.Message.State, Cursor: change.Cursor},
			fingerprint: change.Fingerprint,
			remember:    change.Remember,
		}
	}
	return nil
}

// remembered returns the submission that has an idempotency key, nil if it is free.
func (c *commit) remembered(key string) *submission {
	first := c.once[key]
	if first == nil || c.messages[first.ID].State.Terminal() && !first.remember.After(c.Now) {
		return nil
	}
	return first
}

// add stores a new message.
func (c *commit) add(m *message) {
	c.messages[m.ID] = m
	c.lastSequence = max(c.lastSequence, m.ID.Sequence())
	i, _ := c.find(m.ID.Sequence())
	c.accepted = slices.Insert(c.accepted, i, m)
	c.index(m)
	c.count(m, 1)
}

// find returns where in accepted a sequence is, or would be. The end is where most
// are.
func (s *Store) find(sequence uint64) (int, bool) {
	return slices.BinarySearchFunc(s.accepted, sequence, func(m *message, sequence uint64) int {
		return cmp.Compare(m.ID.Sequence(), sequence)
	})
}
