package storetest

import (
	"errors"
	"fmt"
	"time"

	"github.com/activemessage/activemessage/engine"
)

func reopening() []promise {
	all := []promise{
		{"an empty store has the same log", reopenEmpty},
		{"numbers and sequences go on, also if all is forgotten", reopenNumbers},
		{"messages are claimed in the order in which they were queued", reopenOrder},
		{"idempotency keys are remembered", reopenIdempotency},
		{"keys stay taken", reopenKeys},
		{"what waits for a time waits on", reopenDue},
		{"what was asked of messages and types is remembered", reopenAsked},
		{"an owner's claims stay its own until its lease is over", reopenLease},
		{"checkpoints are kept, and can be replaced", reopenSaved},
		{"an attempt that was lost before can be resumed", reopenResumes},
		{"an attempt that was resumed before is its owner's", reopenResumed},
	}
	for _, c := range contents() {
		all = append(all, promise{"a message is kept with " + c.name, func(b *bench) { reopenKept(b, c.with) }})
	}
	for seed := range uint64(2) {
		all = append(all, promise{fmt.Sprintf("all is as it was, and goes on, %d", seed), func(b *bench) {
			m := newModel(b, 100+seed)
			m.leased = true
			for range 3 {
				m.run(40)
				m.reopen()
				m.compare()
			}
			m.run(10)
		}})
	}
	return all
}

// alone is what holds for stores that only one process can open.
func alone() []promise {
	return []promise{
		{"what was claimed without a lease before can be reclaimed at once", aloneReclaims},
		{"a key that was held without a lease before is free at once", aloneFreesKeys},
		{"what is claimed without a lease after is the owner's", aloneClaims},
		{"what was claimed before can be resumed in the group that reclaims it", aloneResumes},
	}
}

func reopenEmpty(b *bench) {
	before := b.load()
	b.reopen()
	b.equal("Load", b.load(), before)
}

func reopenNumbers(b *bench) {
	b.publish(3, 10)
	b.submit()
	before := b.load()
	b.reopen()
	b.equal("Load", b.load(), before)
	b.publish(1, 10)
	b.equal("the fourth", one(b, b.log(4, 1, forever)).Number, 4)

	b.cancel(newID(4))
	b.later(time.Hour)
	keep := engine.Keep{Age: time.Minute}
	b.retain(engine.Retention{Succeeded: keep, Cancelled: keep, Log: keep})
	b.reopen()
	b.equal("Load", b.load(), engine.Snapshot{Log: before.Log, First: 5, Last: 4, LastSequence: newID(5).Sequence()})
	b.publish(1, 10)
	b.equal("the fifth", one(b, b.log(1, 1, forever)).Number, 5)
}

func reopenOrder(b *bench) {
	b.commit(&engine.Group{Lease: b.in(time.Hour)})
	b.submitAll(2)
	handedBack := one(b, b.claim(1))
	b.settle(b.ending(handedBack, engine.StateQueued))
	b.reopen()
	last, first := b.submit(), b.submit(urgent(1))
	b.claimed(first, newID(2), handedBack.ID, last)
}

func reopenIdempotency(b *bench) {
	first := b.onceOnly(b.in(time.Hour))
	b.commit(&engine.Group{Submits: []*engine.SubmitChange{first}})
	b.cancel(first.Message.ID)
	b.reopen()
	again := b.onceOnly(time.Time{})
	again.Cursor = 7
	reused := b.onceOnly(time.Time{})
	reused.Fingerprint[5] = 1
	b.commit(&engine.Group{Submits: []*engine.SubmitChange{again, reused}})
	b.equal("Replay", again.Replay, &engine.Replay{ID: first.Message.ID, State: engine.StateQueued, Cursor: 42})
	if !errors.Is(reused.Err, engine.ErrKeyReused) {
		b.Errorf("Err is %v, want ErrKeyReused", reused.Err)
	}
	b.later(time.Hour)
	b.equal("accepted", b.accepts(b.now), true)
}

func reopenKeys(b *bench) {
	b.commit(&engine.Group{Lease: b.in(time.Hour)})
	m := b.started(keyed("k"))
	second, third := b.submit(keyed("k")), b.submit(keyed("k"))
	b.reopen()
	b.claimed()
	change := b.ending(m, engine.StateFailed)
	change.HoldKey = true
	b.settle(change)
	b.reopen()
	b.claimed()
	b.release(m.ID)
	b.reopen()
	b.end(b.claimed(second)[0], engine.StateSucceeded)
	b.claimed(third)
}

func reopenDue(b *bench) {
	scheduled := b.submit(due(b.in(time.Hour)))
	expiring := b.submit(expires(b.in(time.Hour)))
	b.reopen()
	b.equal("NextDue", b.load().NextDue, b.in(time.Hour))
	b.later(time.Hour)
	b.equal("Ended", idsOf(b.wake().Ended), []engine.ID{expiring})
	b.claimed(scheduled)
}

func reopenLease(b *bench) {
	m := b.leased()
	b.commit(&engine.Group{Lease: b.in(time.Minute)})
	b.reopen()
	b.equal("Reclaimed", b.reclaim(9).Reclaimed, 0)
	b.later(time.Hour)
	b.equal("Reclaimed", b.reclaim(9).Reclaimed, 1)
	b.equal("claimed", idsOf(b.claimFor(other, 1)), []engine.ID{m.ID})
}

func reopenSaved(b *bench) {
	b.commit(&engine.Group{Lease: b.in(time.Hour)})
	replaced, kept, ends := b.started(), b.started(), b.started()
	for _, m := range []engine.StoredMessage{replaced, kept, ends} {
		b.save(saves(m, "before"))
	}
	b.reopen()
	b.save(saves(replaced, "after"))
	b.equal("the replaced", b.again(replaced).Checkpoint, []byte("after"))
	b.equal("the kept", b.again(kept).Checkpoint, []byte("before"))
	b.retry(b.end(ends, engine.StateFailed))
	b.reopen()
	b.equal("that of one that ended", b.claimed(ends.ID)[0].Checkpoint, nil)
}

func reopenResumes(b *bench) {
	m := b.leased(carrying(make([]byte, 10_000)))
	b.commit(&engine.Group{Lease: b.in(time.Minute)})
	b.save(saves(m, "saved"))
	b.later(time.Hour)
	b.reclaim(9)
	b.reopen()
	got := b.resume(m)
	m.Checkpoint, m.QueuedAt = []byte("saved"), b.now
	b.equal("Message", got, m)
}

func reopenResumed(b *bench) {
	m := b.reclaimedOne()
	change := resumes(m)
	b.commit(&engine.Group{Owner: other, Lease: b.in(time.Minute), Resumes: []*engine.ResumeChange{change}})
	want := b.get(m.ID)
	b.reopen()
	b.equal("Get", b.get(m.ID), want)
	b.equal("Reclaimed", b.reclaim(9).Reclaimed, 0)
	b.equal("settle", b.settleFor(other, b.ending(m, engine.StateSucceeded)), nil)
}

func reopenKept(b *bench, option with) {
	want := b.message(option, answered("r"), expires(b.in(time.Hour)))
	b.commit(&engine.Group{Lease: b.in(time.Hour), Submits: []*engine.SubmitChange{{Message: want}}})
	b.reopen()
	m := one(b, b.claim(1))
	b.equal("data", m.MessageData, want.MessageData)
	change := b.ending(m, engine.StateSucceeded)
	change.Result, change.Attempts = engine.Result{Data: want.MessageData, ContentType: "application/x"}, b.past(2)
	g := b.settle(change)
	ended := b.get(m.ID)
	b.reopen()
	b.equal("Get", b.get(m.ID), ended)
	b.equal("Notifications", b.log(1, 9, forever), g.Published)
}

func aloneReclaims(b *bench) {
	ids := []engine.ID{b.started().ID, b.started(keyed("k")).ID}
	b.equal("Reclaimed before", b.reclaim(9).Reclaimed, 0)
	b.reopen()
	b.equal("Reclaimed", b.reclaim(9).Reclaimed, 2)
	b.equal("claimed", idsOf(b.claimFor(other, 9)), ids)
}

func aloneFreesKeys(b *bench) {
	b.held()
	next := b.submit(keyed("k"))
	b.reopen()
	b.reclaim(9)
	b.equal("claimed", idsOf(b.claimFor(other, 9)), []engine.ID{next})
}

func aloneClaims(b *bench) {
	b.submit()
	b.reopen()
	b.equal("claimed", len(b.claimFor(7, 1)), 1)
	b.equal("Reclaimed", b.reclaim(9).Reclaimed, 0)
}

func aloneResumes(b *bench) {
	m, another := b.started(carrying(make([]byte, 10_000))), b.started()
	b.save(saves(m, "saved"))
	b.reopen()
	change := resumes(m)
	g := b.commit(&engine.Group{
		Owner: other, Reclaim: 9,
		Resumes: []*engine.ResumeChange{change},
		Claims:  []*engine.ClaimChange{{MessageType: work, Limit: 9}},
	})
	b.equal("Err", change.Err, nil)
	b.equal("Reclaimed", g.Reclaimed, 2)
	m.Checkpoint, m.QueuedAt = []byte("saved"), b.now
	b.equal("Message", change.Message, m)
	b.equal("claimed", idsOf(g.Claims[0].Messages), []engine.ID{another.ID})
	b.equal("settle", b.settleFor(other, b.ending(m, engine.StateSucceeded)), nil)
}

func reopenAsked(b *bench) {
	m := b.started()
	b.refused(m.ID, engine.ErrClaimed)
	b.commit(&engine.Group{Pauses: []engine.PauseChange{{MessageType: work, Paused: true}}})
	b.reopen()
	b.equal("CancelRequested", b.get(m.ID).CancelRequested, true)
	b.equal("Paused", b.load().Paused, []string{work})
}
