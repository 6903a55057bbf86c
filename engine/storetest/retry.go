package storetest

import (
	"errors"
	"time"

	"github.com/activemessage/activemessage/engine"
)

func retrying() []promise {
	all := []promise{
		{"a message that has not ended, or succeeded, is not retried", notRetryable},
		{"an unknown message is not found", retryUnknown},
		{"of two at once one is made", retryTwice},
		{"a message that has another attempt is not retried", retryStale},
		{"a retried message ends again, with another notification", retriedEndsAgain},
		{"one that is cancelled in the group is retried in it", retryCancelled},
		{"a retried message does not expire", retriedDoesNotExpire},
	}
	for _, state := range []engine.State{engine.StateFailed, engine.StateCancelled, engine.StateExpired} {
		all = append(all, promise{"a message that is " + string(state) + " is queued again", func(b *bench) { retried(b, state) }})
	}
	return all
}

func retried(b *bench, state engine.State) {
	change := b.ending(b.started(expires(b.in(time.Hour))), engine.StateQueued)
	change.Attempts, change.Uncounted = b.past(1), 1
	b.settle(change)
	m := one(b, b.claim(1))
	change = b.ending(m, state)
	change.Result = engine.Result{Data: []byte("half"), ContentType: "text/plain"}
	b.settle(change)
	want := b.get(m.ID)

	b.later(time.Second)
	again := &engine.RetryChange{ID: m.ID, Attempt: 2, Attempts: b.past(2)}
	g := b.commit(&engine.Group{Retries: []*engine.RetryChange{again}})
	want.State, want.QueuedAt, want.Error, want.Result, want.ResultBytes = engine.StateQueued, b.now, nil, engine.Result{}, 0
	want.FinishedAt, want.ExpiresAt = time.Time{}, time.Time{}
	want.Attempts, want.Uncounted = b.past(2), 2
	b.equal("Err", again.Err, nil)
	b.equal("Message", again.Message, want)
	b.equal("Get", b.get(m.ID), want)
	b.equal("Counts", g.Counts, map[string]engine.Counts{work: {Queued: 1, Ready: 1, Bytes: want.Size}})
	b.equal("NextDue", g.NextDue, time.Time{})
	b.equal("Attempt", b.claimed(m.ID)[0].Attempt, 3)
}

// notRetried tries to retry what it cannot.
func (b *bench) notRetried(id engine.ID, attempt int, want error) {
	b.Helper()
	m := b.get(id)
	change := &engine.RetryChange{ID: id, Attempt: attempt, Attempts: b.past(1)}
	b.commit(&engine.Group{Retries: []*engine.RetryChange{change}})
	if !errors.Is(change.Err, want) {
		b.Errorf("Err is %v, want %v", change.Err, want)
	}
	b.equal("Message", change.Message, m)
	b.equal("Get", b.get(id), m)
}

func notRetryable(b *bench) {
	b.notRetried(b.submit(), 0, engine.ErrNotRetryable)
	b.notRetried(b.submit(due(b.in(time.Hour))), 0, engine.ErrNotRetryable)
	b.notRetried(b.started().ID, 1, engine.ErrNotRetryable)
	b.notRetried(b.end(b.started(), engine.StateSucceeded).ID, 1, engine.ErrNotRetryable)
	change := b.ending(b.started(), engine.StateRetrying)
	change.DueAt = b.in(time.Hour)
	b.settle(change)
	b.notRetried(change.ID, 1, engine.ErrNotRetryable)
}

func retryUnknown(b *bench) {
	unknown := &engine.RetryChange{ID: newID(forever)}
	b.commit(&engine.Group{Retries: []*engine.RetryChange{unknown}})
	if !errors.Is(unknown.Err, engine.ErrNotFound) {
		b.Errorf("Err is %v, want ErrNotFound", unknown.Err)
	}
	b.equal("Message", unknown.Message, engine.StoredMessage{})
}

func retryTwice(b *bench) {
	m := b.end(b.started(), engine.StateFailed)
	first, second := &engine.RetryChange{ID: m.ID, Attempt: 1}, &engine.RetryChange{ID: m.ID, Attempt: 1}
	b.commit(&engine.Group{Retries: []*engine.RetryChange{first, second}})
	if first.Err != nil || !errors.Is(second.Err, engine.ErrNotRetryable) {
		b.Errorf("the first: %v, the second: %v", first.Err, second.Err)
	}
	b.equal("the second's State", second.Message.State, engine.StateQueued)
	b.claimed(m.ID)
}

func retryStale(b *bench) {
	m := b.end(b.started(), engine.StateFailed)
	b.notRetried(m.ID, 0, engine.ErrStale)
	b.notRetried(m.ID, 2, engine.ErrStale)
}

func retriedEndsAgain(b *bench) {
	m := b.end(b.started(answered("r")), engine.StateFailed)
	b.retry(m)
	change := b.ending(one(b, b.claim(1)), engine.StateSucceeded)
	change.Result.Data = []byte("at last")
	b.settle(change)
	ended := b.log(1, 9, forever)
	b.equal("notifications", len(ended), 2)
	b.equal("the first", ended[0], b.notification(m, 1))
	b.equal("the second", ended[1], b.notification(b.get(m.ID), 2))
}

func retryCancelled(b *bench) {
	id := b.submit(answered("r"))
	change := &engine.RetryChange{ID: id}
	g := b.commit(&engine.Group{Cancels: []*engine.CancelChange{{ID: id}}, Retries: []*engine.RetryChange{change}})
	b.equal("Err", change.Err, nil)
	b.equal("what Cancels says", g.Cancels[0].Message.State, engine.StateCancelled)
	b.equal("Published", len(g.Published), 1)
	b.claimed(id)
}

func retriedDoesNotExpire(b *bench) {
	id := b.submit(expires(b.in(time.Minute)))
	b.later(time.Hour)
	b.wake()
	m := b.get(id)
	b.equal("State", m.State, engine.StateExpired)
	b.retry(m)
	b.equal("Ended", b.wake().Ended, nil)
	b.claimed(id)
}
