package storetest

import (
	"errors"
	"fmt"
	"time"

	"github.com/activemessage/activemessage/engine"
)

func settling() []promise {
	all := []promise{
		{"only the owner's attempt can be settled", settleIsFenced},
		{"a stale change leaves the others of its group alone", staleIsAlone},
		{"of two of one attempt the first is made", settledTwice},
		{"an attempt that was not started is counted out again", unstarted},
		{"an attempt that was lost counts as such", settledAsLost},
		{"attempts and their number uncounted replace the message's", attemptsReplaced},
		{"attempts stay if none are given", attemptsStay},
		{"attempts that were given or returned are the caller's to change", attemptsCopied},
		{"a succeeded message's data is dropped, the others' is kept", dataDropped},
		{"the cause of an error is not kept", causeIsNotKept},
		{"a message that was put off is tried again when it is due", putOff},
		{"one that is due already is tried again in the same group", putOffTillNow},
	}
	for _, c := range settlements() {
		all = append(all, promise{"a message can be settled as " + string(c.state), func(b *bench) { settled(b, c) }})
	}
	for _, data := range append(blobs(), []byte{}) {
		all = append(all, promise{fmt.Sprintf("a result of %d bytes is kept", len(data)), func(b *bench) { resultIsKept(b, data) }})
	}
	return all
}

// settlement is a state to settle with, and what it counts as.
type settlement struct {
	state  engine.State
	counts engine.Counts
}

func settlements() []settlement {
	all := []settlement{
		{engine.StateQueued, engine.Counts{Queued: 1, Ready: 1}},
		{engine.StateScheduled, engine.Counts{Scheduled: 1}},
		{engine.StateRetrying, engine.Counts{Retrying: 1}},
	}
	for _, state := range engine.TerminalStates() {
		all = append(all, settlement{state, engine.Counts{}})
	}
	return all
}

func settled(b *bench, c settlement) {
	want := b.started(answered("r"))
	want.MessageData = nil
	b.later(time.Second)
	change := b.ending(want, c.state)
	change.StartedAt, change.FinishedAt = b.in(-time.Millisecond), b.in(-time.Microsecond)
	want.State, want.StartedAt = c.state, change.StartedAt
	switch c.state {
	case engine.StateQueued:
		want.QueuedAt = b.now
	case engine.StateScheduled, engine.StateRetrying:
		change.DueAt = b.in(time.Hour)
		want.DueAt = change.DueAt
	case engine.StateSucceeded:
		change.Result = engine.Result{Data: []byte("result"), ContentType: "text/plain"}
		want.Result, want.ResultBytes = change.Result, len("result")
	}
	if c.state.Terminal() {
		want.FinishedAt, want.Error = change.FinishedAt, change.Error
	} else {
		c.counts.Bytes = want.Size
	}
	g := b.settle(change)
	b.equal("Get", b.get(want.ID), want)
	b.equal("Counts", g.Counts, map[string]engine.Counts{work: c.counts})
	b.equal("Ended", g.Ended, nil)
	if c.state.Terminal() {
		b.equal("Published", g.Published, []engine.Notification{b.notification(want, 1)})
	} else {
		b.equal("Published", g.Published, nil)
	}
}

func settleIsFenced(b *bench) {
	m := b.started()
	queued, ended := b.submit(), b.end(b.started(), engine.StateFailed)
	stale := func(name string, owner engine.Owner, id engine.ID, attempt int) {
		b.Helper()
		change := &engine.SettleChange{ID: id, Attempt: attempt, State: engine.StateSucceeded, FinishedAt: b.now}
		g := b.commit(&engine.Group{Owner: owner, Settles: []*engine.SettleChange{change}})
		if !errors.Is(change.Err, engine.ErrStale) || len(g.Published) > 0 {
			b.Errorf("%s: Err is %v, want ErrStale; published %v", name, change.Err, g.Published)
		}
	}
	stale("another owner", other, m.ID, 1)
	stale("the attempt after", me, m.ID, 2)
	stale("the attempt before", me, m.ID, 0)
	stale("a queued message", me, queued, 0)
	stale("an ended message", me, ended.ID, ended.Attempt)
	stale("an unknown message", me, newID(forever), 1)
	b.settle(b.ending(m, engine.StateQueued))
	stale("one handed back", me, m.ID, 1)
	b.claim(forever)
	stale("an attempt before that it has again", me, m.ID, 1)
	b.equal("State", b.get(m.ID).State, engine.StateRunning)
	b.equal("Get", b.get(ended.ID), ended)
}

func staleIsAlone(b *bench) {
	first, second := b.started(keyed("k")), b.started()
	next := b.submit(keyed("k"))
	wrong := b.ending(first, engine.StateSucceeded)
	wrong.Attempt++
	submitted := b.submission()
	g := b.commit(&engine.Group{
		Settles: []*engine.SettleChange{wrong, b.ending(second, engine.StateSucceeded), b.ending(first, engine.StateFailed)},
		Submits: []*engine.SubmitChange{submitted},
		Claims:  []*engine.ClaimChange{{MessageType: work, Limit: 9}},
	})
	b.equal("stale", []bool{errors.Is(g.Settles[0].Err, engine.ErrStale), g.Settles[1].Err != nil, g.Settles[2].Err != nil}, []bool{true, false, false})
	b.equal("the first", b.get(first.ID).State, engine.StateFailed)
	b.equal("the second", b.get(second.ID).State, engine.StateSucceeded)
	b.equal("claimed", idsOf(g.Claims[0].Messages), []engine.ID{next, submitted.Message.ID})
}

func settledTwice(b *bench) {
	m := b.started(answered("r"))
	g := b.commit(&engine.Group{Settles: []*engine.SettleChange{b.ending(m, engine.StateFailed), b.ending(m, engine.StateSucceeded)}})
	if g.Settles[0].Err != nil || !errors.Is(g.Settles[1].Err, engine.ErrStale) {
		b.Errorf("the first: %v, the second: %v", g.Settles[0].Err, g.Settles[1].Err)
	}
	b.equal("State", b.get(m.ID).State, engine.StateFailed)
	b.equal("Published", len(g.Published), 1)
}

func unstarted(b *bench) {
	for _, state := range []engine.State{engine.StateQueued, engine.StateCancelled} {
		b.settle(b.ending(b.started(), engine.StateQueued))
		m := one(b, b.claim(1))
		b.equal("Attempt", m.Attempt, 2)
		change := b.ending(m, state)
		change.Unstarted = true
		b.settle(change)
		got := b.get(m.ID)
		b.equal("Attempt of one "+string(state), got.Attempt, 1)
		b.equal("State", got.State, state)
		if state == engine.StateQueued {
			b.equal("the next Attempt", b.end(b.claimed(m.ID)[0], engine.StateFailed).Attempt, 2)
		}
	}
}

// past makes attempts that were made.
func (b *bench) past(n int) []engine.Attempt {
	var all []engine.Attempt
	for i := range n {
		all = append(all, engine.Attempt{
			Number: i + 1, State: engine.StateRetrying, StartedAt: b.in(-time.Hour), FinishedAt: b.in(-time.Minute),
			Error: &engine.Error{Code: "broken", Message: "it broke: \x00 ü"},
		})
	}
	if n > 1 {
		all[1].State, all[1].Error = engine.StateScheduled, nil
	}
	return all
}

func settledAsLost(b *bench) {
	b.submit()
	for i, state := range []engine.State{engine.StateQueued, engine.StateRetrying, engine.StateQueued, engine.StateFailed} {
		change := b.ending(one(b, b.claim(1)), state)
		change.Lost, change.DueAt = true, b.now
		b.settle(change)
		b.equal("Lost", b.get(change.ID).Lost, i+1)
		b.commit(&engine.Group{Due: 1})
	}
}

func attemptsReplaced(b *bench) {
	b.submit()
	for _, n := range []int{1, 20, 2, 0} {
		change := b.ending(one(b, b.claim(1)), engine.StateQueued)
		change.Attempts, change.Uncounted = append([]engine.Attempt{}, b.past(n)...), n*2
		b.settle(change)
		m := b.get(change.ID)
		b.equal("Attempts", m.Attempts, b.past(n))
		b.equal("Uncounted", m.Uncounted, n*2)
	}
}

func attemptsStay(b *bench) {
	change := b.ending(b.started(), engine.StateQueued)
	change.Attempts, change.Uncounted = b.past(3), 2
	b.settle(change)
	b.equal("Attempts of the claimed", one(b, b.claim(1)).Attempts, b.past(3))
	m := b.get(change.ID)
	b.settle(b.ending(m, engine.StateFailed))
	m = b.get(change.ID)
	b.equal("Attempts", m.Attempts, b.past(3))
	b.equal("Uncounted", m.Uncounted, 0)
}

// attemptsCopied: who remembers attempts shifts them in place.
func attemptsCopied(b *bench) {
	change := b.ending(b.started(), engine.StateQueued)
	change.Attempts = b.past(3)
	b.settle(change)
	change.Attempts[0].Number = 99
	returned := [][]engine.Attempt{b.get(change.ID).Attempts, one(b, b.list(engine.ListOptions{Limit: 1})).Attempts, one(b, b.claim(1)).Attempts}
	for _, attempts := range returned {
		b.equal("Attempts", attempts, b.past(3))
		attempts[0].Number = 99
	}
	retry := &engine.RetryChange{ID: change.ID, Attempt: 2, Attempts: b.past(2)}
	b.end(b.get(change.ID), engine.StateFailed)
	b.commit(&engine.Group{Retries: []*engine.RetryChange{retry}})
	b.equal("Attempts of the change", retry.Message.Attempts, b.past(2))
	retry.Attempts[0].Number, retry.Message.Attempts[0].Number = 99, 99
	b.equal("Attempts of the retried", b.get(change.ID).Attempts, b.past(2))
}

func dataDropped(b *bench) {
	m := b.end(b.started(), engine.StateSucceeded)
	b.equal("MessageBytes", m.MessageBytes, 4)
	b.equal("Size", m.Size, 512)
	for _, state := range engine.TerminalStates() {
		if state != engine.StateSucceeded {
			b.retry(b.end(b.started(), state))
			b.equal("data of one "+string(state), one(b, b.claim(1)).MessageData, []byte("data"))
		}
	}
}

func causeIsNotKept(b *bench) {
	change := b.ending(b.started(answered("r")), engine.StateFailed)
	change.Error.Cause = engine.ErrClosed
	g := b.settle(change)
	for _, failure := range []*engine.Error{b.get(change.ID).Error, one(b, g.Published).Error, one(b, b.log(1, 9, forever)).Error} {
		if failure == nil || failure.Cause != nil || failure.Code != change.Error.Code || failure.Message != change.Error.Message {
			b.Errorf("Error is %#v", failure)
		}
	}
}

func putOff(b *bench) {
	for _, state := range []engine.State{engine.StateRetrying, engine.StateScheduled} {
		change := b.ending(b.started(), state)
		change.DueAt = b.in(time.Hour)
		g := b.settle(change)
		b.equal("NextDue", g.NextDue, change.DueAt)
		b.later(time.Hour - time.Microsecond)
		b.wake()
		b.claimed()
		b.later(time.Microsecond)
		b.equal("NextDue", b.wake().NextDue, time.Time{})
		m := b.get(change.ID)
		b.equal("State", m.State, engine.StateQueued)
		b.equal("DueAt", m.DueAt, time.Time{})
		b.equal("QueuedAt", m.QueuedAt, b.now)
		b.equal("Attempt", b.claimed(m.ID)[0].Attempt, 2)
	}
}

func putOffTillNow(b *bench) {
	change := b.ending(b.started(), engine.StateRetrying)
	change.DueAt = b.now
	g := b.commit(&engine.Group{
		Settles: []*engine.SettleChange{change},
		Due:     1,
		Claims:  []*engine.ClaimChange{{MessageType: work, Limit: 1}},
	})
	b.equal("claimed", idsOf(g.Claims[0].Messages), []engine.ID{change.ID})
}

func resultIsKept(b *bench, data []byte) {
	change := b.ending(b.started(answered("r")), engine.StateSucceeded)
	change.Result = engine.Result{Data: data, ContentType: "application/x"}
	g := b.settle(change)
	m := b.get(change.ID)
	b.equal("Get", m.Result, change.Result)
	b.equal("ResultBytes", m.ResultBytes, len(data))
	b.equal("Published", one(b, g.Published).Result, change.Result)
	b.equal("Notifications", one(b, b.log(1, 1, 1)).Result, change.Result)
	listed := one(b, b.list(engine.ListOptions{Limit: 1}))
	b.equal("List", listed.Result, engine.Result{ContentType: "application/x"})
	b.equal("ResultBytes of List", listed.ResultBytes, len(data))
}
