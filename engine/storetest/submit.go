package storetest

import (
	"bytes"
	"fmt"
	"time"

	"github.com/activemessage/activemessage/engine"
)

func submitting() []promise {
	all := []promise{
		{"times are kept to the microsecond", timesAreKept},
		{"a queued message is queued now", queuedNow},
		{"a scheduled message waits for its time", scheduledWaits},
		{"a born claimed message is the owner's, as its attempt 1", bornClaimed},
		{"a born claimed message whose key is taken is queued", bornBehindItsKey},
		{"of two born claimed messages of a key in one group the first runs", bornOfOneKey},
		{"a scheduled message is not born claimed", scheduledIsNotClaimed},
	}
	for _, c := range contents() {
		all = append(all, promise{"a message is kept with " + c.name, func(b *bench) { kept(b, c.with) }})
	}
	return all
}

// content is what a message can have in it.
type content struct {
	name string
	with with
}

func contents() []content {
	all := []content{
		{"metadata", func(m *engine.StoredMessage) {
			m.Metadata = map[string]string{"a": "1", "": "empty name", "empty value": "", "ключ": "значение \x00 \n"}
		}},
		{"an origin", func(m *engine.StoredMessage) {
			m.Origin = &engine.Origin{Traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", Tracestate: "a=b"}
		}},
		{"a CloudEvent", func(m *engine.StoredMessage) {
			m.Origin = &engine.Origin{CloudEvent: &engine.CloudEvent{
				ID: "1", Source: "/s", Type: "t", Subject: "über", Time: time.Date(1999, 1, 2, 3, 4, 5, 6000, time.FixedZone("", 3600))}}
		}},
		{"a CloudEvent without a time", func(m *engine.StoredMessage) {
			m.Origin = &engine.Origin{CloudEvent: &engine.CloudEvent{ID: "1", Source: "/s", Type: "t"}}
		}},
		{"limits of its own", func(m *engine.StoredMessage) {
			m.Timeout, m.MaxAttempts = 1234567*time.Microsecond, 7
			m.ExpiresAt = m.AcceptedAt.Add(366 * 24 * time.Hour)
		}},
		{"a content type and a prefix", func(m *engine.StoredMessage) {
			m.ContentType, m.ResponseNotification = "text/plain; charset=utf-8", "a:b(c)\t"
		}},
		{"a key and the lowest priority", func(m *engine.StoredMessage) { m.Key, m.Priority = "k'\"%_", -9 }},
		{"the highest priority", urgent(9)},
		{"another size than that of its data", func(m *engine.StoredMessage) { m.Size = 1 << 40 }},
		{"no data", carrying(nil)},
		{"empty data", carrying([]byte{})},
	}
	for _, data := range blobs() {
		all = append(all, content{fmt.Sprintf("%d bytes of any data", len(data)), carrying(data)})
	}
	return all
}

// blobs are bytes that are not text, small and large.
func blobs() [][]byte {
	return [][]byte{
		{0, 0xff, 0xfe, '\'', 0xc3, 0x28, 0},
		bytes.Repeat([]byte{0x80, 'x', 0, '"'}, 25<<10),
		bytes.Repeat([]byte{0, 1, 2, 3, 0xfd, 0xff}, 512<<10),
	}
}

// kept follows a message from Submit to Claim.
func kept(b *bench, option with) {
	want := b.message(option)
	b.commit(&engine.Group{Submits: []*engine.SubmitChange{{Message: want}}})
	data := want.MessageData
	want.QueuedAt, want.MessageData = b.now, nil
	b.equal("Get", b.get(want.ID), want)
	b.equal("List", b.list(engine.ListOptions{Limit: 1}), []engine.StoredMessage{want})

	b.later(time.Second)
	want.State, want.Attempt, want.StartedAt, want.MessageData = engine.StateRunning, 1, b.now, data
	b.equal("Claim", b.claim(1), []engine.StoredMessage{want})
	want.MessageData = nil
	b.equal("Get of the claimed", b.get(want.ID), want)
}

func timesAreKept(b *bench) {
	b.now = b.now.Add(123 * time.Nanosecond)
	event := b.now.Add(-time.Hour)
	m := b.message(due(b.in(time.Hour)), expires(b.in(2*time.Hour)), func(m *engine.StoredMessage) {
		m.Origin = &engine.Origin{CloudEvent: &engine.CloudEvent{ID: "1", Source: "/s", Type: "t", Time: event}}
	})
	b.commit(&engine.Group{Submits: []*engine.SubmitChange{{Message: m}}})
	got := b.get(m.ID)
	for _, c := range []struct {
		name      string
		got, want time.Time
	}{
		{"AcceptedAt", got.AcceptedAt, m.AcceptedAt},
		{"DueAt", got.DueAt, m.DueAt},
		{"ExpiresAt", got.ExpiresAt, m.ExpiresAt},
		{"the CloudEvent's", got.Origin.CloudEvent.Time, event},
	} {
		if d := c.got.Sub(c.want).Abs(); d >= time.Microsecond {
			b.Errorf("%s is %v, want %v", c.name, c.got, c.want)
		}
	}
}

func queuedNow(b *bench) {
	submitted := b.message(func(m *engine.StoredMessage) { m.AcceptedAt = b.in(-time.Minute) })
	g := b.commit(&engine.Group{Submits: []*engine.SubmitChange{{Message: submitted}}})
	m := b.get(submitted.ID)
	b.equal("QueuedAt", m.QueuedAt, b.now)
	b.equal("AcceptedAt", m.AcceptedAt, b.in(-time.Minute))
	b.equal("Counts", g.Counts, map[string]engine.Counts{work: {Queued: 1, Ready: 1, Bytes: m.Size}})
	b.equal("Published", g.Published, nil)
}

func scheduledWaits(b *bench) {
	id := b.submit(due(b.in(time.Hour)))
	m := b.get(id)
	b.equal("State", m.State, engine.StateScheduled)
	b.equal("QueuedAt", m.QueuedAt, time.Time{})
	b.equal("DueAt", m.DueAt, b.in(time.Hour))
	b.equal("Counts", b.load().Counts, map[string]engine.Counts{work: {Scheduled: 1, Bytes: m.Size}})
	b.claimed()
}

func bornClaimed(b *bench) {
	change := b.submission()
	change.Claim = true
	g := b.commit(&engine.Group{
		Submits: []*engine.SubmitChange{change},
		Claims:  []*engine.ClaimChange{{MessageType: work, Limit: 1}},
	})
	b.equal("Claimed", change.Claimed, true)
	b.equal("claimed again", g.Claims[0].Messages, nil)
	b.equal("Counts", g.Counts, map[string]engine.Counts{work: {Running: 1}})
	m := b.get(change.Message.ID)
	want := change.Message
	want.MessageData, want.State, want.Attempt, want.QueuedAt, want.StartedAt = nil, engine.StateRunning, 1, b.now, b.now
	b.equal("Get", m, want)
	b.end(m, engine.StateSucceeded)
}

func bornBehindItsKey(b *bench) {
	first := b.started(keyed("k"))
	change := b.submission(keyed("k"))
	change.Claim = true
	b.commit(&engine.Group{Submits: []*engine.SubmitChange{change}})
	b.equal("Claimed", change.Claimed, false)
	b.equal("State", b.get(change.Message.ID).State, engine.StateQueued)
	b.claimed()
	b.end(first, engine.StateFailed)
	b.claimed(change.Message.ID)
}

func bornOfOneKey(b *bench) {
	changes := []*engine.SubmitChange{b.submission(keyed("k")), b.submission(keyed("k")), b.submission(keyed("l"))}
	for _, change := range changes {
		change.Claim = true
	}
	b.commit(&engine.Group{Submits: changes})
	b.equal("Claimed", []bool{changes[0].Claimed, changes[1].Claimed, changes[2].Claimed}, []bool{true, false, true})
}

func scheduledIsNotClaimed(b *bench) {
	change := b.submission(due(b.in(time.Hour)))
	change.Claim = true
	b.commit(&engine.Group{Submits: []*engine.SubmitChange{change}})
	b.equal("Claimed", change.Claimed, false)
	b.equal("State", b.get(change.Message.ID).State, engine.StateScheduled)
}
