package storetest

import (
	"errors"
	"fmt"
	"time"

	"github.com/activemessage/activemessage/engine"
)

func saving() []promise {
	all := []promise{
		{"only the owner's attempt can save", saveIsFenced},
		{"a stale change leaves the others of its group alone", staleSaveIsAlone},
		{"without a checkpoint there is none", nothingSaved},
		{"a later checkpoint replaces the earlier, also in one group", savedAgain},
		{"a checkpoint stays for all attempts that follow", savedForAll},
		{"an attempt saves before it is settled in the group", savedAndSettled},
		{"a checkpoint is the message's alone", savedApart},
		{"only who claims a message gets its checkpoint", savedForClaims},
		{"a checkpoint changes nothing else", saveChangesNothing},
		{"a checkpoint outlives its owner", savedOutlivesOwner},
		{"a submitted message has no checkpoint", submittedWithout},
	}
	for _, data := range append(blobs(), nil, []byte{}) {
		all = append(all, promise{fmt.Sprintf("a checkpoint of %d bytes is kept, nil: %t", len(data), data == nil), func(b *bench) { saved(b, data) }})
	}
	for _, state := range engine.TerminalStates() {
		all = append(all, promise{"the checkpoint goes away when the message " + string(state), func(b *bench) { savedEnds(b, state) }})
	}
	return all
}

// saves makes the change that remembers a checkpoint of a claimed message.
func saves(m engine.StoredMessage, data string) *engine.SaveChange {
	return &engine.SaveChange{ID: m.ID, Attempt: m.Attempt, Data: []byte(data)}
}

// save makes a change that must work.
func (b *bench) save(change *engine.SaveChange) *engine.Group {
	b.Helper()
	g := b.commit(&engine.Group{Saves: []*engine.SaveChange{change}})
	if change.Err != nil {
		b.Fatalf("save: %v", change.Err)
	}
	return g
}

// again hands back a claimed message and claims it again.
func (b *bench) again(m engine.StoredMessage) engine.StoredMessage {
	b.Helper()
	b.settle(b.ending(m, engine.StateQueued))
	return b.claimed(m.ID)[0]
}

func saved(b *bench, data []byte) {
	m := b.started()
	b.save(&engine.SaveChange{ID: m.ID, Attempt: 1, Data: data})
	b.equal("Checkpoint", b.again(m).Checkpoint, data)
}

func saveIsFenced(b *bench) {
	m := b.again(b.started())
	queued, ended := b.submit(), b.end(b.started(), engine.StateFailed)
	stale := func(name string, owner engine.Owner, id engine.ID, attempt int) {
		b.Helper()
		change := &engine.SaveChange{ID: id, Attempt: attempt, Data: []byte("stale")}
		b.commit(&engine.Group{Owner: owner, Saves: []*engine.SaveChange{change}})
		if !errors.Is(change.Err, engine.ErrStale) {
			b.Errorf("%s: Err is %v, want ErrStale", name, change.Err)
		}
	}
	stale("another owner", other, m.ID, 2)
	stale("an earlier attempt", me, m.ID, 1)
	stale("a later attempt", me, m.ID, 3)
	stale("one that is queued", me, queued, 0)
	stale("one that ended", me, ended.ID, 1)
	stale("an unknown one", me, newID(forever), 1)
	sameSequence := m.ID
	sameSequence[15] ^= 1
	stale("one of its sequence", me, sameSequence, 2)
	b.settle(b.ending(m, engine.StateQueued))
	stale("one that was handed back", me, m.ID, 2)
	b.retry(ended)
	for _, m := range b.claimed(queued, m.ID, ended.ID) {
		b.equal("Checkpoint", m.Checkpoint, nil)
	}
}

func staleSaveIsAlone(b *bench) {
	first, second := b.started(), b.started()
	stale, good := saves(second, "stale"), saves(first, "good")
	stale.Attempt = 2
	b.commit(&engine.Group{Saves: []*engine.SaveChange{stale, good}})
	if !errors.Is(stale.Err, engine.ErrStale) || good.Err != nil {
		b.Errorf("the stale: %v, the other: %v", stale.Err, good.Err)
	}
	b.equal("Checkpoint", b.again(first).Checkpoint, []byte("good"))
	b.equal("Checkpoint of the other", b.again(second).Checkpoint, nil)
	stale.Attempt = 2
	b.commit(&engine.Group{Saves: []*engine.SaveChange{stale}})
	b.equal("Err when it is committed again", stale.Err, nil)
}

func nothingSaved(b *bench) {
	if m := b.again(b.started()); m.Checkpoint != nil {
		b.Errorf("Checkpoint is %q", m.Checkpoint)
	}
}

func savedAgain(b *bench) {
	m := b.started()
	b.save(saves(m, "one"))
	b.commit(&engine.Group{Saves: []*engine.SaveChange{saves(m, "two"), saves(m, "three")}})
	m = b.again(m)
	b.equal("Checkpoint", m.Checkpoint, []byte("three"))
	b.save(saves(m, ""))
	b.equal("Checkpoint when an empty one was saved", b.again(m).Checkpoint, nil)
}

func savedForAll(b *bench) {
	m := b.started()
	b.save(saves(m, "saved"))
	for range 3 {
		m = b.again(m)
		b.equal("Checkpoint", m.Checkpoint, []byte("saved"))
	}
	for _, state := range []engine.State{engine.StateRetrying, engine.StateScheduled} {
		change := b.ending(m, state)
		change.DueAt = b.in(time.Hour)
		b.settle(change)
		b.later(time.Hour)
		b.wake()
		m = b.claimed(m.ID)[0]
		b.equal("Checkpoint after one was "+string(state), m.Checkpoint, []byte("saved"))
	}
	unstarted := b.ending(m, engine.StateQueued)
	unstarted.Unstarted = true
	b.settle(unstarted)
	b.equal("Checkpoint after one that did not start", b.claimed(m.ID)[0].Checkpoint, []byte("saved"))
}

func savedAndSettled(b *bench) {
	m, ends := b.started(), b.started()
	g := b.commit(&engine.Group{
		Saves:   []*engine.SaveChange{saves(m, "saved"), saves(ends, "saved")},
		Settles: []*engine.SettleChange{b.ending(m, engine.StateQueued), b.ending(ends, engine.StateFailed)},
		Claims:  []*engine.ClaimChange{{MessageType: work, Limit: 9}},
	})
	b.equal("Err", g.Saves[1].Err, nil)
	b.equal("Checkpoint", one(b, g.Claims[0].Messages).Checkpoint, []byte("saved"))
	b.retry(b.get(ends.ID))
	b.equal("Checkpoint of one that ended", b.claimed(ends.ID)[0].Checkpoint, nil)
}

func savedApart(b *bench) {
	m, without := b.started(carrying(make([]byte, 10_000))), b.started()
	b.save(saves(m, "saved"))
	b.equal("Checkpoint of another", b.again(without).Checkpoint, nil)
	m = b.again(m)
	b.equal("Checkpoint", m.Checkpoint, []byte("saved"))
	b.equal("data", m.MessageData, make([]byte, 10_000))
}

func savedForClaims(b *bench) {
	late := b.started(expires(b.in(time.Minute)))
	cancelled := b.started(keyed("k"))
	b.save(saves(late, "saved"))
	b.save(saves(cancelled, "saved"))
	b.equal("Get", b.get(late.ID).Checkpoint, nil)
	for _, m := range b.list(engine.ListOptions{Limit: 9}) {
		b.equal("List", m.Checkpoint, nil)
	}
	running := &engine.CancelChange{ID: cancelled.ID}
	b.commit(&engine.Group{Cancels: []*engine.CancelChange{running}})
	b.equal("Cancel of one that runs", running.Message.Checkpoint, nil)
	b.settle(b.ending(cancelled, engine.StateQueued))
	b.settle(b.ending(late, engine.StateQueued))
	b.later(time.Hour)
	waits := &engine.CancelChange{ID: cancelled.ID}
	retried := &engine.RetryChange{ID: cancelled.ID, Attempt: 1}
	g := b.commit(&engine.Group{
		Cancels: []*engine.CancelChange{waits}, Retries: []*engine.RetryChange{retried},
		Claims: []*engine.ClaimChange{{MessageType: work, Limit: 9}},
	})
	b.equal("Cancel", waits.Message.Checkpoint, nil)
	b.equal("Retry", retried.Message.Checkpoint, nil)
	b.equal("Ended", one(b, g.Ended).Checkpoint, nil)
	b.equal("claimed", idsOf(g.Claims[0].Messages), []engine.ID{cancelled.ID})
	b.equal("Checkpoint", g.Claims[0].Messages[0].Checkpoint, nil)
}

func saveChangesNothing(b *bench) {
	m := b.started(answered("r"), keyed("k"))
	before, snapshot := b.get(m.ID), b.load()
	b.later(time.Second)
	g := b.save(saves(m, "saved"))
	b.equal("Get", b.get(m.ID), before)
	b.equal("Load", b.load(), snapshot)
	b.equal("Published", g.Published, nil)
	b.equal("Ended", g.Ended, nil)
}

func savedOutlivesOwner(b *bench) {
	m := b.leased()
	b.save(saves(m, "saved"))
	b.equal("Reclaimed", b.reclaim(9).Reclaimed, 1)
	b.equal("Checkpoint", one(b, b.claimFor(other, 1)).Checkpoint, []byte("saved"))
}

func submittedWithout(b *bench) {
	b.submit(func(m *engine.StoredMessage) { m.Checkpoint = []byte("never saved") })
	b.equal("Checkpoint", one(b, b.claim(1)).Checkpoint, nil)
}

// savedEnds ends a message with a checkpoint, while it waits where it can. It is retried
// where it can be.
func savedEnds(b *bench, state engine.State) {
	ends := []func(m engine.StoredMessage){
		func(m engine.StoredMessage) { b.settle(b.ending(m, state)) },
	}
	switch state {
	case engine.StateCancelled:
		ends = append(ends, func(m engine.StoredMessage) {
			b.settle(b.ending(m, engine.StateQueued))
			b.cancel(m.ID)
		})
	case engine.StateExpired:
		ends = append(ends, func(m engine.StoredMessage) {
			b.settle(b.ending(m, engine.StateQueued))
			b.later(time.Hour)
			b.wake()
		})
	}
	for _, end := range ends {
		m := b.started(expires(b.in(time.Minute)))
		b.save(saves(m, "saved"))
		end(m)
		ended := b.get(m.ID)
		b.equal("State", ended.State, state)
		b.equal("Checkpoint of one that ended", ended.Checkpoint, nil)
		if state == engine.StateSucceeded {
			continue
		}
		b.retry(ended)
		m = b.claimed(m.ID)[0]
		b.equal("Checkpoint", m.Checkpoint, nil)
		b.save(saves(m, "anew"))
		b.equal("Checkpoint after another was saved", b.again(m).Checkpoint, []byte("anew"))
	}
}
