package engine

import (
	"math/bits"
)

// typeQueue is what waits for one type: a list per priority, and behind them
// the messages whose key is taken. Guarded by Engine.mu.
type typeQueue struct {
	ready    [2*maxPriority + 1]recordList
	occupied uint32 // bit i is set if ready[i] is not empty
	lanes    map[string]*lane
}

// lane is the order of one key: one of its messages is ready or running, the
// others wait here. It exists while any does.
type lane struct {
	key     string
	waiting recordList
}

func (q *typeQueue) empty() bool { return q.occupied == 0 }

// push lets r wait: ready, or behind the message that has its key. A message that
// comes back for a retry still has it.
func (q *typeQueue) push(r *record) {
	if r.message.Key == "" || r.lane != nil {
		q.pushReady(r)
		return
	}
	if l, taken := q.lanes[r.message.Key]; taken {
		r.lane = l
		l.waiting.push(r)
		return
	}
	if q.lanes == nil {
		q.lanes = make(map[string]*lane)
	}
	r.lane = &lane{key: r.message.Key}
	q.lanes[r.lane.key] = r.lane
	q.pushReady(r)
}

func (q *typeQueue) pushReady(r *record) {
	i := r.message.Priority + maxPriority
	q.ready[i].push(r)
	q.occupied |= 1 << i
}

// top returns what pop would.
func (q *typeQueue) top() *record { return q.ready[bits.Len32(q.occupied)-1].first }

// pop takes the oldest message of the highest priority. The queue must not be
// empty.
func (q *typeQueue) pop() *record {
	i := bits.Len32(q.occupied) - 1
	r := q.ready[i].pop()
	if q.ready[i].empty() {
		q.occupied &^= 1 << i
	}
	return r
}

// remove takes out a waiting message, wherever it waits, and passes its key on
// if it had it.
func (q *typeQueue) remove(r *record) {
	if r.lane != nil && r.list == &r.lane.waiting {
		r.list.remove(r)
		r.lane = nil
		return
	}
	i := r.message.Priority + maxPriority
	q.ready[i].remove(r)
	if q.ready[i].empty() {
		q.occupied &^= 1 << i
	}
	q.passKey(r)
}

// passKey makes the next message with r's key ready; r had the key until now.
func (q *typeQueue) passKey(r *record) {
	l := r.lane
	if l == nil {
		return
	}
	r.lane = nil
	if next := l.waiting.pop(); next != nil {
		q.pushReady(next)
		return
	}
	delete(q.lanes, l.key)
}

// typeRing is the round robin: the types that have a message ready and a slot
// free, in the order in which they get their turn. What it costs does not depend
// on how many types are registered. Guarded by Engine.mu.
type typeRing struct{ first, last *messageType }

// updateTurn lets t join or leave the ring of those that have a turn, after anything that
// may change eligible. The caller holds mu.
func (e *Engine) updateTurn(t *messageType) {
	var ring *typeRing
	switch {
	case !t.eligible():
	case t.outside:
		ring = &e.consumable
	default:
		ring = &e.ready
	}
	if ring == t.ring {
		return
	}
	if t.ring != nil {
		t.ring.remove(t)
	}
	if ring != nil {
		ring.push(t)
	}
}

func (g *typeRing) push(t *messageType) {
	t.ring, t.prev, t.next = g, g.last, nil
	if g.last == nil {
		g.first = t
	} else {
		g.last.next = t
	}
	g.last = t
}

func (g *typeRing) remove(t *messageType) {
	if t.prev == nil {
		g.first = t.next
	} else {
		t.prev.next = t.next
	}
	if t.next == nil {
		g.last = t.prev
	} else {
		t.next.prev = t.prev
	}
	t.ring, t.prev, t.next = nil, nil, nil
}
