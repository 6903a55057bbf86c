package storetest

import (
	"errors"
	"time"

	"github.com/activemessage/activemessage/engine"
)

func resuming() []promise {
	return []promise{
		{"a lost attempt goes on, as if it had not been lost", resumed},
		{"in the group that reclaims it, before it is claimed", resumedAtOnce},
		{"after it was put off when it was claimed, and when it is due again", resumedPutOff},
		{"after it was handed back when it was claimed", resumedHandedBack},
		{"with its checkpoint and all of its data", resumedContent},
		{"it is the owner's to settle and to save, and nobody else's", resumedOwner},
		{"it can be lost and resumed again", resumedAgain},
		{"one that was left outside goes on, too", resumedLeft},
		{"only the last of several attempts that were lost", resumedLast},
		{"attempts before the lost one stay", resumedPast},
		{"of two at once one is made", resumedTwice},
		{"a message keeps its key, and passes it on when it ends", resumedKey},
		{"one that expires later expires when it waits again", resumedExpiry},
		{"not without the message", resumeUnknown},
		{"not if it runs, or another attempt began", resumeRunning},
		{"not if the attempt was not lost", resumeNotLost},
		{"not if the message has ended, or was retried by hand since", resumeEnded},
		{"not if the message was to be cancelled, or is past its expiry", resumeNotWanted},
	}
}

// reclaimedOne starts a message and lets it be lost with its owner, me.
func (b *bench) reclaimedOne(options ...with) engine.StoredMessage {
	b.Helper()
	m := b.leased(options...)
	b.equal("Reclaimed", b.reclaim(9).Reclaimed, 1)
	return m
}

// resumes makes the change by which an attempt goes on.
func resumes(m engine.StoredMessage) *engine.ResumeChange {
	return &engine.ResumeChange{ID: m.ID, Attempt: m.Attempt}
}

// resume lets an attempt go on for other, as it must be able to.
func (b *bench) resume(m engine.StoredMessage) engine.StoredMessage {
	b.Helper()
	change := resumes(m)
	b.commit(&engine.Group{Owner: other, Resumes: []*engine.ResumeChange{change}})
	if change.Err != nil {
		b.Fatalf("resume: %v", change.Err)
	}
	return change.Message
}

// notResumed tries to resume what cannot go on; nothing changes.
func (b *bench) notResumed(what string, id engine.ID, attempt int) {
	b.Helper()
	before, snapshot := b.get(id), b.load()
	change := &engine.ResumeChange{ID: id, Attempt: attempt}
	b.commit(&engine.Group{Owner: other, Resumes: []*engine.ResumeChange{change}})
	if !errors.Is(change.Err, engine.ErrStale) {
		b.Errorf("%s: Err is %v, want ErrStale", what, change.Err)
	}
	b.equal("Message of "+what, change.Message, engine.StoredMessage{})
	b.equal("Get of "+what, b.get(id), before)
	b.equal("Load after "+what, b.load(), snapshot)
}

// settleFor makes a change of an owner's.
func (b *bench) settleFor(owner engine.Owner, change *engine.SettleChange) error {
	b.Helper()
	b.commit(&engine.Group{Owner: owner, Settles: []*engine.SettleChange{change}})
	return change.Err
}

// unstart lets other claim a message and settle it unstarted, as an engine does that
// cannot have it run yet.
func (b *bench) unstart(state engine.State, dueAt time.Time) {
	b.Helper()
	m := one(b, b.claimFor(other, 1))
	change := b.ending(m, state)
	change.Unstarted, change.DueAt = true, dueAt
	change.Uncounted, change.Attempts = m.Uncounted, m.Attempts
	if err := b.settleFor(other, change); err != nil {
		b.Fatalf("settle: %v", err)
	}
}

func resumed(b *bench) {
	want := b.reclaimedOne(answered("r"))
	want.QueuedAt = b.now
	b.later(time.Second)
	change := resumes(want)
	g := b.commit(&engine.Group{Owner: other, Resumes: []*engine.ResumeChange{change}})
	b.equal("Err", change.Err, nil)
	b.equal("Message", change.Message, want)
	b.equal("Counts", g.Counts, map[string]engine.Counts{work: {Running: 1}})
	b.equal("Published", g.Published, nil)
	want.MessageData = nil
	b.equal("Get", b.get(want.ID), want)
	b.claimed()
	b.later(time.Hour)
	b.equal("Reclaimed", b.commit(&engine.Group{Owner: 7, Reclaim: 9}).Reclaimed, 0)
}

func resumedAtOnce(b *bench) {
	m := b.leased()
	b.commit(&engine.Group{Lease: b.in(time.Minute)})
	another := b.started()
	b.later(time.Hour)
	change := resumes(m)
	g := b.commit(&engine.Group{
		Owner: other, Reclaim: 9, Due: 9,
		Resumes: []*engine.ResumeChange{change},
		Claims:  []*engine.ClaimChange{{MessageType: work, Limit: 9}},
	})
	b.equal("Err", change.Err, nil)
	b.equal("Reclaimed", g.Reclaimed, 2)
	b.equal("claimed", idsOf(g.Claims[0].Messages), []engine.ID{another.ID})
	m.QueuedAt = b.now
	b.equal("Message", change.Message, m)
	b.equal("Counts", g.Counts, map[string]engine.Counts{work: {Running: 2}})
}

func resumedPutOff(b *bench) {
	for _, wait := range []time.Duration{time.Second, time.Minute} {
		m := b.reclaimedOne()
		m.QueuedAt = b.now
		b.unstart(engine.StateRetrying, b.in(time.Minute))
		b.equal("State", b.get(m.ID).State, engine.StateRetrying)
		b.later(wait)
		if wait == time.Minute {
			m.QueuedAt = b.now // what is due is queued first
		}
		change := resumes(m)
		g := b.commit(&engine.Group{Owner: other, Due: 9, Resumes: []*engine.ResumeChange{change}})
		b.equal("Err", change.Err, nil)
		b.equal("NextDue", g.NextDue, time.Time{})
		b.equal("Message", change.Message, m)
		m.MessageData = nil
		b.equal("Get", b.get(m.ID), m)
		b.later(time.Hour)
		b.wake()
		b.claimed()
		b.equal("settle", b.settleFor(other, b.ending(m, engine.StateSucceeded)), nil)
	}
}

func resumedHandedBack(b *bench) {
	m := b.reclaimedOne()
	b.unstart(engine.StateQueued, time.Time{})
	got := b.resume(m)
	m.QueuedAt = got.QueuedAt
	b.equal("Message", got, m)
}

func resumedContent(b *bench) {
	for _, data := range append(blobs(), []byte("small")) {
		m := b.leased(carrying(data))
		b.commit(&engine.Group{Lease: b.in(time.Minute)})
		b.save(&engine.SaveChange{ID: m.ID, Attempt: 1, Data: reversed(data)})
		b.later(time.Hour)
		b.reclaim(9)
		got := b.resume(m)
		b.equal("data", got.MessageData, data)
		b.equal("Checkpoint", got.Checkpoint, reversed(data))
		b.equal("Checkpoint of Get", b.get(m.ID).Checkpoint, nil)
	}
}

func resumedOwner(b *bench) {
	m := b.reclaimedOne(answered("r"))
	b.resume(m)
	if err := b.settleFor(me, b.ending(m, engine.StateSucceeded)); !errors.Is(err, engine.ErrStale) {
		b.Errorf("the dead owner settles: %v, want ErrStale", err)
	}
	stale, saved := saves(m, "stale"), saves(m, "saved")
	b.commit(&engine.Group{Saves: []*engine.SaveChange{stale}})
	b.commit(&engine.Group{Owner: other, Saves: []*engine.SaveChange{saved}})
	if !errors.Is(stale.Err, engine.ErrStale) || saved.Err != nil {
		b.Errorf("the dead owner saves: %v, the other: %v", stale.Err, saved.Err)
	}
	b.equal("settle", b.settleFor(other, b.ending(m, engine.StateQueued)), nil)
	next := one(b, b.claimFor(other, 1))
	b.equal("Checkpoint", next.Checkpoint, []byte("saved"))
	b.equal("the next Attempt", next.Attempt, 2)
	b.equal("settle", b.settleFor(other, b.ending(next, engine.StateSucceeded)), nil)
	ended := b.get(m.ID)
	b.equal("Lost", ended.Lost, 0)
	b.equal("Attempts", ended.Attempts, nil)
	b.equal("notifications", b.log(1, 9, forever), []engine.Notification{b.notification(ended, 1)})
}

func resumedAgain(b *bench) {
	m := b.reclaimedOne()
	for owner := engine.Owner(7); owner < 10; owner++ {
		change := resumes(m)
		b.commit(&engine.Group{Owner: owner, Lease: b.in(time.Minute), Resumes: []*engine.ResumeChange{change}})
		b.equal("Err", change.Err, nil)
		b.equal("Lost while it runs", change.Message.Lost, 0)
		b.later(time.Hour)
		b.equal("Reclaimed", b.reclaim(9).Reclaimed, 1)
		waits := b.get(m.ID)
		b.equal("Lost", waits.Lost, 1)
		b.equal("Uncounted", waits.Uncounted, 1)
		b.equal("StartedAt of the lost", one(b, waits.Attempts).StartedAt, m.StartedAt)
		b.equal("attempts", len(waits.Attempts), 1)
	}
}

// lostTwice is a message of which attempts 1 and 2 were lost.
func (b *bench) lostTwice() engine.StoredMessage {
	b.Helper()
	m := b.reclaimedOne()
	b.commit(&engine.Group{Lease: b.in(time.Minute)})
	m = b.claimed(m.ID)[0]
	b.later(time.Hour)
	b.equal("Reclaimed", b.reclaim(9).Reclaimed, 1)
	return m
}

func resumedLast(b *bench) {
	m := b.lostTwice()
	b.notResumed("the first", m.ID, 1)
	got := b.resume(m)
	b.equal("Attempt", got.Attempt, 2)
	b.equal("Lost", got.Lost, 1)
	b.equal("Uncounted", got.Uncounted, 1)
	b.equal("Attempts", got.Attempts, m.Attempts)
	b.equal("StartedAt", got.StartedAt, m.StartedAt)
}

func resumedLeft(b *bench) {
	m := b.started()
	change := b.ending(m, engine.StateQueued)
	change.Uncounted = 1
	change.Attempts = []engine.Attempt{{
		Number: m.Attempt, State: engine.StateQueued, StartedAt: m.StartedAt, FinishedAt: b.now,
		Error: &engine.Error{Code: engine.CodeLeftOutside, Message: "it goes on"},
	}}
	b.settle(change)
	b.notResumed("another attempt", m.ID, m.Attempt+1)
	got := b.resume(m)
	b.equal("Attempt", got.Attempt, m.Attempt)
	b.equal("Lost", got.Lost, 0)
	b.equal("Uncounted", got.Uncounted, 0)
	b.equal("Attempts", len(got.Attempts), 0)
	b.notResumed("one that runs", m.ID, m.Attempt)
}

func resumedPast(b *bench) {
	change := b.ending(b.started(), engine.StateQueued)
	change.Attempts, change.Uncounted = b.past(1), 1
	b.settle(change)
	b.commit(&engine.Group{Lease: b.in(time.Minute)})
	m := one(b, b.claim(1))
	b.later(time.Hour)
	b.reclaim(9)
	got := b.resume(m)
	b.equal("Attempts", got.Attempts, m.Attempts)
	b.equal("Uncounted", got.Uncounted, 1)
	got.Attempts[0].Number = 99 // it is the caller's to change
	b.equal("Attempts of Get", b.get(m.ID).Attempts, m.Attempts)
}

func resumedTwice(b *bench) {
	m := b.reclaimedOne()
	first, second := resumes(m), resumes(m)
	g := &engine.Group{Owner: other, Resumes: []*engine.ResumeChange{first, second}}
	b.commit(g)
	if first.Err != nil || !errors.Is(second.Err, engine.ErrStale) {
		b.Errorf("the first: %v, the second: %v", first.Err, second.Err)
	}
	b.commit(g)
	if !errors.Is(first.Err, engine.ErrStale) {
		b.Errorf("when it is committed again: %v, want ErrStale", first.Err)
	}
	b.equal("Message when it is committed again", first.Message, engine.StoredMessage{})
}

func resumedKey(b *bench) {
	m := b.leased(keyed("k"))
	next := b.submit(keyed("k"), urgent(9))
	b.reclaim(9)
	b.resume(m)
	b.claimed()
	b.equal("settle", b.settleFor(other, b.ending(m, engine.StateSucceeded)), nil)
	b.claimed(next)
}

func resumedExpiry(b *bench) {
	m := b.reclaimedOne(expires(b.in(3 * time.Hour)))
	b.equal("NextDue", b.load().NextDue, m.ExpiresAt)
	got := b.resume(m)
	b.equal("ExpiresAt", got.ExpiresAt, m.ExpiresAt)
	b.equal("NextDue while it runs", b.load().NextDue, time.Time{})
	b.equal("settle", b.settleFor(other, b.ending(m, engine.StateQueued)), nil)
	b.later(3 * time.Hour)
	b.equal("Ended", idsOf(b.wake().Ended), []engine.ID{m.ID})
}

func resumeUnknown(b *bench) {
	m := b.reclaimedOne()
	sameSequence := m.ID
	sameSequence[15] ^= 1
	for _, id := range []engine.ID{newID(forever), {}, sameSequence} {
		change := &engine.ResumeChange{ID: id, Attempt: 1}
		b.commit(&engine.Group{Owner: other, Resumes: []*engine.ResumeChange{change}})
		if !errors.Is(change.Err, engine.ErrNotFound) {
			b.Errorf("Err is %v, want ErrNotFound", change.Err)
		}
		b.equal("Message", change.Message, engine.StoredMessage{})
	}
	b.resume(m)
}

func resumeRunning(b *bench) {
	m := b.leased()
	b.notResumed("one that nobody reclaimed", m.ID, 1)
	b.reclaim(9)
	b.notResumed("an attempt before", m.ID, 0)
	b.notResumed("an attempt after", m.ID, 2)
	next := one(b, b.claimFor(other, 1))
	b.notResumed("one that is claimed again", m.ID, 1)
	b.notResumed("the claim", m.ID, 2)
	b.equal("settle", b.settleFor(other, b.ending(next, engine.StateQueued)), nil)
	b.notResumed("one that had another attempt", m.ID, 1)
	b.notResumed("the other attempt", m.ID, 2)
}

func resumeNotLost(b *bench) {
	b.notResumed("one without an attempt", b.submit(), 0)
	b.notResumed("one that is scheduled", b.submit(due(b.in(time.Hour))), 0)
	for _, state := range []engine.State{engine.StateQueued, engine.StateRetrying, engine.StateScheduled} {
		change := b.ending(b.started(), state)
		if state != engine.StateQueued {
			change.DueAt = b.in(time.Hour)
		}
		change.Attempts = b.past(1)
		b.settle(change)
		b.notResumed("one that failed and is "+string(state), change.ID, 1)
	}
	m := b.reclaimedOne(ofType("rest"))
	rest := &engine.ClaimChange{MessageType: "rest", Limit: 1}
	b.commit(&engine.Group{Owner: other, Claims: []*engine.ClaimChange{rest}})
	snooze := b.ending(one(b, rest.Messages), engine.StateScheduled)
	snooze.Unstarted, snooze.DueAt, snooze.Uncounted = true, b.in(time.Hour), 1
	b.equal("settle", b.settleFor(other, snooze), nil)
	b.notResumed("one that was lost and is scheduled", m.ID, 1)
	// Whatever a handler says is the reason, it was there to say it.
	change := b.ending(b.started(ofType("play")), engine.StateQueued)
	change.Attempts = []engine.Attempt{{Number: 1, State: engine.StateQueued, Error: &engine.Error{Code: engine.CodeLost}}}
	b.settle(change)
	b.notResumed("one that was never reclaimed", change.ID, 1)
}

func resumeEnded(b *bench) {
	for _, state := range engine.TerminalStates() {
		m := b.reclaimedOne()
		next := one(b, b.claimFor(other, 1))
		change := b.ending(next, state)
		change.Unstarted, change.Attempts, change.Uncounted = true, next.Attempts, next.Uncounted
		b.equal("settle", b.settleFor(other, change), nil)
		b.notResumed("one that "+string(state), m.ID, 1)
		if state == engine.StateSucceeded {
			continue
		}
		retry := &engine.RetryChange{ID: m.ID, Attempt: 1, Attempts: next.Attempts}
		b.commit(&engine.Group{Retries: []*engine.RetryChange{retry}})
		b.equal("Err", retry.Err, nil)
		b.notResumed("one that "+string(state)+" and was retried", m.ID, 1)
		b.claimFor(other, 1)
	}
	m := b.reclaimedOne()
	b.cancel(m.ID)
	b.notResumed("one that was cancelled while it waited", m.ID, 1)
}

func resumeNotWanted(b *bench) {
	m := b.leased()
	b.refused(m.ID, engine.ErrClaimed)
	b.reclaim(9)
	b.notResumed("one that was to be cancelled", m.ID, 1)

	late := b.leased(ofType("play"), expires(b.in(2*time.Hour)))
	b.reclaim(9)
	b.later(time.Hour)
	b.notResumed("one past its expiry", late.ID, 1)
	change := resumes(late)
	g := b.commit(&engine.Group{Owner: other, Due: 9, Resumes: []*engine.ResumeChange{change}})
	b.equal("Ended", idsOf(g.Ended), []engine.ID{late.ID})
	b.notResumed("one that expired", late.ID, 1)
}
