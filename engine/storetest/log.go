package storetest

import (
	"bytes"
	"fmt"
	"time"

	"github.com/activemessage/activemessage/engine"
)

func logs() []promise {
	all := []promise{
		{"who has no prefix is not published", notPublished},
		{"refusals are published as they are", refusals},
		{"numbers go on from group to group, without holes", numbers},
		{"the log is read from any number on, in pages", logPages},
		{"a page has no more than about so many bytes, but always one", logBytes},
		{"past the end there is nothing", pastTheEnd},
	}
	for _, state := range engine.TerminalStates() {
		all = append(all, promise{"a notification has all of a message that " + string(state), func(b *bench) { published(b, state) }})
	}
	return all
}

// notification is what is published of a message.
func (b *bench) notification(m engine.StoredMessage, number uint64) engine.Notification {
	return engine.Notification{
		Number: number, Time: m.FinishedAt, ID: m.ID, MessageType: m.MessageType, ResponseNotification: m.ResponseNotification,
		State: m.State, Error: m.Error, Result: m.Result, Origin: m.Origin,
	}
}

// refusal is a notification of a message that was not accepted.
func (b *bench) refusal() *engine.Notification {
	return &engine.Notification{
		Time: b.now, MessageType: "unheard", ResponseNotification: "refused", State: engine.StateFailed,
		Error:  &engine.Error{Code: engine.CodeUnknownType, Message: "no handler"},
		Origin: &engine.Origin{CloudEvent: &engine.CloudEvent{ID: "1", Source: "/s", Type: "t", Time: b.now}},
	}
}

// publish makes as many notifications, with results of so many bytes.
func (b *bench) publish(n, size int) {
	b.Helper()
	for range n {
		change := b.ending(b.started(answered("r")), engine.StateSucceeded)
		change.Result.Data = bytes.Repeat([]byte{byte(b.last)}, size)
		b.settle(change)
	}
}

func notPublished(b *bench) {
	for _, state := range engine.TerminalStates() {
		b.end(b.started(), state)
	}
	b.cancel(b.submit())
	b.submit(expires(b.in(time.Minute)))
	b.later(time.Hour)
	b.equal("Published", b.wake().Published, nil)
	b.equal("the log", b.log(0, 9, forever), nil)
}

func published(b *bench, state engine.State) {
	m := b.started(answered("a:b(c)"), func(m *engine.StoredMessage) {
		m.Origin = &engine.Origin{
			Traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", Tracestate: "a=b",
			CloudEvent: &engine.CloudEvent{ID: "1", Source: "/s", Type: "t", Subject: "u", Time: b.in(-time.Hour)},
		}
	})
	change := b.ending(m, state)
	change.FinishedAt = b.in(-time.Minute)
	if state == engine.StateSucceeded {
		change.Result = engine.Result{Data: []byte{0, 0xff}, ContentType: "application/x"}
	}
	g := b.settle(change)
	want := []engine.Notification{b.notification(b.get(m.ID), 1)}
	b.equal("Time", want[0].Time, b.in(-time.Minute))
	b.equal("Published", g.Published, want)
	b.equal("Notifications", b.log(1, 9, forever), want)
}

func refusals(b *bench) {
	first, second := b.refusal(), b.refusal()
	second.Error = &engine.Error{Code: "other", Message: "no handler either", Cause: engine.ErrUnknownType}
	g := b.commit(&engine.Group{Refusals: []*engine.Notification{first, second}})
	want := []engine.Notification{*first, *second}
	want[0].Number, want[1].Number = 1, 2
	b.equal("Published", g.Published, want)
	b.equal("Notifications", b.log(1, 9, forever), want)
	if cause := one(b, b.log(2, 1, forever)).Error.Cause; cause != nil {
		b.Errorf("the cause is kept: %v", cause)
	}
	b.equal("messages", b.list(engine.ListOptions{Limit: 9}), nil)
	b.equal("LastSequence", b.load().LastSequence, 0)
}

func numbers(b *bench) {
	var want []engine.Notification
	for i := range 5 {
		g := &engine.Group{}
		for j := range i {
			refusal := b.refusal()
			refusal.ResponseNotification = fmt.Sprintf("%d/%d", i, j)
			g.Refusals = append(g.Refusals, refusal)
		}
		b.commit(g)
		stale := &engine.SettleChange{ID: newID(forever), Attempt: 1, State: engine.StateFailed, FinishedAt: b.now}
		b.commit(&engine.Group{Settles: []*engine.SettleChange{stale}})
		want = append(want, g.Published...)
	}
	b.equal("Notifications", b.log(1, 100, forever), want)
	b.equal("the last", want[9].Number, 10)
}

func logPages(b *bench) {
	b.publish(7, 1)
	all := b.log(1, 100, forever)
	b.equal("all", len(all), 7)
	for _, limit := range []int{1, 3, 7, 8} {
		for from := range uint64(8) {
			b.equal(fmt.Sprintf("from %d, %d at most", from, limit), b.log(from, limit, forever), all[max(from, 1)-1:])
		}
		page, first, err := b.store.Notifications(b.Context(), 2, limit, forever)
		b.equal("Err", err, nil)
		b.equal("first", first, 1)
		b.equal("a page", page, all[1:min(1+limit, 7)])
	}
}

func logBytes(b *bench) {
	b.publish(9, 1000)
	all := b.log(1, 100, forever)
	for maxBytes, want := range map[int64]struct{ least, most int }{1: {1, 2}, 999: {1, 2}, 3500: {3, 4}, 9000: {8, 9}} {
		page, _, err := b.store.Notifications(b.Context(), 1, 100, maxBytes)
		if err != nil || len(page) < want.least || len(page) > want.most {
			b.Errorf("%d bytes: %d notifications, want %d to %d; %v", maxBytes, len(page), want.least, want.most, err)
		}
		b.equal("all", b.log(1, 100, maxBytes), all)
	}
}

func pastTheEnd(b *bench) {
	expect := func(from, want uint64) {
		b.Helper()
		page, first, err := b.store.Notifications(b.Context(), from, 9, forever)
		if len(page) > 0 || first != want || err != nil {
			b.Errorf("from %d: %d notifications, first is %d, want %d; %v", from, len(page), first, want, err)
		}
	}
	expect(0, 1)
	expect(1, 1)
	b.publish(3, 1)
	expect(4, 1)
	expect(1<<40, 1)
	b.later(time.Hour)
	b.retain(engine.Retention{Log: engine.Keep{Age: time.Minute}})
	expect(0, 4)
	expect(4, 4)
}
