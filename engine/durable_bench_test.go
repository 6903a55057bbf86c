package engine_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/activemessage/activemessage/engine"
)

// BenchmarkDurable measures messages from Submit to the notification in a subscriber's
// hands, with 200 bytes of data and everything synced to the disk before it is
// answered: against the same in memory, and against the floor of a file to which the
// same two records a message are appended and synced, grouped in the same way. All run
// in turns.
func BenchmarkDurable(b *testing.B) {
	for _, submitters := range []int{1, 64, 512} {
		b.Run(fmt.Sprintf("submitters=%d", submitters), func(b *testing.B) {
			durable := newProducers(b, submitters, openStore(b, engine.Retention{}))
			memory := newProducers(b, submitters, engine.Config{QueueLimit: 1 << 20, QueueBytes: 1 << 30, LogLimit: 1 << 20, LogBytes: 1 << 30})
			floor := newAppendingProducers(b, submitters)
			rounds := [...]*producers{durable, memory, floor}
			b.ResetTimer()
			const round = 20_000
			for done := 0; done < b.N; done += round {
				for _, r := range rounds {
					r.run(b, min(round, b.N-done))
				}
			}
			n := float64(b.N)
			b.ReportMetric(0, "ns/op")
			stats := durable.engine.Stats().Store
			b.ReportMetric(float64(stats.Changes)/float64(stats.Commits), "changes/commit")
			b.ReportMetric(n/durable.spent.Seconds(), "msg/s")
			b.ReportMetric(n/memory.spent.Seconds(), "memory-msg/s")
			b.ReportMetric(n/floor.spent.Seconds(), "floor-msg/s")
			b.ReportMetric(float64(floor.spent)/float64(durable.spent), "ratio-to-floor")
			b.ReportMetric(durable.cpu.Seconds()/n*1e5, "CPU-s/100k")
			b.ReportMetric(memory.cpu.Seconds()/n*1e5, "memory-CPU-s/100k")
		})
	}
}

// producers is one way to get messages done by many goroutines that each submit one
// after the other.
type producers struct {
	engine *engine.Engine // nil for the floor
	count  int
	submit func()      // returns when the message is accepted
	ended  func(n int) // returns when n messages have ended
	spent  time.Duration
	cpu    time.Duration
}

func (s *producers) run(b *testing.B, n int) {
	b.Helper()
	began, used := time.Now(), cpuTime(b)
	var submitting sync.WaitGroup
	for i := range s.count {
		share := n / s.count
		if i < n%s.count {
			share++
		}
		submitting.Go(func() {
			for range share {
				s.submit()
			}
		})
	}
	s.ended(n)
	submitting.Wait()
	s.spent += time.Since(began)
	s.cpu += cpuTime(b) - used
}

// cpuTime is what the process has used.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func openStore(b *testing.B, r engine.Retention) engine.Config {
	b.Helper()
	return engine.Config{Store: openSQLite(b), Retention: r}
}

func newProducers(b *testing.B, count int, cfg engine.Config) *producers {
	b.Helper()
	e, err := engine.New(cfg)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := e.Drain(context.Background()); err != nil {
			b.Error(err)
		}
	})
	if err := e.Register("echo", engine.HandlerFunc(echo), engine.Policy{}); err != nil {
		b.Fatal(err)
	}
	sub, err := e.Subscribe(engine.Selector{ResponseNotification: "*"}, engine.Cursor{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(sub.Close)
	data := bytes.Repeat([]byte("x"), 200)
	return &producers{
		engine: e,
		count:  count,
		submit: func() {
			if _, err := e.Submit(context.Background(), engine.Submission{
				MessageType: "echo", MessageData: data, ResponseNotification: "request_1",
			}); err != nil {
				b.Error(err)
			}
		},
		ended: func(n int) {
			for n > 0 {
				d, err := sub.Next(context.Background())
				if err != nil || d.Gap != nil {
					b.Errorf("%+v, %v", d.Gap, err)
					return
				}
				n -= len(d.Notifications)
			}
		},
	}
}

// newAppendingProducers is the floor: what is submitted and what it comes to are
// appended to a file, each synced before it counts.
func newAppendingProducers(b *testing.B, count int) *producers {
	b.Helper()
	file, err := os.Create(filepath.Join(b.TempDir(), "log"))
	if err != nil {
		b.Fatal(err)
	}
	records := make(chan chan struct{}, 1024)
	var writing sync.WaitGroup
	writing.Go(func() { appendGroups(b, file, records) })
	appendRecord := func() {
		synced := make(chan struct{})
		records <- synced
		<-synced
	}
	accepted, ended := make(chan struct{}, 1024), make(chan struct{}, 1024)
	var working sync.WaitGroup
	for range 64 {
		working.Go(func() {
			for range accepted {
				appendRecord()
				ended <- struct{}{}
			}
		})
	}
	b.Cleanup(func() {
		close(accepted)
		working.Wait()
		close(records)
		writing.Wait()
		_ = file.Close()
	})
	return &producers{
		count:  count,
		submit: func() { appendRecord(); accepted <- struct{}{} },
		ended: func(n int) {
			for range n {
				<-ended
			}
		},
	}
}

// appendGroups writes what comes while the last group is synced as the next one.
func appendGroups(b *testing.B, file *os.File, records <-chan chan struct{}) {
	record := bytes.Repeat([]byte("x"), 300)
	var buf []byte
	var waiting []chan struct{}
	for first := range records {
		buf, waiting = append(buf[:0], record...), append(waiting[:0], first)
		for len(records) > 0 {
			waiting = append(waiting, <-records)
			buf = append(buf, record...)
		}
		if _, err := file.Write(buf); err != nil {
			b.Error(err)
		}
		if err := file.Sync(); err != nil {
			b.Error(err)
		}
		for _, synced := range waiting {
			close(synced)
		}
	}
}

// BenchmarkDurableStart measures how long an idle engine takes from Submit to the
// handler's start, the sync included, against a bare append and sync.
func BenchmarkDurableStart(b *testing.B) {
	e, err := engine.New(openStore(b, engine.Retention{}))
	if err != nil {
		b.Fatal(err)
	}
	started := make(chan time.Time, 1)
	if err := e.Register("work", engine.HandlerFunc(func(context.Context, *engine.Message) (engine.Result, error) {
		started <- time.Now()
		return engine.Result{}, nil
	}), engine.Policy{}); err != nil {
		b.Fatal(err)
	}
	file, err := os.Create(filepath.Join(b.TempDir(), "log"))
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	var starts, syncs []time.Duration
	for b.Loop() {
		began := time.Now()
		receipt, err := e.Submit(context.Background(), engine.Submission{MessageType: "work", MessageData: make([]byte, 200)})
		if err != nil {
			b.Fatal(err)
		}
		starts = append(starts, (<-started).Sub(began))
		if _, err := e.Wait(context.Background(), receipt.ID); err != nil {
			b.Fatal(err)
		}
		began = time.Now()
		if _, err := file.Write(make([]byte, 4096)); err != nil {
			b.Fatal(err)
		}
		if err := file.Sync(); err != nil {
			b.Fatal(err)
		}
		syncs = append(syncs, time.Since(began))
	}
	if err := e.Drain(context.Background()); err != nil {
		b.Error(err)
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(percentile(starts, 50), "p50-µs")
	b.ReportMetric(percentile(starts, 99), "p99-µs")
	b.ReportMetric(percentile(syncs, 50), "sync-p50-µs")
}

func percentile(all []time.Duration, percent int) float64 {
	slices.Sort(all)
	return float64(all[(len(all)-1)*percent/100].Nanoseconds()) / 1e3
}

// BenchmarkDurableSize reports how large the database is after a million messages of
// which 100,000 or so are kept, and how much memory the process has.
func BenchmarkDurableSize(b *testing.B) {
	for b.Loop() {
		cfg := openStore(b, engine.Retention{Succeeded: engine.Keep{Bytes: 64 << 20}, Log: engine.Keep{Bytes: 64 << 20}})
		s := newProducers(b, 512, cfg)
		s.run(b, 1_000_000)
		usage, err := cfg.Store.Usage()
		if err != nil {
			b.Fatal(err)
		}
		runtime.GC()
		var memory runtime.MemStats
		runtime.ReadMemStats(&memory)
		b.ReportMetric(float64(usage.Used)/(1<<20), "MiB-on-disk")
		b.ReportMetric(float64(memory.Sys)/(1<<20), "MiB-of-memory")
		b.ReportMetric(1e6/s.spent.Seconds(), "msg/s")
	}
}

// BenchmarkDurableRestart measures how long a server takes that finds a million queued
// messages, from opening its data to its first handler's start, and how much its heap
// holds then.
func BenchmarkDurableRestart(b *testing.B) {
	const queued, batch = 1_000_000, 1000
	dir := b.TempDir()
	open := func() (*engine.Engine, func()) {
		store, shut := openSQLiteIn(b, dir)
		e, err := engine.New(engine.Config{Store: store, QueueLimit: 2 * queued})
		if err != nil {
			b.Fatal(err)
		}
		return e, func() {
			if err := e.Drain(context.Background()); err != nil {
				b.Error(err)
			}
			shut()
		}
	}
	e, shut := open()
	if err := e.Register("echo", engine.HandlerFunc(echo), engine.Policy{Paused: true}); err != nil {
		b.Fatal(err)
	}
	messages := slices.Repeat([]engine.Submission{{MessageType: "echo", MessageData: make([]byte, 200), ResponseNotification: "request_1"}}, batch)
	for range queued / batch {
		for _, answer := range e.SubmitAll(context.Background(), messages) {
			if answer.Err != nil {
				b.Fatal(answer.Err)
			}
		}
	}
	shut()
	var heap float64
	for b.Loop() {
		started := make(chan struct{}, queued)
		e, shut := open()
		if err := e.Register("echo", engine.HandlerFunc(func(ctx context.Context, m *engine.Message) (engine.Result, error) {
			started <- struct{}{}
			return echo(ctx, m)
		}), engine.Policy{}); err != nil {
			b.Fatal(err)
		}
		<-started
		b.StopTimer()
		heap = max(heap, float64(heapInUse())/(1<<20))
		shut()
		b.StartTimer()
	}
	b.ReportMetric(heap, "MiB-heap")
}
