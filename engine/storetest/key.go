package storetest

import (
	"time"

	"github.com/activemessage/activemessage/engine"
)

func keys() []promise {
	all := []promise{
		{"messages of one key run one at a time, in the order in which they were queued", oneAtATime},
		{"one behind its key is counted as queued, and not as ready", notReady},
		{"many of one key run in their order, also if some have left", manyOfOneKey},
		{"types do not share keys", typesDoNotShare},
		{"keys do not wait for each other", keysDoNotWait},
		{"the next can be claimed in the group that ends the one before", nextInTheGroup},
		{"one that ends behind its key leaves the key alone", endsBehind},
		{"one that expires with the key passes it on", expiresWithKey},
		{"a scheduled message takes its place when it is due", scheduledTakesItsPlace},
		{"a scheduled message that ends before it is due has no key to pass on", scheduledEnds},
		{"one that is retried by hand takes its place anew", retriedTakesItsPlace},
		{"a key is free when none of its messages is left", keyIsFree},
	}
	for _, state := range []engine.State{engine.StateRetrying, engine.StateScheduled, engine.StateQueued} {
		all = append(all, promise{"a key is kept by one that was settled as " + string(state), func(b *bench) { keyIsKept(b, state) }})
	}
	for _, state := range engine.TerminalStates() {
		all = append(all, promise{"a key is passed on by one that was settled as " + string(state), func(b *bench) { keyIsPassedOn(b, state) }})
	}
	return all
}

func oneAtATime(b *bench) {
	var ids []engine.ID
	for _, priority := range []int{-3, 0, 9, 0} {
		ids = append(ids, b.submit(keyed("k"), urgent(priority)))
		b.later(time.Millisecond)
	}
	for _, id := range ids {
		m := b.claimed(id)[0]
		b.claimed()
		b.end(m, engine.StateSucceeded)
	}
	b.claimed()
}

func manyOfOneKey(b *bench) {
	ids := b.submitAll(500, keyed("k"))
	cancelled := &engine.Group{}
	var want, got []engine.ID
	for i, id := range ids {
		if i%3 == 1 {
			cancelled.Cancels = append(cancelled.Cancels, &engine.CancelChange{ID: id})
		} else {
			want = append(want, id)
		}
	}
	b.commit(cancelled)
	g := &engine.Group{}
	for range want {
		g = b.commit(&engine.Group{Settles: g.Settles, Claims: []*engine.ClaimChange{{MessageType: work, Limit: 2}}})
		b.equal("claimed at once", len(g.Claims[0].Messages), 1)
		got = append(got, g.Claims[0].Messages[0].ID)
		g.Settles = []*engine.SettleChange{b.ending(g.Claims[0].Messages[0], engine.StateSucceeded)}
	}
	b.equal("claimed", got, want)
}

func notReady(b *bench) {
	ids := b.submitAll(3, keyed("k"))
	size := b.get(ids[0]).Size
	b.equal("three queued", b.load().Counts[work], engine.Counts{Queued: 3, Ready: 1, Bytes: 3 * size})
	m := one(b, b.claim(3))
	b.equal("one runs", b.load().Counts[work], engine.Counts{Queued: 2, Running: 1, Bytes: 2 * size})
	b.settle(b.ending(m, engine.StateQueued))
	b.equal("it is handed back", b.load().Counts[work], engine.Counts{Queued: 3, Ready: 1, Bytes: 3 * size})
	b.end(one(b, b.claim(3)), engine.StateFailed)
	b.equal("it has ended", b.load().Counts[work], engine.Counts{Queued: 2, Ready: 1, Bytes: 2 * size})
}

func typesDoNotShare(b *bench) {
	b.submit(keyed("k"), ofType("play"))
	g := b.commit(&engine.Group{Claims: []*engine.ClaimChange{{MessageType: "play", Limit: 1}}})
	b.equal("claimed of play", len(g.Claims[0].Messages), 1)
	id := b.submit(keyed("k"))
	b.claimed(id)
}

func keysDoNotWait(b *bench) {
	held := b.started(keyed("a"))
	b.submitAll(200, keyed("a"), urgent(9))
	first, second, free := b.submit(keyed("b")), b.submit(keyed("c")), b.submit()
	b.equal("a limit of one", idsOf(b.claim(1)), []engine.ID{first})
	b.claimed(second, free)
	b.end(held, engine.StateSucceeded)
	b.claimed(newID(2))
}

func nextInTheGroup(b *bench) {
	first := b.started(keyed("k"))
	second, third := b.submit(keyed("k")), b.submit(keyed("k"))
	g := b.commit(&engine.Group{
		Settles: []*engine.SettleChange{b.ending(first, engine.StateSucceeded)},
		Claims:  []*engine.ClaimChange{{MessageType: work, Limit: 9}},
	})
	b.equal("claimed", idsOf(g.Claims[0].Messages), []engine.ID{second})
	change := b.submission(keyed("k"))
	change.Claim = true
	g = b.commit(&engine.Group{
		Settles: []*engine.SettleChange{b.ending(one(b, g.Claims[0].Messages), engine.StateSucceeded)},
		Submits: []*engine.SubmitChange{change},
		Claims:  []*engine.ClaimChange{{MessageType: work, Limit: 9}},
	})
	b.equal("born claimed before its turn", change.Claimed, false)
	b.equal("claimed", idsOf(g.Claims[0].Messages), []engine.ID{third})
}

func keyIsKept(b *bench, state engine.State) {
	first := b.started(keyed("k"))
	second := b.submit(keyed("k"), urgent(9))
	change := b.ending(first, state)
	if state != engine.StateQueued {
		change.DueAt = b.in(time.Minute)
	}
	b.later(time.Second)
	g := b.settle(change)
	b.equal("Ready", g.Counts[work].Ready, g.Counts[work].Queued-1)
	if state != engine.StateQueued {
		b.claimed()
		b.later(time.Hour)
		b.wake()
	}
	again := b.claimed(first.ID)[0]
	b.end(again, engine.StateFailed)
	b.claimed(second)
}

func keyIsPassedOn(b *bench, state engine.State) {
	first := b.started(keyed("k"))
	second := b.submit(keyed("k"))
	b.submit(keyed("k"))
	b.end(first, state)
	b.claimed(second)
}

func endsBehind(b *bench) {
	holder := b.started(keyed("k"))
	cancelled, expiring := b.submit(keyed("k")), b.submit(keyed("k"), expires(b.in(time.Minute)))
	next := b.submit(keyed("k"))
	b.cancel(cancelled)
	b.later(time.Hour)
	b.equal("Ended", idsOf(b.wake().Ended), []engine.ID{expiring})
	b.claimed()
	b.end(holder, engine.StateSucceeded)
	b.claimed(next)
}

func expiresWithKey(b *bench) {
	queued := b.submit(keyed("k"), expires(b.in(time.Minute)))
	started := b.submit(keyed("k"), expires(b.in(time.Hour)))
	last := b.submit(keyed("k"))
	b.later(time.Minute)
	b.equal("Ended", idsOf(b.wake().Ended), []engine.ID{queued})
	change := b.ending(b.claimed(started)[0], engine.StateRetrying)
	change.DueAt = b.in(2 * time.Hour)
	b.settle(change)
	b.claimed()
	b.later(time.Hour)
	b.equal("Ended", idsOf(b.wake().Ended), []engine.ID{started})
	b.cancel(last)
	next := b.submit(keyed("k"))
	b.claimed(next)
}

func scheduledTakesItsPlace(b *bench) {
	scheduled := b.submit(keyed("k"), due(b.in(time.Minute)))
	first := b.submit(keyed("k"))
	m := b.claimed(first)[0]
	second := b.submit(keyed("k"))
	b.later(time.Hour)
	b.wake()
	third := b.submit(keyed("k"))
	for _, id := range []engine.ID{second, scheduled, third} {
		b.end(m, engine.StateSucceeded)
		m = b.claimed(id)[0]
	}
}

func scheduledEnds(b *bench) {
	scheduled := b.submit(keyed("k"), due(b.in(time.Minute)))
	m := b.started(keyed("k"))
	second := b.submit(keyed("k"))
	b.cancel(scheduled)
	b.claimed()
	b.end(m, engine.StateSucceeded)
	b.claimed(second)
}

func retriedTakesItsPlace(b *bench) {
	first := b.started(keyed("k"))
	second := b.submit(keyed("k"))
	b.retry(b.end(first, engine.StateFailed))
	m := b.claimed(second)[0]
	b.end(m, engine.StateFailed)
	b.claimed(first.ID)
}

func keyIsFree(b *bench) {
	for range 3 {
		m := b.started(keyed("k"))
		b.cancel(b.submit(keyed("k")))
		b.end(m, engine.StateSucceeded)
		b.cancel(b.submit(keyed("k")))
	}
}
