package engine_test

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/activemessage/activemessage/engine"
)

// benchWorkers is the pool of the original design's benchmark.
const benchWorkers = 4

// BenchmarkMessage measures a message from Submit over its handler and outcome
// to the notification in a subscriber's hands, with the default configuration,
// against the same journey through bare channels. Both run in turns within one
// benchmark; the ratio is what to look at.
func BenchmarkMessage(b *testing.B) {
	for _, c := range []struct{ types, underway int }{{1, 1}, {1, 4}, {1, 64}, {100, 64}, {1, 256}} {
		b.Run(fmt.Sprintf("types=%d/underway=%d", c.types, c.underway), func(b *testing.B) {
			subject := newEngineJourney(b, c.types, c.underway)
			floor := newChannelJourney(b, c.underway)
			runJourneys(b, subject, floor)
		})
	}
}

// BenchmarkTypes measures 100 registered types against 1, in turns.
func BenchmarkTypes(b *testing.B) {
	runJourneys(b, newEngineJourney(b, 100, 64), newEngineJourney(b, 1, 64))
}

// sampling is of how many messages one has its latency taken: reading the clock
// twice for each would be a tenth of what is measured.
const sampling = 8

// journey is one way to get messages done: send starts the message of a slot,
// receive waits and reports the slots that are done.
type journey struct {
	underway int
	send     func(slot int)
	receive  func(done func(slot int))
	sentAt   []time.Time
	latency  []time.Duration
	spent    time.Duration
}

// runJourneys runs b.N messages through both journeys, in alternating rounds.
func runJourneys(b *testing.B, subject, floor *journey) {
	const round = 20_000
	b.ReportAllocs()
	for done := 0; done < b.N; done += round {
		n := min(round, b.N-done)
		subject.run(n)
		b.StopTimer()
		floor.run(n)
		b.StartTimer()
	}
	b.ReportMetric(float64(b.N)/subject.spent.Seconds(), "msg/s")
	b.ReportMetric(float64(floor.spent)/float64(subject.spent), "ratio-to-floor")
	slices.Sort(subject.latency)
	b.ReportMetric(float64(subject.latency[len(subject.latency)/2].Nanoseconds())/1e3, "p50-µs")
	b.ReportMetric(float64(subject.latency[len(subject.latency)*99/100].Nanoseconds())/1e3, "p99-µs")
}

func (j *journey) run(n int) {
	start := time.Now()
	free := make([]int, j.underway)
	for i := range free {
		free[i] = i
	}
	for sent, done := 0, 0; done < n; {
		for ; sent < n && len(free) > 0; sent++ {
			slot := free[len(free)-1]
			free = free[:len(free)-1]
			if sent%sampling == 0 {
				j.sentAt[slot] = time.Now()
			}
			j.send(slot)
		}
		j.receive(func(slot int) {
			if !j.sentAt[slot].IsZero() {
				j.latency = append(j.latency, time.Since(j.sentAt[slot]))
				j.sentAt[slot] = time.Time{}
			}
			free = append(free, slot)
			done++
		})
	}
	j.spent += time.Since(start)
}

func newJourney(underway int) *journey {
	return &journey{underway: underway, sentAt: make([]time.Time, underway)}
}

func newEngineJourney(b *testing.B, types, underway int) *journey {
	b.Helper()
	e, err := engine.New(engine.Config{Concurrency: benchWorkers})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := e.Drain(context.Background()); err != nil {
			b.Error(err)
		}
	})
	names := make([]string, types)
	for i := range names {
		names[i] = fmt.Sprintf("type_%d", i)
		echo := engine.HandlerFunc(func(_ context.Context, m *engine.Message) (engine.Result, error) {
			return engine.Result{Data: m.MessageData, ContentType: m.ContentType}, nil
		})
		if err := e.Register(names[i], echo, engine.Policy{}); err != nil {
			b.Fatal(err)
		}
	}
	sub, err := e.Subscribe(engine.Selector{ResponseNotification: "request_*"}, engine.Cursor{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(sub.Close)
	prefixes := make([]string, underway)
	for i := range prefixes {
		prefixes[i] = fmt.Sprintf("request_%d", i)
	}
	data := []byte(`{"user":42,"note":"a message of ordinary size for this kind of server, about 100 bytes of JSON"}`)
	ctx := context.Background()
	j := newJourney(underway)
	next := 0
	j.send = func(slot int) {
		next++
		_, err := e.Submit(ctx, engine.Submission{
			MessageType:          names[next%types],
			MessageData:          data,
			ContentType:          "application/json",
			ResponseNotification: prefixes[slot],
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	j.receive = func(done func(int)) {
		d, err := sub.Next(ctx)
		if err != nil {
			b.Fatal(err)
		}
		for i := range d.Notifications {
			slot, err := strconv.Atoi(d.Notifications[i].ResponseNotification[len("request_"):])
			if err != nil || !d.Notifications[i].OK() {
				b.Fatal(d.Notifications[i].String())
			}
			done(slot)
		}
	}
	return j
}

// newChannelJourney is the floor: a channel, four goroutines that look a handler
// up in a map and call it, a channel back.
func newChannelJourney(b *testing.B, underway int) *journey {
	type message struct {
		messageType string
		data        []byte
		slot        int
	}
	in, out := make(chan message, underway), make(chan message, underway)
	handlers := map[string]func([]byte) []byte{"echo": func(data []byte) []byte { return data }}
	for range benchWorkers {
		go func() {
			for m := range in {
				m.data = handlers[m.messageType](m.data)
				out <- m
			}
		}()
	}
	b.Cleanup(func() { close(in) })
	data := make([]byte, 100)
	j := newJourney(underway)
	j.send = func(slot int) { in <- message{"echo", data, slot} }
	j.receive = func(done func(int)) {
		done((<-out).slot)
		for {
			select {
			case m := <-out:
				done(m.slot)
			default:
				return
			}
		}
	}
	return j
}
