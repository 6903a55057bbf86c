package memstore

import (
	"bytes"
	"cmp"
	stdheap "container/heap"

	"github.com/activemessage/activemessage/engine"
)

// heap orders messages, and lets go of any of them. What it is ordered by must not
// change while a message is in it.
type heap struct {
	before   func(a, b *message) bool
	messages []*message
	position map[*message]int
}

func newHeap(before func(a, b *message) bool) *heap {
	return &heap{before: before, position: make(map[*message]int)}
}

func (h *heap) add(m *message) { stdheap.Push(h, m) }

func (h *heap) remove(m *message) { stdheap.Remove(h, h.position[m]) }

// first returns nil if there is none.
func (h *heap) first() *message {
	if len(h.messages) == 0 {
		return nil
	}
	return h.messages[0]
}

// Len is for container/heap, as are all below.
func (h *heap) Len() int { return len(h.messages) }

// Less is the order.
func (h *heap) Less(i, j int) bool { return h.before(h.messages[i], h.messages[j]) }

// Swap keeps the positions.
func (h *heap) Swap(i, j int) {
	h.messages[i], h.messages[j] = h.messages[j], h.messages[i]
	h.position[h.messages[i]], h.position[h.messages[j]] = i, j
}

// Push adds a message at the end.
func (h *heap) Push(x any) {
	m := x.(*message)
	h.position[m] = len(h.messages)
	h.messages = append(h.messages, m)
}

// Pop takes the message at the end.
func (h *heap) Pop() any {
	last := len(h.messages) - 1
	m := h.messages[last]
	h.messages[last] = nil
	h.messages = h.messages[:last]
	delete(h.position, m)
	return m
}

// runsFirst is the order of claims.
func runsFirst(a, b *message) bool {
	if a.Priority != b.Priority {
		return a.Priority > b.Priority
	}
	return a.queuing < b.queuing
}

// sooner is the order in which the time of messages comes.
func sooner(a, b *message) bool {
	return cmp.Or(a.due().Compare(b.due()), compareIDs(a.ID, b.ID)) < 0
}

// endedFirst is the order in which messages are forgotten.
func endedFirst(a, b *message) bool {
	return cmp.Or(a.FinishedAt.Compare(b.FinishedAt), compareIDs(a.ID, b.ID)) < 0
}

// compareIDs is the order of acceptance.
func compareIDs(a, b engine.ID) int { return bytes.Compare(a[:], b[:]) }
