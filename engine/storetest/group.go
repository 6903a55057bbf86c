package storetest

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/activemessage/activemessage/engine"
)

func groups() []promise {
	return []promise{
		{"an empty group changes nothing", emptyGroup},
		{"changes are made in the order of the fields", fieldOrder},
		{"what was filled in before is replaced", filledInAnew},
		{"Counts has the types that were touched, and what is left of them", countsOfTypes},
		{"a group whose context has ended is committed wholly or not at all", contextEnded},
		{"an unknown message is not found", unknownMessage},
		{"durability is one of those there are", durability},
		{"usage is known or not, but not negative", usage},
	}
}

func emptyGroup(b *bench) {
	id := b.submit(keyed("k"))
	before, m := b.load(), b.get(id)
	g := b.commit(&engine.Group{Reclaim: 9, Due: 9})
	b.equal("Published", g.Published, nil)
	b.equal("Ended", g.Ended, nil)
	b.equal("Load", b.load(), before)
	b.equal("Get", b.get(id), m)
}

// fieldOrder makes all kinds of changes to messages of one key: who runs is the first
// that is queued.
func fieldOrder(b *bench) {
	b.commit(&engine.Group{Owner: 7, Lease: b.in(time.Minute)})
	b.submit(answered("reclaimed"))
	lost := one(b, b.claimFor(7, 1))
	failed := b.end(b.started(answered("retried")), engine.StateFailed)
	m := b.started(keyed("k"), answered("settled"))
	waits := b.submit(answered("due"), due(b.in(time.Minute)))
	late := b.submit(answered("late"), expires(b.in(time.Minute)))
	late2 := b.submit(answered("cancelled"), expires(b.in(time.Minute)))
	handedBack := b.started()
	b.later(time.Hour)
	submitted := b.submission(keyed("k"))
	g := b.commit(&engine.Group{
		Settles:  []*engine.SettleChange{b.ending(m, engine.StateSucceeded), b.ending(handedBack, engine.StateQueued)},
		Refusals: []*engine.Notification{b.refusal()},
		Cancels:  []*engine.CancelChange{{ID: late2}},
		Retries:  []*engine.RetryChange{{ID: failed.ID, Attempt: 1}},
		Submits:  []*engine.SubmitChange{submitted},
		Reclaim:  9,
		Due:      9,
		Claims:   []*engine.ClaimChange{{MessageType: work, Limit: 9}},
	})
	var published []string
	for _, n := range g.Published {
		published = append(published, n.ResponseNotification)
	}
	b.equal("Published", published, []string{"settled", "refused", "cancelled", "late"})
	b.equal("Ended", idsOf(g.Ended), []engine.ID{late})
	b.equal("claimed", idsOf(g.Claims[0].Messages), []engine.ID{handedBack.ID, failed.ID, submitted.Message.ID, lost.ID, waits})
}

func filledInAnew(b *bench) {
	b.submit(answered("r"), expires(b.in(time.Minute)))
	b.submit(due(b.in(2 * time.Minute)))
	b.later(time.Minute)
	g := b.commit(&engine.Group{Due: 9, Claims: []*engine.ClaimChange{{MessageType: work, Limit: 9}}})
	b.equal("Ended", len(g.Ended), 1)
	b.later(time.Hour)
	b.commit(&engine.Group{Due: 9})
	g.Now = b.now
	b.commit(g)
	b.equal("Ended", g.Ended, nil)
	b.equal("Published", g.Published, nil)
	b.equal("claimed", len(g.Claims[0].Messages), 1)
	b.equal("NextDue", g.NextDue, time.Time{})
}

func countsOfTypes(b *bench) {
	b.submitAll(2, ofType("idle"))
	a, c := b.submission(ofType("a"), carrying(make([]byte, 100))), b.submission(ofType("c"), due(b.in(time.Hour)))
	g := b.commit(&engine.Group{Submits: []*engine.SubmitChange{a, c}})
	delete(g.Counts, "idle") // it may be there
	b.equal("Counts", g.Counts, map[string]engine.Counts{
		"a": {Queued: 1, Ready: 1, Bytes: 608},
		"c": {Scheduled: 1, Bytes: 512},
	})
	g = b.commit(&engine.Group{
		Cancels: []*engine.CancelChange{{ID: c.Message.ID}},
		Claims:  []*engine.ClaimChange{{MessageType: "a", Limit: 1}},
	})
	delete(g.Counts, "idle")
	b.equal("Counts", g.Counts, map[string]engine.Counts{"a": {Running: 1}, "c": {}})
	b.equal("Load().Counts", b.load().Counts, map[string]engine.Counts{
		"a":    {Running: 1},
		"idle": {Queued: 2, Ready: 2, Bytes: 1024},
	})
}

func contextEnded(b *bench) {
	id := b.submit()
	ctx, end := context.WithCancel(b.Context())
	end()
	expect := func(method string, err error) {
		b.Helper()
		if err != nil && !errors.Is(err, context.Canceled) {
			b.Errorf("%s: %v, want that the context has ended", method, err)
		}
	}
	_, err := b.store.Load(ctx)
	expect("Load", err)
	_, err = b.store.Get(ctx, id)
	expect("Get", err)
	_, _, err = b.store.List(ctx, engine.ListOptions{Before: math.MaxUint64, Limit: 1})
	expect("List", err)
	_, _, err = b.store.Notifications(ctx, 1, 1, 1)
	expect("Notifications", err)
	_, err = b.store.Retain(ctx, engine.Retention{}, b.now, 1)
	expect("Retain", err)

	first, second := b.submission(), b.submission()
	err = b.store.Commit(ctx, &engine.Group{Owner: me, Now: b.now, Submits: []*engine.SubmitChange{first, second}})
	expect("Commit", err)
	counts := b.load().Counts[work]
	if counts.Queued != 1 && counts.Queued != 3 || err == nil && counts.Queued == 1 {
		b.Errorf("Commit returned %v, and %d of 2 messages are there", err, counts.Queued-1)
	}
}

func unknownMessage(b *bench) {
	b.submit()
	for _, id := range []engine.ID{newID(forever), {}} {
		if _, err := b.store.Get(b.Context(), id); !errors.Is(err, engine.ErrNotFound) {
			b.Errorf("Get: %v, want ErrNotFound", err)
		}
	}
}

func durability(b *bench) {
	switch d := b.store.Durability(); d {
	case engine.DurabilityMemory, engine.DurabilityOS, engine.DurabilityFsync, engine.DurabilityReplicated:
	default:
		b.Errorf("Durability is %q", d)
	}
}

func usage(b *bench) {
	b.submit()
	u, err := b.store.Usage()
	if err != nil || u.Used < 0 || u.Free < 0 {
		b.Errorf("Usage is %+v, %v", u, err)
	}
}
