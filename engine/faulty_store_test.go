package engine_test

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/activemessage/activemessage/engine"
	"github.com/activemessage/activemessage/engine/memstore"
)

// faulty is a store whose commits a test holds up, fails and counts.
type faulty struct {
	engine.Store
	commits atomic.Int64

	mu sync.Mutex
	// All below is guarded by mu.
	err  error         // of Commit, while it is set
	held chan struct{} // Commit waits for it, while it is set
}

func newFaulty() *faulty { return &faulty{Store: memstore.New()} }

func (f *faulty) Commit(ctx context.Context, g *engine.Group) error {
	f.commits.Add(1)
	f.mu.Lock()
	err, held := f.err, f.held
	f.mu.Unlock()
	if held != nil {
		<-held
	}
	if err != nil {
		return err
	}
	return f.Store.Commit(ctx, g)
}

func (f *faulty) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
}

// hold lets commits wait until the returned function is called.
func (f *faulty) hold() (release func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	held := make(chan struct{})
	f.held = held
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.held = nil
		close(held)
	}
}
