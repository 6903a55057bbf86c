package remote

import "github.com/activemessage/activemessage/engine"

// state is what a lease is to its instance.
type state uint8

const (
	offered  state = iota // not acked yet
	running               // acked
	settling              // settled, and on its way to the store
	ghost                 // the engine has ended it, and the worker may run it still
)

// held is a lease of an instance. Guarded by Workers.mu.
type held struct {
	lease      engine.Lease
	owner      *instance
	prev, next *held // of the owner's
	state      state
	asked      error  // why it is to end; nil if it is not
	listed     uint64 // the owner's latest list with it
}

// hold gives a lease to an instance. The caller holds mu.
func (w *Workers) hold(l engine.Lease, i *instance, s state) {
	if before := w.leases[l]; before != nil {
		w.drop(before) // an offer that was taken back, and its worker not told yet
	}
	h := w.spare
	if h == nil {
		h = &held{}
	} else {
		w.spare = h.next
	}
	*h = held{lease: l, owner: i, state: offered, next: i.leases}
	if h.next != nil {
		h.next.prev = h
	}
	i.leases = h
	w.leases[l] = h
	w.become(h, s)
}

// become changes a lease's state. The caller holds mu.
func (w *Workers) become(h *held, s state) {
	w.count(h, -1)
	h.state = s
	w.count(h, 1)
}

func (w *Workers) count(h *held, n int) {
	switch h.state {
	case running:
		w.running += n
	case ghost:
		h.owner.ghosts += n
	case settling:
		h.owner.settling += n
	}
}

// drop takes a lease from its instance. The caller holds mu.
func (w *Workers) drop(h *held) {
	w.count(h, -1)
	switch {
	case h.prev != nil:
		h.prev.next = h.next
	default:
		h.owner.leases = h.next
	}
	if h.next != nil {
		h.next.prev = h.prev
	}
	delete(w.leases, h.lease)
	*h = held{next: w.spare}
	w.spare = h
}

// own returns the instance's lease; nil if it is not. The caller holds mu.
func (w *Workers) own(i *instance, l engine.Lease) *held {
	if h := w.leases[l]; h != nil && h.owner == i {
		return h
	}
	return nil
}
