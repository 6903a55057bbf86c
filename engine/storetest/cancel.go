package storetest

import (
	"errors"
	"time"

	"github.com/activemessage/activemessage/engine"
)

func cancelling() []promise {
	all := []promise{
		{"a claimed message is not cancelled, but has CancelRequested", cancelClaimed},
		{"CancelRequested stays until a retry", cancelRequested},
		{"an ended message is not cancelled", cancelEnded},
		{"an unknown message is not found", cancelUnknown},
		{"of two in one group the first is made", cancelTwice},
		{"a cancelled message is published", cancelPublished},
		{"one that an attempt of the group gives back is cancelled", cancelHandedBack},
	}
	for _, c := range waiting() {
		all = append(all, promise{"a message that is " + c.name + " is cancelled", func(b *bench) { cancelWaiting(b, c.make(b, "k")) }})
	}
	return all
}

// waiter makes a message that nobody has claimed, with a key and prefix r.
type waiter struct {
	name string
	make func(b *bench, key string) engine.ID
}

func waiting() []waiter {
	put := func(b *bench, key string, state engine.State) engine.ID {
		change := b.ending(b.started(keyed(key), answered("r")), state)
		change.DueAt = b.in(time.Hour)
		b.settle(change)
		return change.ID
	}
	return []waiter{
		{"queued", func(b *bench, key string) engine.ID { return b.submit(keyed(key), answered("r")) }},
		{"scheduled", func(b *bench, key string) engine.ID { return b.submit(keyed(key), answered("r"), due(b.in(time.Hour))) }},
		{"put off", func(b *bench, key string) engine.ID { return put(b, key, engine.StateScheduled) }},
		{"retrying", func(b *bench, key string) engine.ID { return put(b, key, engine.StateRetrying) }},
	}
}

func cancelWaiting(b *bench, id engine.ID) {
	b.later(time.Second)
	want := b.get(id)
	change := &engine.CancelChange{ID: id, Error: &engine.Error{Code: "why", Message: "because"}}
	g := b.commit(&engine.Group{Cancels: []*engine.CancelChange{change}})
	want.State, want.FinishedAt, want.DueAt, want.Error = engine.StateCancelled, b.now, time.Time{}, change.Error
	b.equal("Err", change.Err, nil)
	b.equal("Message", change.Message, want)
	b.equal("Get", b.get(id), want)
	b.equal("Counts", g.Counts, map[string]engine.Counts{work: {}})
	b.equal("Load().Counts", b.load().Counts, nil)
	b.equal("NextDue", g.NextDue, time.Time{})
	b.equal("Published", g.Published, []engine.Notification{b.notification(want, 1)})
	b.equal("Ended", g.Ended, nil)
	b.later(2 * time.Hour)
	b.wake()
	b.claimed()
	b.claimed(b.submit(keyed("k")))
}

// refused cancels a message that cannot be cancelled.
func (b *bench) refused(id engine.ID, want error) {
	b.Helper()
	m := b.get(id)
	m.CancelRequested = m.CancelRequested || m.State == engine.StateRunning
	change := &engine.CancelChange{ID: id, Error: &engine.Error{Code: "why", Message: "because"}}
	g := b.commit(&engine.Group{Cancels: []*engine.CancelChange{change}})
	if !errors.Is(change.Err, want) {
		b.Errorf("Err is %v, want %v", change.Err, want)
	}
	b.equal("Message", change.Message, m)
	b.equal("Get", b.get(id), m)
	b.equal("Published", g.Published, nil)
}

func cancelClaimed(b *bench) {
	m := b.started(answered("r"))
	b.refused(m.ID, engine.ErrClaimed)
	b.end(m, engine.StateSucceeded)
}

func cancelRequested(b *bench) {
	m := b.started()
	b.refused(m.ID, engine.ErrClaimed)
	b.end(m, engine.StateQueued)
	again := one(b, b.claim(1))
	b.equal("claimed again", again.CancelRequested, true)
	failed := b.end(again, engine.StateFailed)
	b.equal("when it has ended", b.get(m.ID).CancelRequested, true)
	b.retry(failed)
	b.equal("retried", b.get(m.ID).CancelRequested, false)
}

func cancelEnded(b *bench) {
	for _, state := range engine.TerminalStates() {
		b.refused(b.end(b.started(answered("r")), state).ID, engine.ErrTerminal)
	}
}

func cancelUnknown(b *bench) {
	unknown := &engine.CancelChange{ID: newID(forever)}
	known := &engine.CancelChange{ID: b.submit()}
	b.commit(&engine.Group{Cancels: []*engine.CancelChange{unknown, known}})
	if !errors.Is(unknown.Err, engine.ErrNotFound) || known.Err != nil {
		b.Errorf("Err is %v, want ErrNotFound; of the other %v", unknown.Err, known.Err)
	}
	b.equal("Message", unknown.Message, engine.StoredMessage{})
}

func cancelTwice(b *bench) {
	id := b.submit(answered("r"))
	first, second := &engine.CancelChange{ID: id}, &engine.CancelChange{ID: id}
	g := b.commit(&engine.Group{Cancels: []*engine.CancelChange{first, second}})
	if first.Err != nil || !errors.Is(second.Err, engine.ErrTerminal) || len(g.Published) != 1 {
		b.Errorf("the first: %v, the second: %v, published %d", first.Err, second.Err, len(g.Published))
	}
}

func cancelPublished(b *bench) {
	b.cancel(b.submit())
	b.equal("published without a prefix", b.last, 0)
	b.cancel(b.submit(answered("r")))
	b.equal("published", b.last, 1)
}

func cancelHandedBack(b *bench) {
	m := b.started()
	change := &engine.CancelChange{ID: m.ID}
	b.commit(&engine.Group{Settles: []*engine.SettleChange{b.ending(m, engine.StateQueued)}, Cancels: []*engine.CancelChange{change}})
	b.equal("Err", change.Err, nil)
	b.equal("State", b.get(m.ID).State, engine.StateCancelled)
	b.claimed()
}
