package storetest

import (
	"time"

	"github.com/activemessage/activemessage/engine"
)

func claiming() []promise {
	return []promise{
		{"the highest priority goes first, of one the first that was queued", claimOrder},
		{"no more than the limit, and none twice", claimLimit},
		{"only of the type", claimType},
		{"of several types in one group", claimTypes},
		{"with the data, and one attempt more", claimContent},
		{"nothing of a type that has nothing", claimNothing},
		{"one that was handed back is queued anew, behind the others", claimHandedBack},
		{"one past its expiry expires instead, and another takes its place", claimPassesExpired},
		{"one that expires passes its key on to the next, at once", claimExpiredKey},
		{"one behind a taken key is passed over, whatever its priority", claimPassesBehind},
		{"many, in their order", claimMany},
	}
}

func claimOrder(b *bench) {
	var ids []engine.ID
	for _, priority := range []int{0, -9, 3, 0, 9, 3, -9} {
		ids = append(ids, b.submit(urgent(priority)))
		b.later(time.Millisecond)
	}
	b.claimed(ids[4], ids[2], ids[5], ids[0], ids[3], ids[1], ids[6])
}

func claimLimit(b *bench) {
	ids := b.submitAll(5)
	b.equal("none", idsOf(b.claim(0)), nil)
	b.equal("the first two", idsOf(b.claim(2)), ids[:2])
	b.equal("the next two", idsOf(b.claim(2)), ids[2:4])
	b.claimed(ids[4])
	b.claimed()
	b.equal("Counts", b.load().Counts, map[string]engine.Counts{work: {Running: 5}})
}

func claimType(b *bench) {
	b.submit(ofType("play"), urgent(9))
	id := b.submit()
	b.submit(ofType("Work"), urgent(9))
	b.claimed(id)
}

func claimTypes(b *bench) {
	first, second := b.submit(ofType("play")), b.submit()
	g := b.commit(&engine.Group{Claims: []*engine.ClaimChange{{MessageType: work, Limit: 9}, {MessageType: "play", Limit: 9}}})
	b.equal("of work", idsOf(g.Claims[0].Messages), []engine.ID{second})
	b.equal("of play", idsOf(g.Claims[1].Messages), []engine.ID{first})
}

func claimContent(b *bench) {
	b.submit()
	for attempt := 1; attempt <= 3; attempt++ {
		b.later(time.Second)
		m := one(b, b.claim(1))
		b.equal("MessageData", m.MessageData, []byte("data"))
		b.equal("Attempt", m.Attempt, attempt)
		b.equal("State", m.State, engine.StateRunning)
		b.equal("StartedAt", m.StartedAt, b.now)
		b.settle(b.ending(m, engine.StateQueued))
	}
}

func claimNothing(b *bench) {
	b.claimed()
	g := b.commit(&engine.Group{Claims: []*engine.ClaimChange{{MessageType: "never heard of", Limit: 1}}})
	b.equal("claimed", g.Claims[0].Messages, nil)
}

func claimHandedBack(b *bench) {
	ids := b.submitAll(2)
	first := one(b, b.claim(1))
	b.later(time.Second)
	b.settle(b.ending(first, engine.StateQueued))
	b.equal("QueuedAt", b.get(first.ID).QueuedAt, b.now)
	b.later(time.Second)
	third := b.submit()
	b.claimed(ids[1], ids[0], third)
}

func claimPassesExpired(b *bench) {
	late := b.submit(urgent(9), expires(b.in(time.Minute)), answered("late"))
	stays := b.submit(expires(b.in(time.Hour)))
	another := b.submit()
	b.later(time.Minute)
	g := b.commit(&engine.Group{Claims: []*engine.ClaimChange{{MessageType: work, Limit: 2}}})
	b.equal("claimed", idsOf(g.Claims[0].Messages), []engine.ID{stays, another})
	m := b.get(late)
	b.equal("State", m.State, engine.StateExpired)
	b.equal("Error", m.Error, &engine.Error{Code: engine.CodeExpired, Message: "expired"})
	b.equal("FinishedAt", m.FinishedAt, b.now)
	b.equal("Ended", g.Ended, []engine.StoredMessage{m})
	b.equal("Published", g.Published, []engine.Notification{b.notification(m, 1)})
}

func claimExpiredKey(b *bench) {
	late := b.submit(keyed("k"), expires(b.in(time.Minute)))
	later := b.submit(keyed("k"), expires(b.in(time.Minute)))
	next := b.submit(keyed("k"))
	b.later(time.Hour)
	b.claimed(next)
	b.equal("the first", b.get(late).State, engine.StateExpired)
	b.equal("the second", b.get(later).State, engine.StateExpired)
}

func claimPassesBehind(b *bench) {
	b.submit(keyed("k"))
	b.submit(keyed("k"), urgent(9))
	other := b.submit()
	got := idsOf(b.claim(forever))
	b.equal("claimed", got, []engine.ID{newID(1), other})
}

func claimMany(b *bench) {
	ids := b.submitAll(1000)
	b.equal("the first", idsOf(b.claim(600)), ids[:600])
	b.claimed(ids[600:]...)
}
