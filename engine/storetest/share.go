package storetest

import (
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/activemessage/activemessage/engine"
)

func sharing() []promise {
	return []promise{
		{"owners that take turns claim no message twice", ownersTakeTurns},
		{"an owner sees what another stored", ownersSeeEachOther},
		{"owners run all messages once, one of a key at a time, while others read", ownersAtOnce},
	}
}

func ownersTakeTurns(b *bench) {
	ids := b.submitAll(100)
	var got []engine.ID
	for turn := 0; len(got) < len(ids); turn++ {
		messages := b.claimFor(engine.Owner(1+turn%3), turn%5)
		if turn > 200 {
			b.Fatalf("%d of %d messages were claimed", len(got), len(ids))
		}
		got = append(got, idsOf(messages)...)
	}
	b.equal("claimed", got, ids)
}

func ownersSeeEachOther(b *bench) {
	id := b.submit(answered("r"))
	m := one(b, b.claimFor(other, 1))
	b.equal("claimed", m.ID, id)
	b.commit(&engine.Group{Owner: other, Settles: []*engine.SettleChange{b.ending(m, engine.StateSucceeded)}})
	b.equal("State", b.get(id).State, engine.StateSucceeded)
}

// crowd is owners that share a store, at once.
type crowd struct {
	*bench
	each    int // messages that each submits
	all     int // messages that all submit
	numbers atomic.Uint64
	done    atomic.Int64 // messages settled

	mu sync.Mutex
	// All below is guarded by mu.
	ran     map[engine.ID]int
	running map[string]int // by key
}

func ownersAtOnce(b *bench) {
	const owners, each = 3, 40
	c := &crowd{bench: b, each: each, all: owners * each, ran: make(map[engine.ID]int), running: make(map[string]int)}
	var owning, reading sync.WaitGroup
	stop := make(chan struct{})
	for range 2 {
		reading.Go(func() { c.read(stop) })
	}
	for owner := range owners {
		owning.Go(func() { c.own(engine.Owner(owner + 1)) })
	}
	owning.Wait()
	close(stop)
	reading.Wait()

	b.equal("messages run", len(c.ran), owners*each)
	for id, times := range c.ran {
		if times != 1 {
			b.Errorf("%s ran %d times", id, times)
		}
	}
	told := make(map[engine.ID]bool)
	for i, n := range b.log(1, 7, forever) {
		b.equal("number", n.Number, uint64(i+1))
		told[n.ID] = true
	}
	b.equal("messages published", len(told), owners*each)
	b.equal("Counts", b.load().Counts, nil)
}

// own submits, claims and settles until all messages of all owners have ended.
func (c *crowd) own(owner engine.Owner) {
	var claimed []engine.StoredMessage
	submitted := 0
	for round := 0; c.done.Load() < int64(c.all) && round < 10_000 && !c.Failed(); round++ {
		g := &engine.Group{Owner: owner, Now: c.in(time.Duration(round) * time.Second), Lease: c.in(1000 * time.Hour), Reclaim: 1, Due: 1}
		for _, m := range claimed {
			c.leave(m)
			g.Settles = append(g.Settles, &engine.SettleChange{ID: m.ID, Attempt: m.Attempt, State: engine.StateSucceeded, StartedAt: g.Now, FinishedAt: g.Now})
		}
		for ; submitted < min(c.each, round*3); submitted++ {
			g.Submits = append(g.Submits, &engine.SubmitChange{Message: c.crowded(), Claim: submitted%2 == 0})
		}
		g.Claims = []*engine.ClaimChange{{MessageType: work, Limit: round % 4}}
		if err := c.store.Commit(c.Context(), g); err != nil {
			c.Errorf("Commit: %v", err)
			return
		}
		for _, change := range g.Settles {
			if change.Err != nil {
				c.Errorf("settle: %v", change.Err)
			}
		}
		c.done.Add(int64(len(g.Settles)))
		claimed = g.Claims[0].Messages
		for _, change := range g.Submits {
			if change.Claimed {
				born := change.Message
				born.Attempt = 1
				claimed = append(claimed, born)
			}
		}
		for _, m := range claimed {
			c.enter(m)
		}
	}
}

// crowded makes a message with one of five keys.
func (c *crowd) crowded() engine.StoredMessage {
	n := c.numbers.Add(1)
	return engine.StoredMessage{
		Message: engine.Message{
			ID: newID(n), MessageType: work, Key: fmt.Sprint(n % 5), AcceptedAt: c.now, ResponseNotification: "r"},
		State: engine.StateQueued,
	}
}

func (c *crowd) enter(m engine.StoredMessage) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ran[m.ID]++
	if c.running[m.Key]++; c.running[m.Key] > 1 {
		c.Errorf("%d messages of key %s run", c.running[m.Key], m.Key)
	}
}

func (c *crowd) leave(m engine.StoredMessage) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.running[m.Key]--
}

// read reads what can be read, until it is told to stop.
func (c *crowd) read(stop <-chan struct{}) {
	for next := uint64(1); ; {
		select {
		case <-stop:
			return
		default:
		}
		snapshot, err := c.store.Load(c.Context())
		counts := snapshot.Counts[work]
		if err != nil || counts.Ready > counts.Queued || counts.Queued < 0 || counts.Running < 0 {
			c.Errorf("Load: %+v, %v", snapshot, err)
			return
		}
		page, _, err := c.store.Notifications(c.Context(), next, 5, 1000)
		if err != nil || len(page) == 0 && next <= snapshot.Last {
			c.Errorf("Notifications from %d of %d: %d, %v", next, snapshot.Last, len(page), err)
			return
		}
		for _, n := range page {
			if n.Number != next {
				c.Errorf("notification %d follows %d", n.Number, next-1)
			}
			if m, err := c.store.Get(c.Context(), n.ID); err != nil || m.State != engine.StateSucceeded {
				c.Errorf("%s was published and is %s, %v", n.ID, m.State, err)
			}
			next++
		}
		if _, _, err := c.store.List(c.Context(), engine.ListOptions{Before: math.MaxUint64, Limit: 5, State: engine.StateQueued}); err != nil {
			c.Errorf("List: %v", err)
		}
		if _, err := c.store.Retain(c.Context(), engine.Retention{Succeeded: engine.Keep{Age: 10000 * time.Hour}}, c.now, 5); err != nil {
			c.Errorf("Retain: %v", err)
		}
		if _, err := c.store.Usage(); err != nil {
			c.Errorf("Usage: %v", err)
		}
	}
}
