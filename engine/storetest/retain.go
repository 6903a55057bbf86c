package storetest

import (
	"errors"
	"time"

	"github.com/activemessage/activemessage/engine"
)

func retaining() []promise {
	all := []promise{
		{"without bounds nothing is forgotten", retainAll},
		{"what has not ended is never forgotten", retainUnended},
		{"a message that is retried counts from its next end", retainRetried},
		{"no more than the limit in a step, the oldest first", retainSteps},
		{"messages beyond the bytes are forgotten, the oldest first", retainBytes},
		{"notifications beyond the bytes are forgotten, the oldest first", retainLogBytes},
		{"notifications are forgotten by age, the oldest first", retainLogAge},
		{"a notification has its result when its message is forgotten", notificationOutlives},
		{"a message has its result when its notification is forgotten", messageOutlives},
		{"Next is the next of all that will be too old", retainNext},
	}
	for _, state := range engine.TerminalStates() {
		all = append(all, promise{"a message that " + string(state) + " is forgotten by its own bound", func(b *bench) { retainByState(b, state) }})
	}
	return all
}

// retain takes all steps, of 100.
func (b *bench) retain(r engine.Retention) engine.Retained {
	b.Helper()
	var sum engine.Retained
	for {
		step := b.retainStep(r, 100)
		sum.Messages += step.Messages
		sum.Notifications += step.Notifications
		if !step.More {
			sum.First, sum.Next = step.First, step.Next
			return sum
		}
	}
}

func (b *bench) retainStep(r engine.Retention, limit int) engine.Retained {
	b.Helper()
	step, err := b.store.Retain(b.Context(), r, b.now, limit)
	if err != nil {
		b.Fatalf("Retain: %v", err)
	}
	if step.Messages+step.Notifications > limit || step.More && step.Messages+step.Notifications == 0 {
		b.Fatalf("a step of %d at most came to %+v", limit, step)
	}
	b.equal("Retained.First", step.First, b.load().First)
	return step
}

// gone reports whether a message is forgotten.
func (b *bench) gone(id engine.ID) bool {
	b.Helper()
	_, err := b.store.Get(b.Context(), id)
	if err != nil && !errors.Is(err, engine.ErrNotFound) {
		b.Fatalf("Get: %v", err)
	}
	return err != nil
}

// bound bounds the messages that ended in one state.
func bound(state engine.State, keep engine.Keep) engine.Retention {
	switch state {
	case engine.StateSucceeded:
		return engine.Retention{Succeeded: keep}
	case engine.StateFailed:
		return engine.Retention{Failed: keep}
	case engine.StateCancelled:
		return engine.Retention{Cancelled: keep}
	}
	return engine.Retention{Expired: keep}
}

func retainAll(b *bench) {
	b.publish(3, 1000)
	b.later(100_000 * time.Hour)
	b.equal("Retain", b.retain(engine.Retention{}), engine.Retained{First: 1})
	b.equal("messages", len(b.list(engine.ListOptions{Limit: 9})), 3)
	b.equal("notifications", len(b.log(1, 9, forever)), 3)
}

func retainByState(b *bench, state engine.State) {
	ids := make(map[engine.State]engine.ID)
	for _, s := range engine.TerminalStates() {
		ids[s] = b.end(b.started(), s).ID
	}
	r := bound(state, engine.Keep{Age: time.Hour})
	b.later(time.Hour - time.Microsecond)
	b.equal("before its time", b.retain(r), engine.Retained{First: 1, Next: b.in(time.Microsecond)})
	b.later(time.Microsecond)
	b.equal("at its time", b.retain(r), engine.Retained{Messages: 1, First: 1})
	for s, id := range ids {
		b.equal("gone, one that "+string(s), b.gone(id), s == state)
	}
	b.equal("listed", len(b.list(engine.ListOptions{Limit: 9})), 3)
	b.equal("listed of its state", b.list(engine.ListOptions{Limit: 9, State: state}), nil)
	change := &engine.RetryChange{ID: ids[state], Attempt: 1}
	b.commit(&engine.Group{Retries: []*engine.RetryChange{change}})
	if !errors.Is(change.Err, engine.ErrNotFound) {
		b.Errorf("retry of the forgotten: %v, want ErrNotFound", change.Err)
	}
}

func retainUnended(b *bench) {
	var ids []engine.ID
	for _, w := range waiting() {
		ids = append(ids, w.make(b, w.name))
		ids = append(ids, b.submit())
	}
	b.claim(2)
	before := b.load()
	b.later(1000 * time.Hour)
	tight := engine.Keep{Age: 1, Bytes: 1}
	got := b.retain(engine.Retention{Succeeded: tight, Failed: tight, Cancelled: tight, Expired: tight, Log: tight})
	b.equal("Retain", got, engine.Retained{First: 1})
	b.equal("Load", b.load(), before)
	for _, id := range ids {
		b.equal("gone", b.gone(id), false)
	}
}

func retainRetried(b *bench) {
	r := bound(engine.StateFailed, engine.Keep{Age: time.Hour})
	m := b.end(b.started(), engine.StateFailed)
	b.later(30 * time.Minute)
	b.retry(m)
	b.later(time.Hour)
	b.equal("while it is queued", b.retain(r), engine.Retained{First: 1})
	b.end(one(b, b.claim(1)), engine.StateFailed)
	b.equal("Next", b.retain(r).Next, b.in(time.Hour))
	b.later(time.Hour)
	b.equal("messages", b.retain(r).Messages, 1)
	b.equal("gone", b.gone(m.ID), true)
}

func retainSteps(b *bench) {
	states := []engine.State{engine.StateFailed, engine.StateSucceeded, engine.StateCancelled, engine.StateFailed, engine.StateSucceeded}
	messages := []engine.StoredMessage{b.started(), b.started(), b.started(), b.started(), b.started()}
	order := []int{3, 1, 0, 4, 2}
	for _, i := range order {
		b.end(messages[i], states[i])
		b.later(time.Second)
	}
	b.later(time.Hour)
	keep := engine.Keep{Age: time.Minute}
	r := engine.Retention{Succeeded: keep, Failed: keep, Cancelled: keep, Log: keep}
	for n, i := range order {
		b.equal("gone before its turn", b.gone(messages[i].ID), false)
		step := b.retainStep(r, 1)
		b.equal("a step", step, engine.Retained{Messages: 1, More: n < 4, First: 1, Next: step.Next})
		b.equal("gone", b.gone(messages[i].ID), true)
	}
	b.equal("a step when all is done", b.retainStep(r, 1), engine.Retained{First: 1})

	b.publish(5, 10)
	b.later(time.Hour)
	steps, total := 0, 0
	for more := true; more; steps++ {
		step := b.retainStep(r, 3)
		total += step.Messages + step.Notifications
		more = step.More
	}
	b.equal("of both together", total, 10)
	if steps < 4 {
		b.Errorf("%d steps of 3", steps)
	}
}

// retainBytes bounds ten messages of 10,000 bytes. What exactly a message counts for is
// the store's.
func retainBytes(b *bench) {
	var ids []engine.ID
	for range 10 {
		m := b.started(carrying(make([]byte, 10_000-508)))
		ids = append(ids, b.end(m, engine.StateFailed).ID)
		b.later(time.Second)
	}
	kept := b.end(b.started(carrying(make([]byte, 100_000))), engine.StateCancelled)
	r := bound(engine.StateFailed, engine.Keep{Bytes: 56_000})
	b.retain(bound(engine.StateFailed, engine.Keep{Bytes: 200_000}))
	b.equal("gone within the bound", b.gone(ids[0]), false)
	got := b.retain(r)
	if got.Messages < 5 || got.Messages > 7 {
		b.Errorf("%d of 10 messages were forgotten, want about 5", got.Messages)
	}
	for i, id := range ids {
		b.equal("gone", b.gone(id), i < got.Messages)
	}
	b.equal("gone of another state", b.gone(kept.ID), false)
	b.equal("again", b.retain(r).Messages, 0)
	b.equal("Next", got.Next, time.Time{})
	b.retry(b.get(ids[9]))
	b.equal("when one has left", b.retain(bound(engine.StateFailed, engine.Keep{Bytes: 1})).Messages, 9-got.Messages)
	b.equal("gone", b.gone(ids[9]), false)
}

func retainLogBytes(b *bench) {
	b.publish(10, 10_000)
	all := b.log(1, 100, forever)
	r := engine.Retention{Log: engine.Keep{Bytes: 56_000}}
	got := b.retain(r)
	if got.Messages > 0 || got.Notifications < 5 || got.Notifications > 6 {
		b.Errorf("%d messages and %d of 10 notifications were forgotten, want about 5", got.Messages, got.Notifications)
	}
	b.equal("First", got.First, uint64(got.Notifications)+1)
	b.equal("the log", b.log(0, 100, forever), all[got.Notifications:])
	b.equal("again", b.retain(r).Notifications, 0)
}

func retainLogAge(b *bench) {
	for range 3 {
		b.publish(2, 10)
		b.later(time.Minute)
	}
	r := engine.Retention{Log: engine.Keep{Age: 2 * time.Minute}}
	b.equal("Retain", b.retain(r), engine.Retained{Notifications: 4, First: 5, Next: b.in(time.Minute)})
	page, first, err := b.store.Notifications(b.Context(), 2, 1, forever)
	b.equal("Err", err, nil)
	b.equal("the oldest", []uint64{one(b, page).Number, first, b.load().First, b.load().Last}, []uint64{5, 5, 5, 6})
	b.later(time.Hour)
	b.equal("Retain", b.retain(r), engine.Retained{Notifications: 2, First: 7})
	b.equal("messages", len(b.list(engine.ListOptions{Limit: 100})), 6)
	b.publish(1, 1)
	b.equal("the next", one(b, b.log(0, 9, forever)).Number, 7)
}

func notificationOutlives(b *bench) {
	for range 2 {
		b.publish(1, 100_000)
		b.later(time.Minute)
	}
	want := b.log(1, 9, forever)
	b.equal("messages", b.retain(bound(engine.StateSucceeded, engine.Keep{Age: 90 * time.Second})).Messages, 1)
	b.equal("the log", b.log(1, 9, forever), want)
}

func messageOutlives(b *bench) {
	b.publish(1, 100_000)
	want := b.get(newID(1))
	b.later(time.Hour)
	b.equal("notifications", b.retain(engine.Retention{Log: engine.Keep{Age: time.Minute}}).Notifications, 1)
	b.equal("Get", b.get(want.ID), want)
	b.equal("ResultBytes", want.ResultBytes, 100_000)
}

func retainNext(b *bench) {
	r := engine.Retention{
		Succeeded: engine.Keep{Age: 5 * time.Hour}, Failed: engine.Keep{Age: 4 * time.Hour},
		Cancelled: engine.Keep{Age: 3 * time.Hour}, Expired: engine.Keep{Age: 2 * time.Hour}, Log: engine.Keep{Age: time.Hour},
	}
	b.equal("of an empty store", b.retain(r), engine.Retained{First: 1})
	b.end(b.started(), engine.StateSucceeded)
	b.later(time.Second)
	end := b.now
	for _, state := range []engine.State{engine.StateSucceeded, engine.StateFailed, engine.StateCancelled, engine.StateExpired} {
		b.end(b.started(), state)
	}
	b.end(b.started(answered("r")), engine.StateSucceeded)
	for hour := 1; hour <= 5; hour++ {
		next := end.Add(time.Duration(hour) * time.Hour)
		if hour == 5 {
			next = next.Add(-time.Second)
		}
		b.equal("Next", b.retain(r).Next, next)
		b.now = next
	}
	b.later(time.Second)
	b.retain(r)
	b.equal("messages", b.list(engine.ListOptions{Limit: 9}), nil)
}
