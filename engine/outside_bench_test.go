package engine_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/activemessage/activemessage/engine"
)

// BenchmarkConsumer measures what a consumer takes and settles of messages that wait, in
// memory and, in turns, with a store that syncs every outcome: the most that any worker
// outside can have.
func BenchmarkConsumer(b *testing.B) {
	for _, window := range []int{1, 16, 64, 512} {
		b.Run(fmt.Sprintf("window=%d", window), func(b *testing.B) {
			memory := newConsuming(b, engine.Config{QueueLimit: 1 << 20, QueueBytes: 1 << 30})
			durable := newConsuming(b, openStore(b, engine.Retention{}))
			const round = 5_000
			b.ResetTimer()
			for done := 0; done < b.N; done += round {
				n := min(round, b.N-done)
				memory.run(b, n, window)
				durable.run(b, n, window)
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(float64(b.N)/memory.spent.Seconds(), "msg/s")
			b.ReportMetric(float64(b.N)/durable.spent.Seconds(), "durable-msg/s")
		})
	}
}

// consuming is an engine whose messages a consumer takes.
type consuming struct {
	engine   *engine.Engine
	consumer *engine.Consumer
	spent    time.Duration
}

func newConsuming(b *testing.B, cfg engine.Config) *consuming {
	e := start(b, cfg)
	outside(b, e, engine.Policy{}, "far")
	return &consuming{engine: e, consumer: consume(b, e, 0, "far")}
}

// run submits n messages, and measures how long a consumer with so many slots takes to
// settle them all.
func (c *consuming) run(b *testing.B, n, window int) {
	b.Helper()
	b.StopTimer()
	var submitting sync.WaitGroup
	for i := range 64 {
		submitting.Go(func() {
			for range (n + 63 - i) / 64 {
				submit(b, c.engine, engine.Submission{MessageType: "far", MessageData: make([]byte, 200)})
			}
		})
	}
	submitting.Wait()
	b.StartTimer()
	began := time.Now()
	c.consumer.Resize(window)
	var last *engine.Stored
	for settled := 0; settled < n; {
		w, err := c.consumer.Next(context.Background())
		if err != nil {
			b.Fatal(err)
		}
		for _, job := range w.Jobs {
			if last, err = c.engine.Settle(leaseOf(job), engine.Result{Data: job.Message.MessageData}, nil); err != nil {
				b.Fatal(err)
			}
		}
		settled += len(w.Jobs)
	}
	if err := last.Wait(context.Background()); err != nil {
		b.Fatal(err)
	}
	c.spent += time.Since(began)
	c.consumer.Resize(0)
}
