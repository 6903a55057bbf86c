package sqlitestore_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/activemessage/activemessage/engine"
	"github.com/activemessage/activemessage/engine/sqlitestore"
)

// cpuTime is what this process used so far: on a machine that others use too it says
// more than the clock.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkSubmitSettle is the path of a message through two commits, against what the
// same bytes cost as an append and a sync of one file.
func BenchmarkSubmitSettle(b *testing.B) {
	for _, group := range []int{64, 512} {
		for _, unsafe := range []bool{false, true} {
			b.Run(fmt.Sprintf("group=%d/unsafe=%t", group, unsafe), func(b *testing.B) {
				s := open(b, sqlitestore.Config{Unsafe: unsafe})
				data := make([]byte, 200)
				b.ReportAllocs()
				n, cpu := 0, cpuTime(b)
				for b.Loop() {
					var submits, settles engine.Group
					at := time.Now()
					for range group {
						n++
						m := engine.StoredMessage{
							Message: engine.Message{
								ID: id(n << 20), MessageType: greet, MessageData: data, ContentType: "application/json",
								ResponseNotification: "request_1", AcceptedAt: at,
							},
							State: engine.StateQueued, MessageBytes: 200, Size: 712,
						}
						submits.Submits = append(submits.Submits, &engine.SubmitChange{Message: m, Claim: true})
						settles.Settles = append(settles.Settles, &engine.SettleChange{
							ID: m.ID, Attempt: 1, State: engine.StateSucceeded, StartedAt: at, FinishedAt: at,
							Result: engine.Result{Data: data[:40], ContentType: "application/json"},
						})
					}
					submits.Now, settles.Now = at, at
					commit(b, s, &submits)
					commit(b, s, &settles)
				}
				b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "messages/s")
				b.ReportMetric(float64((cpuTime(b)-cpu).Microseconds())/float64(n), "cpu-µs/message")
			})
		}
		b.Run(fmt.Sprintf("group=%d/floor", group), func(b *testing.B) {
			f, err := os.Create(filepath.Join(b.TempDir(), "floor"))
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = f.Close() }()
			n, bytes := 0, make([]byte, 200*group)
			for b.Loop() {
				for range 2 {
					if _, err := f.Write(bytes); err != nil {
						b.Fatal(err)
					}
					if err := f.Sync(); err != nil {
						b.Fatal(err)
					}
				}
				n += group
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "messages/s")
		})
	}
}

// fill stores n queued messages.
func fill(b *testing.B, s *sqlitestore.Store, n int) {
	b.Helper()
	for from := 1; from <= n; from += 1000 {
		g := &engine.Group{}
		for i := from; i < min(from+1000, n+1); i++ {
			m := message(i)
			m.MessageData = make([]byte, 200)
			g.Submits = append(g.Submits, &engine.SubmitChange{Message: m})
		}
		commit(b, s, g)
	}
}

// BenchmarkClaimSettle is the path of messages that wait: a commit that settles 64 and
// claims the next 64.
func BenchmarkClaimSettle(b *testing.B) {
	s := open(b, sqlitestore.Config{Unsafe: true})
	const group = 64
	fill(b, s, (b.N+1)*group)
	b.ResetTimer()
	n, cpu := 0, cpuTime(b)
	var settles []*engine.SettleChange
	for range b.N {
		claim := &engine.ClaimChange{MessageType: greet, Limit: group}
		commit(b, s, &engine.Group{Settles: settles, Claims: []*engine.ClaimChange{claim}})
		n += len(claim.Messages)
		settles = settles[:0]
		for _, m := range claim.Messages {
			settles = append(settles, &engine.SettleChange{
				ID: m.ID, Attempt: 1, State: engine.StateSucceeded, StartedAt: now(), FinishedAt: now(),
				Result: engine.Result{Data: m.MessageData[:40], ContentType: "application/json"},
			})
		}
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "messages/s")
	b.ReportMetric(float64((cpuTime(b)-cpu).Microseconds())/float64(n), "cpu-µs/message")
}

// BenchmarkMillion is what a million queued messages cost: to look one up, to open the
// store, to claim a thousand.
func BenchmarkMillion(b *testing.B) {
	const n = 1_000_000
	dir := b.TempDir()
	s, err := sqlitestore.Open(b.Context(), sqlitestore.Config{Dir: dir, Unsafe: true, MinFree: -1})
	if err != nil {
		b.Fatal(err)
	}
	fill(b, s, n)
	b.Run("get", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			if _, err := s.Get(b.Context(), id(1+i*7919%n)); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("claim 1000", func(b *testing.B) {
		for b.Loop() {
			claim := &engine.ClaimChange{MessageType: greet, Limit: 1000}
			commit(b, s, &engine.Group{Claims: []*engine.ClaimChange{claim}})
		}
	})
	b.Run("list 100", func(b *testing.B) {
		for b.Loop() {
			if _, _, err := s.List(b.Context(), engine.ListOptions{Before: n, Limit: 100}); err != nil {
				b.Fatal(err)
			}
		}
	})
	shut(b, s)
	b.Run("open", func(b *testing.B) {
		for b.Loop() {
			s, err := sqlitestore.Open(b.Context(), sqlitestore.Config{Dir: dir, MinFree: -1})
			if err != nil {
				b.Fatal(err)
			}
			shut(b, s)
		}
	})
	b.Run("backup", func(b *testing.B) {
		for b.Loop() {
			dest := filepath.Join(dir, "copy")
			if err := errors.Join(sqlitestore.Backup(b.Context(), dir, dest), os.Remove(dest)); err != nil {
				b.Fatal(err)
			}
		}
	})
}
