package storetest

import (
	"time"

	"github.com/activemessage/activemessage/engine"
)

func dues() []promise {
	return []promise{
		{"what is due is queued, in the order in which it became due", dueInOrder},
		{"at most as many as allowed, the first ones first", dueLimit},
		{"nothing is done without Due", dueNothing},
		{"NextDue is the next time of all that wait for one", nextDue},
		{"a message that waits expires, with its data kept", dueExpires},
		{"a message with both times is queued and expires, whichever comes first", dueBoth},
		{"what expired and what is due are counted together", dueTogether},
		{"a running message does not expire", dueRunning},
		{"one that is submitted in the group is looked at", dueAtOnce},
	}
}

func dueInOrder(b *bench) {
	third := b.submit(due(b.in(3 * time.Minute)))
	first := b.submit(due(b.in(1 * time.Minute)))
	second := b.submit(due(b.in(2*time.Minute + time.Microsecond)))
	b.submit(due(b.in(2 * time.Hour)))
	b.later(time.Hour)
	before := b.submit()
	g := b.wake()
	b.equal("Ended", g.Ended, nil)
	m := b.get(first)
	b.equal("State", m.State, engine.StateQueued)
	b.equal("QueuedAt", m.QueuedAt, b.now)
	b.equal("DueAt", m.DueAt, time.Time{})
	b.equal("Counts", g.Counts, map[string]engine.Counts{work: {Scheduled: 1, Queued: 4, Ready: 4, Bytes: 5 * m.Size}})
	b.claimed(before, first, second, third)
}

func dueLimit(b *bench) {
	var ids []engine.ID
	for i := range 5 {
		ids = append(ids, b.submit(due(b.in(time.Duration(5-i)*time.Second))))
	}
	start := b.now
	b.later(time.Minute)
	g := b.commit(&engine.Group{Due: 2})
	b.equal("NextDue", g.NextDue, start.Add(3*time.Second))
	b.claimed(ids[4], ids[3])
	g = b.commit(&engine.Group{Due: 2})
	b.equal("NextDue", g.NextDue, start.Add(5*time.Second))
	b.claimed(ids[2], ids[1])
	b.equal("NextDue", b.wake().NextDue, time.Time{})
	b.claimed(ids[0])
}

func dueNothing(b *bench) {
	id := b.submit(due(b.in(time.Minute)))
	b.later(time.Hour)
	g := b.commit(&engine.Group{})
	b.equal("NextDue", g.NextDue, b.in(-59*time.Minute))
	b.equal("State", b.get(id).State, engine.StateScheduled)
}

func nextDue(b *bench) {
	b.equal("of an empty store", b.wake().NextDue, time.Time{})
	b.submit()
	b.equal("of a message without a time", b.wake().NextDue, time.Time{})
	b.submit(due(b.in(4 * time.Hour)))
	b.equal("due", b.wake().NextDue, b.in(4*time.Hour))
	expiring := b.submit(ofType("play"), expires(b.in(3*time.Hour)))
	b.equal("expires", b.wake().NextDue, b.in(3*time.Hour))
	b.submit(due(b.in(2*time.Hour)), expires(b.in(5*time.Hour)))
	b.equal("due before it expires", b.wake().NextDue, b.in(2*time.Hour))
	b.later(2 * time.Hour)
	b.equal("when that is queued", b.wake().NextDue, b.in(time.Hour))
	b.cancel(expiring)
	b.equal("without the cancelled", b.wake().NextDue, b.in(2*time.Hour))
	b.later(2 * time.Hour)
	b.equal("when only an expiry is left", b.wake().NextDue, b.in(time.Hour))
	b.claim(forever)
	b.equal("when that runs", b.wake().NextDue, time.Time{})
}

func dueExpires(b *bench) {
	id := b.submit(expires(b.in(time.Hour)), answered("r"), func(m *engine.StoredMessage) {
		m.Origin = &engine.Origin{Tracestate: "a=b"}
	})
	want := b.get(id)
	b.later(time.Hour - time.Microsecond)
	b.equal("Ended a microsecond before", b.wake().Ended, nil)
	b.later(time.Microsecond)
	g := b.wake()
	want.State, want.FinishedAt = engine.StateExpired, b.now
	want.Error = &engine.Error{Code: engine.CodeExpired, Message: "expired"}
	b.equal("Get", b.get(id), want)
	b.equal("Ended", g.Ended, []engine.StoredMessage{want})
	b.equal("Published", g.Published, []engine.Notification{b.notification(want, 1)})
	b.equal("Counts", g.Counts, map[string]engine.Counts{work: {}})
	b.retry(want)
	b.equal("data", one(b, b.claim(1)).MessageData, []byte("data"))
}

func dueBoth(b *bench) {
	expiresFirst := b.submit(due(b.in(3*time.Hour)), expires(b.in(time.Hour)))
	dueFirst := b.submit(due(b.in(time.Hour)), expires(b.in(2*time.Hour)))
	late := b.submit(due(b.in(time.Minute)), expires(b.in(time.Minute)))
	b.later(time.Hour)
	b.equal("Ended", idsOf(b.wake().Ended), []engine.ID{late, expiresFirst})
	b.equal("State", b.get(dueFirst).State, engine.StateQueued)
	b.later(time.Hour)
	b.equal("Ended", idsOf(b.wake().Ended), []engine.ID{dueFirst})
	// Both have passed when Due looks.
	missed := b.submit(due(b.in(time.Minute)), expires(b.in(time.Hour)))
	b.later(2 * time.Hour)
	b.equal("Ended", idsOf(b.wake().Ended), []engine.ID{missed})
}

func dueTogether(b *bench) {
	first := b.submit(expires(b.in(1 * time.Minute)))
	second := b.submit(due(b.in(2 * time.Minute)))
	third := b.submit(expires(b.in(3 * time.Minute)))
	b.later(time.Hour)
	g := b.commit(&engine.Group{Due: 2})
	b.equal("Ended", idsOf(g.Ended), []engine.ID{first})
	b.equal("the second", b.get(second).State, engine.StateQueued)
	b.equal("the third", b.get(third).State, engine.StateQueued)
	b.equal("NextDue", g.NextDue, b.in(-57*time.Minute))
}

func dueRunning(b *bench) {
	m := b.started(expires(b.in(time.Minute)))
	b.later(time.Hour)
	b.equal("Ended", b.wake().Ended, nil)
	b.equal("State", b.end(m, engine.StateSucceeded).State, engine.StateSucceeded)
}

func dueAtOnce(b *bench) {
	change := b.submission(due(b.now))
	g := b.commit(&engine.Group{
		Submits: []*engine.SubmitChange{change}, Due: 1,
		Claims: []*engine.ClaimChange{{MessageType: work, Limit: 1}},
	})
	b.equal("claimed", idsOf(g.Claims[0].Messages), []engine.ID{change.Message.ID})
}
