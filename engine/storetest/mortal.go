package storetest

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/activemessage/activemessage/engine"
)

// Mortal is a store that an engine loses when it dies, as with a process that is killed:
// nothing that it commits then is kept, and what it had claimed is lost. It is for tests of
// what comes after; the next engine opens the same Mortal.
type Mortal struct {
	engine.Store

	mu    sync.Mutex
	owner engine.Owner          // who committed last; guarded by mu
	dead  map[engine.Owner]bool // guarded by mu
}

// NewMortal makes one of a store.
func NewMortal(s engine.Store) *Mortal {
	return &Mortal{Store: s, dead: make(map[engine.Owner]bool)}
}

var errDied = errors.New("the owner has died")

// Commit is the store's, but a dead owner's is refused.
func (m *Mortal) Commit(ctx context.Context, g *engine.Group) error {
	m.mu.Lock()
	m.owner = g.Owner
	dead := m.dead[g.Owner]
	m.mu.Unlock()
	if dead {
		return errDied
	}
	return m.Store.Commit(ctx, g)
}

// Die ends the owner of now, and its claims.
func (m *Mortal) Die() {
	m.mu.Lock()
	owner := m.owner
	m.dead[owner] = true
	m.mu.Unlock()
	now := time.Now()
	_ = m.Store.Commit(context.Background(), &engine.Group{Owner: owner, Now: now, Lease: now})
}
