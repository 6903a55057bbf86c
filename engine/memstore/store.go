// Package memstore keeps messages in memory: an engine.Store that forgets
// everything with the process. It is for tests, and the model against which the
// stores that persist are compared, so it is simple first: every message is in one
// map, and a change takes it out of the indexes, changes it, and puts it back.
package memstore

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"sync"
	"time"

	"github.com/activemessage/activemessage/engine"
)

// Store is an engine.Store in memory, for one engine or several. It has no
// goroutines and waits for nothing, so it runs in testing/synctest bubbles.
type Store struct {
	logID uint32 // names the log; never 0

	mu sync.Mutex
	// All below is guarded by mu.
	messages     map[engine.ID]*message
	accepted     []*message // by Sequence, the oldest first
	lastSequence uint64
	queuings     uint64 // how many there were: what orders queued messages
	ready        map[string]*heap
	waiting      *heap // for a time, the next first
	ended        map[engine.State]*history
	counts       map[string]*engine.Counts
	lanes        map[laneName]*lane
	holds        map[engine.ID]*lane // of ended messages whose key stays taken
	claimed      map[engine.Owner]map[*message]bool
	leases       map[engine.Owner]time.Time
	once         map[string]*submission // by idempotency key
	paused       map[string]bool        // message types
	log          []engine.Notification
	logBytes     int64
	last         uint64 // the newest number
}

var _ engine.Store = (*Store)(nil)

// New returns an empty store.
func New() *Store {
	var id [4]byte
	_, _ = rand.Read(id[:]) // never fails, see crypto/rand
	s := &Store{
		logID:    binary.BigEndian.Uint32(id[:]) | 1,
		messages: make(map[engine.ID]*message),
		ready:    make(map[string]*heap),
		waiting:  newHeap(sooner),
		ended:    make(map[engine.State]*history),
		counts:   make(map[string]*engine.Counts),
		lanes:    make(map[laneName]*lane),
		holds:    make(map[engine.ID]*lane),
		claimed:  make(map[engine.Owner]map[*message]bool),
		leases:   make(map[engine.Owner]time.Time),
		once:     make(map[string]*submission),
		paused:   make(map[string]bool),
	}
	for _, state := range engine.TerminalStates() {
		s.ended[state] = &history{heap: newHeap(endedFirst)}
	}
	return s
}

// Commit makes the changes of g. It fails only if ctx has ended, and has then
// changed nothing.
func (s *Store) Commit(ctx context.Context, g *engine.Group) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !g.Lease.IsZero() {
		s.leases[g.Owner] = g.Lease
	}
	g.Published, g.Ended = nil, nil
	c := &commit{Store: s, Group: g, touched: make(map[string]bool)}
	c.run()
	g.Counts = make(map[string]engine.Counts)
	for messageType := range c.touched {
		g.Counts[messageType] = *s.counts[messageType]
	}
	g.NextDue = s.nextDue()
	return nil
}

// commit is a group on its way into the store, whose mutex its maker holds.
type commit struct {
	*Store
	*engine.Group
	touched map[string]bool // message types of which something changed
}

func (c *commit) run() {
	for _, change := range c.Pauses {
		if delete(c.paused, change.MessageType); change.Paused {
			c.paused[change.MessageType] = true
		}
	}
	for _, change := range c.Saves {
		change.Err = c.save(change)
	}
	for _, change := range c.Settles {
		change.Err = c.settle(change)
	}
	for _, id := range c.Releases {
		c.release(id)
	}
	for _, refusal := range c.Refusals {
		c.publish(*refusal)
	}
	for _, change := range c.Cancels {
		change.Err = c.cancel(change)
	}
	for _, change := range c.Retries {
		change.Err = c.retry(change)
	}
	for _, change := range c.Submits {
		change.Err = c.submit(change)
	}
	c.reclaim()
	c.due()
	for _, change := range c.Resumes {
		change.Err = c.resume(change)
	}
	for _, change := range c.Claims {
		c.claim(change)
	}
}

// Usage returns that nothing is known.
func (s *Store) Usage() (engine.Usage, error) { return engine.Usage{}, nil }

// Durability returns engine.DurabilityMemory.
func (s *Store) Durability() engine.Durability { return engine.DurabilityMemory }
