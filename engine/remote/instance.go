package remote

import (
	"context"
	"sync"
	"time"

	"github.com/activemessage/activemessage/engine"
)

// instance is one worker process. It outlives its sessions by its leases.
type instance struct {
	workers *Workers
	name    string
	// opening is held while a hello of the instance is served.
	opening sync.Mutex

	// Guarded by Workers.mu.
	session          *Session // nil without one
	gone             time.Time
	leases           *held // the first of a list
	ghosts, settling int   // of those
	lists            uint64
	pending          []settlement
	confirming       chan struct{} // closed when confirm ends; nil if it does not run
}

// settlement is one that is on its way to the store.
type settlement struct {
	lease  engine.Lease
	stored *engine.Stored
}

// forget drops the instance and what it holds. The caller holds mu.
func (i *instance) forget() {
	if i.confirming != nil {
		return
	}
	for i.leases != nil {
		i.workers.drop(i.leases)
	}
	if i.workers.instances[i.name] == i {
		delete(i.workers.instances, i.name)
	}
}

// await has a settlement confirmed when it is stored, after those before it. The caller
// holds mu.
func (i *instance) await(l engine.Lease, stored *engine.Stored) {
	i.pending = append(i.pending, settlement{l, stored})
	if i.confirming == nil {
		i.confirming = make(chan struct{})
		i.workers.goroutines.Go(i.confirm)
	}
}

// confirm is a goroutine that lives as long as there are settlements to wait for.
func (i *instance) confirm() {
	w := i.workers
	var batch []settlement
	for {
		w.mu.Lock()
		batch, i.pending = i.pending, batch[:0]
		if len(batch) == 0 {
			close(i.confirming)
			i.confirming = nil
			w.mu.Unlock()
			return
		}
		w.mu.Unlock()
		for rest := batch; len(rest) > 0; {
			err := rest[0].stored.Wait(context.Background()) // the engine stores it, or fails
			n := 1
			for n < len(rest) && rest[n].stored.Ready() && err == nil {
				n++
			}
			i.confirmed(rest[:n], err)
			rest = rest[n:]
		}
		clear(batch)
	}
}

// confirmed tells the session, if there is one, what is stored. What could not be stored is
// not told: the worker settles it again, with the next server.
func (i *instance) confirmed(batch []settlement, err error) {
	w := i.workers
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, one := range batch {
		if h := w.own(i, one.lease); h != nil && h.state == settling {
			w.drop(h)
		}
		if err == nil && i.session != nil {
			i.session.out.Settled = append(i.session.out.Settled, Settled{Lease: one.lease})
		}
	}
	if i.session != nil {
		i.session.resize()
		i.session.rouse()
	}
}
