package storetest

import (
	"errors"
	"time"

	"github.com/activemessage/activemessage/engine"
)

func reclaiming() []promise {
	return []promise{
		{"what an owner claimed whose lease is over is queued again", reclaimed},
		{"a lease that was extended is not over", leaseExtended},
		{"a lease covers what was claimed before it was set, and after", leaseCoversAll},
		{"an owner without a lease, and one whose lease is not over, keep their claims", othersKeepTheirs},
		{"at most as many as allowed", reclaimLimit},
		{"nothing is reclaimed without Reclaim", reclaimNothing},
		{"at most 20 attempts are remembered", reclaimAttempts},
		{"a reclaimed message keeps its key", reclaimKeepsKey},
		{"reclaimed messages can be claimed in the group, and expire in it", reclaimThenClaim},
	}
}

// leased starts a message for me until in a minute, and lets an hour pass.
func (b *bench) leased(options ...with) engine.StoredMessage {
	b.Helper()
	b.commit(&engine.Group{Lease: b.in(time.Minute)})
	m := b.started(options...)
	b.later(time.Hour)
	return m
}

func (b *bench) reclaim(limit int) *engine.Group {
	b.Helper()
	return b.commit(&engine.Group{Owner: other, Reclaim: limit})
}

func reclaimed(b *bench) {
	want := b.leased(answered("r"))
	g := b.reclaim(9)
	b.equal("Reclaimed", g.Reclaimed, 1)
	b.equal("Published", g.Published, nil)
	b.equal("Ended", g.Ended, nil)
	b.equal("Counts", g.Counts, map[string]engine.Counts{work: {Queued: 1, Ready: 1, Bytes: want.Size}})
	want.MessageData, want.State, want.QueuedAt = nil, engine.StateQueued, b.now
	want.Lost, want.Uncounted = 1, 1
	want.Attempts = []engine.Attempt{{
		Number: 1, State: engine.StateQueued, StartedAt: want.StartedAt, FinishedAt: b.now,
		Error: &engine.Error{Code: engine.CodeLost, Message: "the server died while it ran"},
	}}
	b.equal("Get", b.get(want.ID), want)
	b.equal("Reclaimed again", b.reclaim(9).Reclaimed, 0)

	again := one(b, b.claimFor(other, 1))
	b.equal("Attempt", again.Attempt, 2)
	b.equal("data", again.MessageData, []byte("data"))
	stale := b.ending(want, engine.StateSucceeded)
	b.commit(&engine.Group{Settles: []*engine.SettleChange{stale}})
	if !errors.Is(stale.Err, engine.ErrStale) {
		b.Errorf("the dead owner settles: %v, want ErrStale", stale.Err)
	}
}

func leaseExtended(b *bench) {
	m := b.leased()
	b.commit(&engine.Group{Lease: b.in(time.Minute)})
	b.equal("Reclaimed", b.reclaim(9).Reclaimed, 0)
	b.later(time.Second)
	b.commit(&engine.Group{}) // without a lease, it is as it was
	b.equal("Reclaimed", b.reclaim(9).Reclaimed, 0)
	b.later(time.Hour)
	b.equal("Reclaimed", b.reclaim(9).Reclaimed, 1)
	b.equal("State", b.get(m.ID).State, engine.StateQueued)
}

func leaseCoversAll(b *bench) {
	before := b.started()
	after := b.leased()
	b.equal("Reclaimed", b.reclaim(9).Reclaimed, 2)
	b.equal("claimed", idsOf(b.claimFor(other, 9)), []engine.ID{before.ID, after.ID})
}

func othersKeepTheirs(b *bench) {
	b.submitAll(2)
	b.equal("without a lease", len(b.claimFor(7, 1)), 1)
	b.commit(&engine.Group{Owner: 8, Lease: b.in(2 * time.Hour)})
	b.equal("with a lease", len(b.claimFor(8, 1)), 1)
	m := b.leased()
	b.equal("Reclaimed", b.reclaim(9).Reclaimed, 1)
	b.equal("claimed", idsOf(b.claimFor(other, 9)), []engine.ID{m.ID})
	b.later(1000 * time.Hour)
	b.equal("Reclaimed", b.reclaim(9).Reclaimed, 1)
}

func reclaimLimit(b *bench) {
	b.submitAll(5)
	b.claim(5)
	b.leased()
	for _, want := range []int{4, 2, 0} {
		g := b.reclaim(4)
		b.equal("Reclaimed", g.Reclaimed, want)
	}
	b.equal("Counts", b.load().Counts[work].Ready, 6)
}

func reclaimNothing(b *bench) {
	m := b.leased()
	b.equal("Reclaimed", b.reclaim(0).Reclaimed, 0)
	b.equal("State", b.end(m, engine.StateSucceeded).State, engine.StateSucceeded)
	b.equal("Reclaimed", b.reclaim(9).Reclaimed, 0)
}

func reclaimAttempts(b *bench) {
	change := b.ending(b.started(), engine.StateQueued)
	change.Attempts, change.Uncounted = b.past(19), 3
	b.settle(change)
	b.commit(&engine.Group{Lease: b.in(time.Minute)})
	for _, want := range []struct{ attempts, oldest int }{{20, 1}, {20, 2}} {
		b.commit(&engine.Group{Lease: b.in(time.Minute)})
		m := b.claimed(change.ID)[0]
		b.later(time.Hour)
		b.reclaim(1)
		got := b.get(m.ID)
		b.equal("attempts", len(got.Attempts), want.attempts)
		b.equal("the oldest", got.Attempts[0].Number, want.oldest)
		b.equal("the last", got.Attempts[19].Number, m.Attempt)
	}
	b.equal("Lost", b.get(change.ID).Lost, 2)
	b.equal("Uncounted", b.get(change.ID).Uncounted, 5)
	b.retry(b.end(one(b, b.claim(1)), engine.StateFailed))
	b.equal("Lost when it is retried", b.get(change.ID).Lost, 0)
	b.equal("Uncounted when it is retried", b.get(change.ID).Uncounted, 4)
}

func reclaimKeepsKey(b *bench) {
	b.commit(&engine.Group{Lease: b.in(time.Minute)})
	first := b.started(keyed("k"))
	second := b.submit(keyed("k"), urgent(9))
	b.later(time.Hour)
	g := b.reclaim(9)
	b.equal("Ready", g.Counts[work].Ready, 1)
	m := b.claimed(first.ID)[0]
	b.end(m, engine.StateSucceeded)
	b.claimed(second)
}

func reclaimThenClaim(b *bench) {
	late := b.leased(expires(b.in(2 * time.Minute)))
	b.commit(&engine.Group{Lease: b.in(time.Minute)})
	m := b.started()
	b.later(time.Hour)
	g := b.commit(&engine.Group{
		Owner: other, Reclaim: 9, Due: 9,
		Claims: []*engine.ClaimChange{{MessageType: work, Limit: 9}},
	})
	b.equal("Reclaimed", g.Reclaimed, 2)
	b.equal("Ended", idsOf(g.Ended), []engine.ID{late.ID})
	b.equal("claimed", idsOf(g.Claims[0].Messages), []engine.ID{m.ID})
}
