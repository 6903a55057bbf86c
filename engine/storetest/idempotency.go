package storetest

import (
	"errors"
	"strings"
	"time"

	"github.com/activemessage/activemessage/engine"
)

func idempotency() []promise {
	return []promise{
		{"the same submission again is answered with the first, and not stored", replayed},
		{"another submission with the key is told whose it is", reused},
		{"the second of two in one group is the replay", twiceInAGroup},
		{"a key without Remember is free when its message has ended, however", freeWhenEnded},
		{"a key without Remember is free for a submission of the group that ends its message", freeInTheGroup},
		{"a key is remembered until Remember", rememberedUntil},
		{"a key is remembered until its message has ended, however late", rememberedWhileRunning},
		{"a key is remembered for no longer than its message is kept", forgottenWithItsMessage},
		{"the key of a message that is retried is taken again", takenAgain},
		{"a key that another message took stays that one's", takenByAnother},
		{"a key that another message took stays that one's when the first is forgotten", forgottenAfterAnother},
		{"messages without a key are not the same", withoutKey},
		{"with ReplayOnly nothing is stored", replayOnly},
	}
}

// onceOnly is a submission with idempotency key "once".
func (b *bench) onceOnly(remember time.Time, options ...with) *engine.SubmitChange {
	change := b.submission(options...)
	change.IdempotencyKey, change.Fingerprint, change.Remember, change.Cursor = "once", [32]byte{1, 0xff}, remember, 42
	return change
}

// accepts reports whether a submission with the key is stored now. It must be a replay
// if not.
func (b *bench) accepts(remember time.Time) bool {
	b.Helper()
	again := b.onceOnly(remember)
	b.commit(&engine.Group{Submits: []*engine.SubmitChange{again}})
	_, err := b.store.Get(b.Context(), again.Message.ID)
	if again.Err != nil || (again.Replay == nil) != (err == nil) {
		b.Fatalf("submit: %v, replay %v; Get: %v", again.Err, again.Replay, err)
	}
	return again.Replay == nil
}

func replayed(b *bench) {
	for _, c := range []struct {
		with  with
		claim bool
	}{{urgent(1), false}, {urgent(1), true}, {due(b.in(time.Hour)), false}} {
		first := b.onceOnly(time.Time{}, c.with)
		first.Cursor, first.Claim = 1<<40, c.claim
		b.commit(&engine.Group{Submits: []*engine.SubmitChange{first}})
		counts := b.load().Counts

		again := b.onceOnly(time.Time{}, c.with)
		again.Claim = true
		b.commit(&engine.Group{Submits: []*engine.SubmitChange{again}})
		b.equal("Replay", again.Replay, &engine.Replay{ID: first.Message.ID, State: first.Message.State, Cursor: 1 << 40})
		b.equal("Claimed", again.Claimed, false)
		if _, err := b.store.Get(b.Context(), again.Message.ID); again.Err != nil || !errors.Is(err, engine.ErrNotFound) {
			b.Errorf("Err is %v, Get of the second: %v", again.Err, err)
		}
		b.equal("Counts", b.load().Counts, counts)

		if c.claim {
			b.settle(b.ending(b.get(first.Message.ID), engine.StateQueued))
		}
		b.cancel(first.Message.ID)
	}
}

func reused(b *bench) {
	first, second := b.onceOnly(time.Time{}), b.onceOnly(time.Time{})
	second.Fingerprint[31]++
	neighbour := b.submission()
	b.commit(&engine.Group{Submits: []*engine.SubmitChange{first}})
	b.commit(&engine.Group{Submits: []*engine.SubmitChange{second, neighbour}})
	if !errors.Is(second.Err, engine.ErrKeyReused) || !strings.Contains(second.Err.Error(), first.Message.ID.String()) {
		b.Errorf("Err is %v, want that the key is %s's", second.Err, first.Message.ID)
	}
	b.equal("Replay", second.Replay, nil)
	b.claimed(first.Message.ID, neighbour.Message.ID)
}

func twiceInAGroup(b *bench) {
	first, second := b.onceOnly(time.Time{}), b.onceOnly(time.Time{})
	b.commit(&engine.Group{Submits: []*engine.SubmitChange{first, second}})
	b.equal("the first's Replay", first.Replay, nil)
	b.equal("the second's Replay", second.Replay, &engine.Replay{ID: first.Message.ID, State: engine.StateQueued, Cursor: 42})
	b.claimed(first.Message.ID)
}

func freeWhenEnded(b *bench) {
	b.equal("accepted", b.accepts(time.Time{}), true)
	for _, state := range engine.TerminalStates() {
		b.end(one(b, b.claim(1)), state)
		b.equal("accepted after one "+string(state), b.accepts(time.Time{}), true)
		b.equal("accepted again", b.accepts(time.Time{}), false)
	}
	b.cancel(one(b, b.list(engine.ListOptions{Limit: 9, State: engine.StateQueued})).ID)
	b.equal("accepted after one cancelled", b.accepts(time.Time{}), true)
	b.equal("accepted again", b.accepts(time.Time{}), false)
}

func freeInTheGroup(b *bench) {
	first := b.onceOnly(time.Time{})
	first.Claim = true
	b.commit(&engine.Group{Submits: []*engine.SubmitChange{first}})
	second := b.onceOnly(time.Time{})
	b.commit(&engine.Group{
		Settles: []*engine.SettleChange{b.ending(b.get(first.Message.ID), engine.StateSucceeded)},
		Submits: []*engine.SubmitChange{second},
	})
	b.equal("Replay", second.Replay, nil)
	b.claimed(second.Message.ID)
}

func rememberedUntil(b *bench) {
	until := b.in(time.Hour)
	b.equal("accepted", b.accepts(until), true)
	b.end(one(b, b.claim(1)), engine.StateSucceeded)
	b.later(time.Hour - time.Microsecond)
	b.equal("accepted before Remember", b.accepts(until), false)
	b.later(time.Microsecond)
	b.equal("accepted at Remember", b.accepts(until), true)
}

func rememberedWhileRunning(b *bench) {
	b.equal("accepted", b.accepts(b.in(time.Minute)), true)
	b.later(time.Hour)
	b.equal("accepted while it is queued", b.accepts(b.now), false)
	m := one(b, b.claim(1))
	b.equal("accepted while it runs", b.accepts(b.now), false)
	retrying := b.ending(m, engine.StateRetrying)
	retrying.DueAt = b.in(time.Hour)
	b.settle(retrying)
	b.equal("accepted while it is to be tried again", b.accepts(b.now), false)
	b.cancel(m.ID)
	b.equal("accepted", b.accepts(b.now), true)
}

func forgottenWithItsMessage(b *bench) {
	b.equal("accepted", b.accepts(b.in(1000*time.Hour)), true)
	b.end(one(b, b.claim(1)), engine.StateSucceeded)
	b.later(time.Hour)
	b.equal("accepted", b.accepts(b.now), false)
	b.retain(engine.Retention{Succeeded: engine.Keep{Age: time.Minute}})
	b.equal("accepted when the message is forgotten", b.accepts(b.now), true)
}

func takenAgain(b *bench) {
	b.equal("accepted", b.accepts(time.Time{}), true)
	m := b.end(one(b, b.claim(1)), engine.StateFailed)
	b.retry(m)
	b.equal("accepted", b.accepts(time.Time{}), false)
	b.end(one(b, b.claim(1)), engine.StateFailed)
	b.equal("accepted when it has ended again", b.accepts(time.Time{}), true)
}

func takenByAnother(b *bench) {
	b.equal("accepted", b.accepts(time.Time{}), true)
	first := b.end(one(b, b.claim(1)), engine.StateFailed)
	b.equal("accepted", b.accepts(time.Time{}), true)
	second := one(b, b.claim(1))
	b.retry(first)
	again := b.onceOnly(time.Time{})
	b.commit(&engine.Group{Submits: []*engine.SubmitChange{again}})
	b.equal("Replay", again.Replay, &engine.Replay{ID: second.ID, State: engine.StateQueued, Cursor: 42})
	b.end(second, engine.StateSucceeded)
	b.equal("accepted", b.accepts(time.Time{}), true)
}

func forgottenAfterAnother(b *bench) {
	b.equal("accepted", b.accepts(time.Time{}), true)
	b.end(one(b, b.claim(1)), engine.StateFailed)
	b.equal("accepted", b.accepts(time.Time{}), true)
	b.later(time.Hour)
	b.equal("messages", b.retain(bound(engine.StateFailed, engine.Keep{Age: time.Minute})).Messages, 1)
	b.equal("accepted", b.accepts(time.Time{}), false)
}

func withoutKey(b *bench) {
	changes := []*engine.SubmitChange{b.submission(), b.submission()}
	changes[1].Fingerprint[0] = 1
	b.commit(&engine.Group{Submits: changes})
	b.claimed(changes[0].Message.ID, changes[1].Message.ID)
}

func replayOnly(b *bench) {
	ask := func() *engine.SubmitChange {
		change := b.onceOnly(time.Time{})
		change.ReplayOnly, change.Message = true, engine.StoredMessage{}
		b.commit(&engine.Group{Submits: []*engine.SubmitChange{change}})
		return change
	}
	unknown := ask()
	if unknown.Err != nil || unknown.Replay != nil || unknown.Claimed {
		b.Errorf("of an unknown key: %+v", unknown)
	}
	b.equal("Counts", b.load().Counts, nil)
	b.equal("accepted", b.accepts(time.Time{}), true)
	b.equal("Replay.Cursor", ask().Replay.Cursor, 42)
	other := b.onceOnly(time.Time{})
	other.ReplayOnly, other.Message, other.Fingerprint[0] = true, engine.StoredMessage{}, 2
	b.commit(&engine.Group{Submits: []*engine.SubmitChange{other}})
	if !errors.Is(other.Err, engine.ErrKeyReused) {
		b.Errorf("of another submission: %v", other.Err)
	}
}
