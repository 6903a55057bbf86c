package storetest

import (
	"encoding/binary"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/activemessage/activemessage/engine"
)

// bench has a store under test, with a clock that moves when it is told to. What it is
// not told otherwise is of message type "work" and done by owner me.
type bench struct {
	*testing.T
	store    engine.Store
	reopen   func() // opens the store again
	now      time.Time
	accepted uint64 // messages made
	last     uint64 // the newest number published
}

const (
	me, other engine.Owner = 1, math.MaxUint64

	work = "work"
	// forever as a bound is none.
	forever = 1_000_000
)

func newBench(t *testing.T, store engine.Store) *bench {
	return &bench{T: t, store: store, now: time.Date(2026, 1, 2, 3, 4, 5, 678_901_000, time.UTC)}
}

// later lets time pass.
func (b *bench) later(d time.Duration) { b.now = b.now.Add(d) }

// in is a time from now on.
func (b *bench) in(d time.Duration) time.Time { return b.now.Add(d) }

// newID makes the ID of the nth message: they sort as they were made, and have the
// bits of a real one.
func newID(n uint64) engine.ID {
	const millis = 0x019b_7c00_0000
	var id engine.ID
	binary.BigEndian.PutUint64(id[:8], (millis+n/4096)<<16|0x7000|n%4096)
	binary.BigEndian.PutUint64(id[8:], n*0x9e37_79b9_7f4a_7c15>>2|2<<62)
	return id
}

// with changes a message that is to be submitted.
type with func(m *engine.StoredMessage)

func ofType(messageType string) with {
	return func(m *engine.StoredMessage) { m.MessageType = messageType }
}
func keyed(key string) with { return func(m *engine.StoredMessage) { m.Key = key } }
func answered(prefix string) with {
	return func(m *engine.StoredMessage) { m.ResponseNotification = prefix }
}
func urgent(priority int) with  { return func(m *engine.StoredMessage) { m.Priority = priority } }
func expires(at time.Time) with { return func(m *engine.StoredMessage) { m.ExpiresAt = at } }
func due(at time.Time) with {
	return func(m *engine.StoredMessage) { m.State, m.DueAt = engine.StateScheduled, at }
}
func carrying(data []byte) with {
	return func(m *engine.StoredMessage) {
		m.Size += int64(len(data) - len(m.MessageData))
		m.MessageData, m.MessageBytes = data, len(data)
	}
}

// message makes a message that is accepted now.
func (b *bench) message(options ...with) engine.StoredMessage {
	b.accepted++
	m := engine.StoredMessage{
		Message: engine.Message{ID: newID(b.accepted), MessageType: work, AcceptedAt: b.now},
		State:   engine.StateQueued,
		Size:    508,
	}
	carrying([]byte("data"))(&m)
	for _, option := range options {
		option(&m)
	}
	return m
}

// commit commits g, now and for me unless it says otherwise, and holds what is filled
// in for the whole of it against the store.
func (b *bench) commit(g *engine.Group) *engine.Group {
	b.Helper()
	if g.Now.IsZero() {
		g.Now = b.now
	}
	if g.Owner == 0 {
		g.Owner = me
	}
	if err := b.store.Commit(b.Context(), g); err != nil {
		b.Fatalf("Commit: %v", err)
	}
	snapshot := b.load()
	for messageType, counts := range g.Counts {
		b.equal("Group.Counts of "+messageType, counts, snapshot.Counts[messageType])
	}
	b.equal("Group.NextDue", g.NextDue, snapshot.NextDue)
	for i := range g.Published {
		b.last++
		b.equal("Published.Number", g.Published[i].Number, b.last)
	}
	b.equal("Load().Last", snapshot.Last, b.last)
	return g
}

// submission makes a change of a message.
func (b *bench) submission(options ...with) *engine.SubmitChange {
	return &engine.SubmitChange{Message: b.message(options...)}
}

// submit stores a message.
func (b *bench) submit(options ...with) engine.ID {
	b.Helper()
	change := b.submission(options...)
	b.commit(&engine.Group{Submits: []*engine.SubmitChange{change}})
	if change.Err != nil || change.Replay != nil || change.Claimed {
		b.Fatalf("submit: %v, %v, claimed: %t", change.Err, change.Replay, change.Claimed)
	}
	return change.Message.ID
}

// submitAll stores as many alike.
func (b *bench) submitAll(n int, options ...with) []engine.ID {
	b.Helper()
	var ids []engine.ID
	g := &engine.Group{}
	for range n {
		change := b.submission(options...)
		g.Submits = append(g.Submits, change)
		ids = append(ids, change.Message.ID)
	}
	b.commit(g)
	return ids
}

// claim takes up to so many messages of type work for me.
func (b *bench) claim(limit int) []engine.StoredMessage {
	b.Helper()
	return b.claimFor(me, limit)
}

func (b *bench) claimFor(owner engine.Owner, limit int) []engine.StoredMessage {
	b.Helper()
	change := &engine.ClaimChange{MessageType: work, Limit: limit}
	b.commit(&engine.Group{Owner: owner, Claims: []*engine.ClaimChange{change}})
	return change.Messages
}

// claimed checks that exactly these can be claimed, in this order.
func (b *bench) claimed(want ...engine.ID) []engine.StoredMessage {
	b.Helper()
	messages := b.claim(forever)
	b.equal("claimed", idsOf(messages), want)
	return messages
}

// started stores a message and claims it.
func (b *bench) started(options ...with) engine.StoredMessage {
	b.Helper()
	change := b.submission(options...)
	change.Claim = true
	b.commit(&engine.Group{Submits: []*engine.SubmitChange{change}})
	if !change.Claimed {
		b.Fatal("the message was not born claimed")
	}
	m := b.get(change.Message.ID)
	m.MessageData = change.Message.MessageData
	return m
}

// ending makes the change that ends the attempt of a claimed message now.
func (b *bench) ending(m engine.StoredMessage, state engine.State) *engine.SettleChange {
	change := &engine.SettleChange{ID: m.ID, Attempt: m.Attempt, State: state, StartedAt: b.now.Add(-time.Second), FinishedAt: b.now}
	if state.Terminal() && state != engine.StateSucceeded {
		change.Error = &engine.Error{Code: "broken", Message: "it broke"}
	}
	return change
}

// settle makes a change that must work.
func (b *bench) settle(change *engine.SettleChange) *engine.Group {
	b.Helper()
	g := b.commit(&engine.Group{Settles: []*engine.SettleChange{change}})
	if change.Err != nil {
		b.Fatalf("settle: %v", change.Err)
	}
	return g
}

// end settles a message with a state, and returns it as it is then.
func (b *bench) end(m engine.StoredMessage, state engine.State) engine.StoredMessage {
	b.Helper()
	b.settle(b.ending(m, state))
	return b.get(m.ID)
}

// cancel ends a message that waits.
func (b *bench) cancel(id engine.ID) {
	b.Helper()
	change := &engine.CancelChange{ID: id, Error: &engine.Error{Code: engine.CodeCancelled, Message: "cancelled"}}
	b.commit(&engine.Group{Cancels: []*engine.CancelChange{change}})
	if change.Err != nil {
		b.Fatalf("cancel: %v", change.Err)
	}
}

// retry queues an ended message again.
func (b *bench) retry(m engine.StoredMessage) {
	b.Helper()
	change := &engine.RetryChange{ID: m.ID, Attempt: m.Attempt}
	b.commit(&engine.Group{Retries: []*engine.RetryChange{change}})
	if change.Err != nil {
		b.Fatalf("retry: %v", change.Err)
	}
}

// wake does all that is due.
func (b *bench) wake() *engine.Group {
	b.Helper()
	return b.commit(&engine.Group{Due: forever})
}

func (b *bench) get(id engine.ID) engine.StoredMessage {
	b.Helper()
	m, err := b.store.Get(b.Context(), id)
	if err != nil {
		b.Fatalf("Get: %v", err)
	}
	return m
}

func (b *bench) load() engine.Snapshot {
	b.Helper()
	snapshot, err := b.store.Load(b.Context())
	if err != nil {
		b.Fatalf("Load: %v", err)
	}
	return snapshot
}

// list returns all messages that o selects, page by page.
func (b *bench) list(o engine.ListOptions) []engine.StoredMessage {
	b.Helper()
	var all []engine.StoredMessage
	for o.Before = math.MaxUint64; o.Before != 0; {
		page, next, err := b.store.List(b.Context(), o)
		if err != nil {
			b.Fatalf("List: %v", err)
		}
		if len(page) > o.Limit || next >= o.Before {
			b.Fatalf("List before %d returned %d messages of at most %d, and goes on before %d", o.Before, len(page), o.Limit, next)
		}
		all = append(all, page...)
		o.Before = next
	}
	return all
}

// log returns all notifications from a number on, page by page.
func (b *bench) log(from uint64, limit int, maxBytes int64) []engine.Notification {
	b.Helper()
	var all []engine.Notification
	for {
		page, _, err := b.store.Notifications(b.Context(), from, limit, maxBytes)
		if err != nil {
			b.Fatalf("Notifications: %v", err)
		}
		if len(page) == 0 {
			return all
		}
		if len(page) > limit || page[0].Number < from {
			b.Fatalf("Notifications from %d returned %d of at most %d, from %d on", from, len(page), limit, page[0].Number)
		}
		all = append(all, page...)
		from = page[len(page)-1].Number + 1
	}
}

// equal compares as Diff does, and ends the test if it does not hold.
func (b *bench) equal(what string, got, want any) {
	b.Helper()
	if diff := Diff(got, want); diff != "" {
		b.Fatalf("%s: got (-), want (+)\n%s", what, diff)
	}
}

// one returns the first of some, of which there must be one.
func one[E any](b *bench, all []E) E {
	b.Helper()
	if len(all) == 0 {
		b.Fatal("there is none")
	}
	return all[0]
}

func idsOf(messages []engine.StoredMessage) []engine.ID {
	var ids []engine.ID
	for i := range messages {
		ids = append(ids, messages[i].ID)
	}
	return ids
}

// reversed returns a copy in the opposite order.
func reversed[E any](all []E) []E {
	all = slices.Clone(all)
	slices.Reverse(all)
	return all
}
