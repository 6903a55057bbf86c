package storetest

import (
	"time"

	"github.com/activemessage/activemessage/engine"
)

func holding() []promise {
	return []promise{
		{"a key stays taken after its message has ended, until Releases has it", heldUntilReleased},
		{"a release is made before claims of the group", releasedBeforeClaims},
		{"a key stays taken when its message is forgotten", heldWhenForgotten},
		{"a message that is retried waits for what still runs of it", retriedWhileHeld},
		{"a message without a key holds none", holdsNoKey},
		{"a release of what holds no key changes nothing", releasesNothing},
		{"a release of another owner changes nothing", releasedByAnother},
		{"a key of an owner whose lease is over is free", heldByTheDead},
	}
}

// held ends a message of key k whose handler goes on.
func (b *bench) held(options ...with) engine.StoredMessage {
	b.Helper()
	m := b.started(append(options, keyed("k"))...)
	change := b.ending(m, engine.StateFailed)
	change.HoldKey = true
	b.settle(change)
	return b.get(m.ID)
}

func (b *bench) release(id engine.ID) {
	b.Helper()
	b.commit(&engine.Group{Releases: []engine.ID{id}})
}

func heldUntilReleased(b *bench) {
	m := b.held(answered("r"))
	b.equal("State", m.State, engine.StateFailed)
	b.equal("published", b.last, 1)
	next, last := b.submit(keyed("k")), b.submit(keyed("k"))
	b.equal("Ready", b.load().Counts[work], engine.Counts{Queued: 2, Bytes: 2 * m.Size})
	b.claimed()
	b.release(m.ID)
	b.equal("Ready", b.load().Counts[work].Ready, 1)
	b.end(b.claimed(next)[0], engine.StateSucceeded)
	b.release(m.ID)
	b.claimed(last)
	b.release(m.ID)
	b.submit(keyed("k"))
	b.claimed()
}

func releasedBeforeClaims(b *bench) {
	m := b.held()
	next := b.submit(keyed("k"))
	change := b.submission(keyed("k"))
	change.Claim = true
	g := b.commit(&engine.Group{
		Releases: []engine.ID{m.ID},
		Submits:  []*engine.SubmitChange{change},
		Claims:   []*engine.ClaimChange{{MessageType: work, Limit: 9}},
	})
	b.equal("claimed", idsOf(g.Claims[0].Messages), []engine.ID{next})
	b.equal("born claimed", change.Claimed, false)
}

func heldWhenForgotten(b *bench) {
	m := b.held()
	b.later(time.Hour)
	b.retain(engine.Retention{Failed: engine.Keep{Age: time.Minute}})
	next := b.submit(keyed("k"))
	b.claimed()
	b.release(m.ID)
	b.claimed(next)
}

func retriedWhileHeld(b *bench) {
	m := b.held()
	b.retry(m)
	b.equal("Counts", b.load().Counts[work], engine.Counts{Queued: 1, Bytes: m.Size})
	b.claimed()
	b.release(m.ID)
	b.end(b.claimed(m.ID)[0], engine.StateSucceeded)
	b.claimed(b.submit(keyed("k")))
}

func holdsNoKey(b *bench) {
	change := b.ending(b.started(), engine.StateFailed)
	change.HoldKey = true
	b.settle(change)
	b.claimed(b.submit())
	b.release(change.ID)
}

func releasesNothing(b *bench) {
	m := b.started(keyed("k"))
	b.submit(keyed("k"))
	b.release(m.ID)
	b.release(newID(forever))
	b.claimed()
	retrying := b.ending(m, engine.StateRetrying)
	retrying.DueAt = b.in(time.Minute)
	b.settle(retrying)
	b.release(m.ID)
	b.claimed()
}

func releasedByAnother(b *bench) {
	m := b.held()
	next := b.submit(keyed("k"))
	b.commit(&engine.Group{Owner: other, Releases: []engine.ID{m.ID}})
	b.claimed()
	b.release(m.ID)
	b.claimed(next)
}

func heldByTheDead(b *bench) {
	b.commit(&engine.Group{Lease: b.in(time.Minute)})
	b.held()
	next := b.submit(keyed("k"))
	b.commit(&engine.Group{Owner: other, Reclaim: forever})
	b.equal("claimed before the lease is over", idsOf(b.claimFor(other, 1)), nil)
	b.later(time.Hour)
	g := b.commit(&engine.Group{Owner: other, Reclaim: forever})
	b.equal("Reclaimed", g.Reclaimed, 0)
	b.equal("Ready", g.Counts[work].Ready, 1)
	b.equal("claimed", idsOf(b.claimFor(other, 1)), []engine.ID{next})
}
