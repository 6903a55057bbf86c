package engine_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/activemessage/activemessage/engine"
)

// The promises of the design, by their numbers. The seventh, that an accepted
// message survives a crash, is the durable store's to come; the memory engine
// does not make it.

// Promise 1: peak running handlers never exceeds the limit, not the pool's, not
// the type's, at 250 times overload, nor after timeouts.
func TestPromise1PeakRunningHandlersNeverExceedsTheLimit(t *testing.T) {
	t.Parallel()
	const pool, typeLimit = 4, 2
	for _, ignoreTimeout := range []bool{false, true} {
		t.Run(fmt.Sprintf("ignoreTimeout=%t", ignoreTimeout), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := start(t, engine.Config{Concurrency: pool})
				var all, limited, peakAll, peakLimited atomic.Int64
				handler := func(running, peak *atomic.Int64) engine.HandlerFunc {
					return func(ctx context.Context, _ *engine.Message) (engine.Result, error) {
						raise(&peakAll, all.Add(1))
						raise(peak, running.Add(1))
						defer all.Add(-1)
						defer running.Add(-1)
						work := time.NewTimer(3 * time.Second)
						defer work.Stop()
						if ignoreTimeout {
							<-work.C
							return engine.Result{}, nil
						}
						select {
						case <-work.C:
							return engine.Result{}, nil
						case <-ctx.Done():
							return engine.Result{}, ctx.Err()
						}
					}
				}
				policy := engine.Policy{Timeout: time.Second, Grace: 500 * time.Millisecond}
				register(t, e, "free", policy, handler(new(atomic.Int64), new(atomic.Int64)))
				policy.Concurrency = typeLimit
				register(t, e, "limited", policy, handler(&limited, &peakLimited))
				sub := subscribe(t, e, "*", engine.Cursor{})
				const overload = 250 * pool
				for i := range overload {
					submit(t, e, engine.Submission{MessageType: []string{"free", "limited"}[i%2], ResponseNotification: name(i)})
				}
				read(t, sub, overload)
				time.Sleep(10 * time.Second) // stuck handlers return, in the bubble's time
				if peakAll.Load() != pool || peakLimited.Load() != typeLimit {
					t.Errorf("peak is %d of %d, of the limited type %d of %d", peakAll.Load(), pool, peakLimited.Load(), typeLimit)
				}
			})
		})
	}
}

func raise(peak *atomic.Int64, now int64) {
	for old := peak.Load(); now > old && !peak.CompareAndSwap(old, now); old = peak.Load() {
	}
}

// Promise 2: every queue is bounded; what does not fit is refused with a reason
// and a computed time to come back; memory stays flat.
func TestPromise2EveryQueueIsBounded(t *testing.T) {
	t.Parallel()
	data := make([]byte, 1000)
	for _, c := range []struct {
		name   string
		cfg    engine.Config
		policy engine.Policy
		scope  engine.Scope
		unit   string
	}{
		{"server count", engine.Config{QueueLimit: 10}, engine.Policy{}, engine.ScopeServer, "messages"},
		{"server bytes", engine.Config{QueueBytes: 20_000}, engine.Policy{}, engine.ScopeServer, "bytes"},
		{"type count", engine.Config{}, engine.Policy{QueueLimit: 10}, engine.ScopeType, "messages"},
		{"type bytes", engine.Config{}, engine.Policy{QueueBytes: 20_000}, engine.ScopeType, "bytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.cfg.Concurrency = 1
			e := start(t, c.cfg)
			g := newGate()
			register(t, e, "work", c.policy, g.handle)
			submit(t, e, engine.Submission{MessageType: "work"})
			<-g.entered
			accepted, refused := 0, 0
			for range 2000 {
				_, err := e.Submit(t.Context(), engine.Submission{MessageType: "work", MessageData: data})
				if err == nil {
					accepted++
					continue
				}
				mustBe(t, err, engine.ErrQueueFull)
				full, _ := errors.AsType[*engine.QueueFullError](err)
				if full.Scope != c.scope || full.Unit != c.unit || full.RetryAfter < time.Second || full.RetryAfter > time.Minute {
					t.Fatalf("refused with %+v", full)
				}
				refused++
			}
			stats := e.Stats()
			if accepted == 0 || accepted > 20 || accepted+refused != 2000 || stats.Queued != accepted {
				t.Errorf("%d accepted, %d refused, %d queued", accepted, refused, stats.Queued)
			}
			if got := stats.Refused[engine.RefusedServerFull] + stats.Refused[engine.RefusedTypeFull]; got != uint64(refused) {
				t.Errorf("%d refusals counted, %d happened", got, refused)
			}
			close(g.open)
		})
	}
}

func TestPromise2MemoryStaysFlat(t *testing.T) {
	memoryOnly(t)
	e := start(t, engine.Config{Concurrency: 2, QueueLimit: 100, HistoryLimit: 500, LogLimit: 500})
	register(t, e, "echo", engine.Policy{}, echo)
	// A subscriber that never reads, and one that does.
	subscribe(t, e, "request_*", engine.Cursor{})
	flood := func(n int) uint64 {
		for range n {
			for {
				_, err := e.Submit(t.Context(), engine.Submission{MessageType: "echo", MessageData: make([]byte, 200), ResponseNotification: "request_1"})
				if err == nil {
					break
				}
				mustBe(t, err, engine.ErrQueueFull)
				runtime.Gosched()
			}
		}
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := flood(20_000)
	after := flood(200_000)
	if after > before+4<<20 {
		t.Errorf("heap grew from %d to %d bytes over 200,000 messages", before, after)
	}
}

// Promise 3: every accepted message gets exactly one terminal outcome; every
// subscriber sees every matching notification, in log order.
func TestPromise3ExactlyOneOutcomeForEveryMessage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := start(t, engine.Config{Concurrency: 8})
		policy := engine.Policy{Timeout: time.Second, Grace: time.Second}
		outcomes := map[string]struct {
			handle engine.HandlerFunc
			text   string
		}{
			"ok": {echo, ":ok"},
			"error": {func(context.Context, *engine.Message) (engine.Result, error) {
				return engine.Result{}, errors.New("secret")
			}, ":err(handler failed)"},
			"worded": {func(context.Context, *engine.Message) (engine.Result, error) {
				return engine.Result{}, &engine.Error{Message: "no such user"}
			}, ":err(no such user)"},
			"panic": {func(context.Context, *engine.Message) (engine.Result, error) { panic("secret") }, ":err(handler crashed)"},
			"exit": {func(context.Context, *engine.Message) (engine.Result, error) {
				runtime.Goexit()
				return engine.Result{}, nil
			}, ":err(handler crashed)"},
			"slow": {func(ctx context.Context, _ *engine.Message) (engine.Result, error) {
				<-ctx.Done()
				return engine.Result{}, ctx.Err()
			}, ":err(timed out after 1s)"},
			"stuck": {func(context.Context, *engine.Message) (engine.Result, error) {
				time.Sleep(4 * time.Second)
				return engine.Result{}, nil
			}, ":err(timed out after 1s)"},
		}
		subs := []*engine.Subscription{
			subscribe(t, e, "*", engine.Cursor{}),
			subscribe(t, e, "request_*", engine.Cursor{}),
		}
		expected := make(map[string]string)
		for messageType, c := range outcomes {
			register(t, e, messageType, policy, c.handle)
			for i := range 20 {
				prefix := fmt.Sprintf("request_%s_%d", messageType, i)
				submit(t, e, engine.Submission{MessageType: messageType, ResponseNotification: prefix})
				expected[prefix] = prefix + c.text
			}
		}
		for _, sub := range subs {
			got := read(t, sub, len(expected))
			for i, n := range got {
				if n.Number != uint64(i+1) {
					t.Fatalf("notification %d has number %d", i+1, n.Number)
				}
				if n.String() != expected[n.ResponseNotification] {
					t.Errorf("%q, expected %q", n.String(), expected[n.ResponseNotification])
				}
				status, err := e.Get(n.ID)
				if err != nil || status.State != n.State || !status.State.Terminal() {
					t.Errorf("status %v of %s, %v", status.State, n.String(), err)
				}
			}
		}
		time.Sleep(10 * time.Second) // the stuck handlers return, in the bubble's time
		synctest.Wait()
		for _, sub := range subs {
			if d, err := sub.Poll(nil); err != nil || !d.Empty() {
				t.Errorf("more than one outcome: %+v, %v", d, err)
			}
		}
	})
}

func TestPromise3EverySubscriberSeesAllInOrder(t *testing.T) {
	t.Parallel()
	e := start(t, engine.Config{})
	register(t, e, "echo", engine.Policy{}, echo)
	const subscribers, messages = 20, 3000
	var readers sync.WaitGroup
	for i := range subscribers {
		pattern := []string{"*", "request_*", "request_1*"}[i%3]
		expected := map[string]int{"*": messages, "request_*": messages, "request_1*": 1111}[pattern]
		sub := subscribe(t, e, pattern, engine.Cursor{})
		readers.Go(func() {
			got := read(t, sub, expected)
			if !slices.IsSortedFunc(got, func(a, b engine.Notification) int { return int(a.Number) - int(b.Number) }) {
				t.Errorf("%s: out of order", pattern)
			}
		})
	}
	for i := range messages {
		submit(t, e, engine.Submission{MessageType: "echo", ResponseNotification: name(i)})
	}
	readers.Wait()
}

// Promise 4: an unknown type is refused at the door, and its prefix is told.
func TestPromise4UnknownTypeIsRefusedAndItsPrefixTold(t *testing.T) {
	t.Parallel()
	e := start(t, engine.Config{})
	sub := subscribe(t, e, "request_1", engine.Cursor{})
	_, err := e.Submit(t.Context(), engine.Submission{MessageType: "x", ResponseNotification: "request_1"})
	mustBe(t, err, engine.ErrUnknownType)
	if got := read(t, sub, 1)[0].String(); got != `request_1:err(no handler for message type "x")` {
		t.Error(got)
	}
	if stats := e.Stats(); len(stats.Types) != 0 || stats.Refused[engine.RefusedUnknownType] != 1 {
		t.Errorf("%+v", stats)
	}
}

// Promise 5: registration works while running; dispatch does not depend on the
// number of types (BenchmarkTypes measures that).
func TestPromise5RegistrationWorksWhileRunning(t *testing.T) {
	t.Parallel()
	e := start(t, engine.Config{Concurrency: 4})
	sub := subscribe(t, e, "*", engine.Cursor{})
	const types, each = 50, 20
	var registrars sync.WaitGroup
	for i := range types {
		registrars.Go(func() {
			messageType := fmt.Sprintf("type_%d", i)
			register(t, e, messageType, engine.Policy{}, echo)
			mustBe(t, e.Register(messageType, engine.HandlerFunc(echo), engine.Policy{}), engine.ErrTypeRegistered)
			for range each {
				submit(t, e, engine.Submission{MessageType: messageType, ResponseNotification: messageType})
			}
			if err := e.Unregister(messageType); err != nil {
				t.Error(err)
			}
			_, err := e.Submit(context.Background(), engine.Submission{MessageType: messageType})
			mustBe(t, err, engine.ErrUnknownType)
		})
	}
	registrars.Wait()
	for _, n := range read(t, sub, types*each) {
		if !n.OK() {
			t.Errorf("accepted before Unregister, yet %s", n.String())
		}
	}
	for len(e.Stats().Types) > 0 {
		runtime.Gosched() // a worker that has published is about to drop the type
	}
}

// Promise 6: shutdown drains: new work is refused at once, accepted work
// finishes or is handed back, subscribers get the last outcome.
func TestPromise6ShutdownDrains(t *testing.T) {
	memoryOnly(t)
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := start(t, engine.Config{Concurrency: 2})
		g := newGate()
		register(t, e, "work", engine.Policy{Timeout: -1}, g.handle)
		sub := subscribe(t, e, "*", engine.Cursor{})
		for i := range 100 {
			submit(t, e, engine.Submission{MessageType: "work", ResponseNotification: name(i)})
		}
		drained := make(chan error, 1)
		go func() { drained <- e.Drain(context.Background()) }()
		synctest.Wait()
		_, err := e.Submit(t.Context(), engine.Submission{MessageType: "work"})
		mustBe(t, err, engine.ErrDraining)
		mustBe(t, e.Ready(), engine.ErrDraining)
		close(g.open)
		if err := <-drained; err != nil {
			t.Fatal(err)
		}
		for _, n := range read(t, sub, 100) {
			if !n.OK() {
				t.Errorf("lost: %s", n.String())
			}
		}
		if _, err := sub.Next(t.Context()); !errors.Is(err, engine.ErrClosed) {
			t.Errorf("after the last outcome: %v", err)
		}
	})
}

func TestPromise6ShutdownOutOfTimeStillGivesEveryOutcome(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e, err := engine.New(engine.Config{Concurrency: 2})
		if err != nil {
			t.Fatal(err)
		}
		polite, stubborn := newGate(), newGate()
		register(t, e, "polite", engine.Policy{Concurrency: 1}, polite.handle)
		register(t, e, "stubborn", engine.Policy{Concurrency: 1}, stubborn.stubborn)
		sub := subscribe(t, e, "*", engine.Cursor{})
		for i := range 100 {
			submit(t, e, engine.Submission{MessageType: []string{"polite", "stubborn"}[i%2], ResponseNotification: name(i), Key: name(i % 7)})
		}
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		mustBe(t, e.Drain(ctx), context.DeadlineExceeded)
		for _, n := range read(t, sub, 100) {
			if n.State != engine.StateCancelled || n.Error.Code != engine.CodeShutdown {
				t.Errorf("%s %+v", n.String(), n.Error)
			}
		}
		close(stubborn.open)
		synctest.Wait()
	})
}

// Promise 8: no client can make the server lose, leak or reorder another
// client's notifications, however slow it is.
func TestPromise8AStalledSubscriberHarmsNobody(t *testing.T) {
	memoryOnly(t)
	t.Parallel()
	e := start(t, engine.Config{LogLimit: 100})
	register(t, e, "echo", engine.Policy{}, echo)
	stalled := []*engine.Subscription{subscribe(t, e, "*", engine.Cursor{}), subscribe(t, e, "request_*", engine.Cursor{})}
	live := subscribe(t, e, "request_*", engine.Cursor{})
	const messages = 1000
	for i := range messages {
		submit(t, e, engine.Submission{MessageType: "echo", ResponseNotification: name(i)})
		if got := read(t, live, 1)[0].Number; got != uint64(i+1) {
			t.Fatalf("the live subscriber got %d after %d", got, i)
		}
	}
	for _, sub := range stalled {
		var next uint64 = 1
		for next <= messages {
			d, err := sub.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if d.Gap != nil {
				if d.Gap.From != next {
					t.Errorf("gap from %d, expected %d", d.Gap.From, next)
				}
				next = d.Gap.To + 1
			}
			for _, n := range d.Notifications {
				if n.Number != next {
					t.Fatalf("silently short: %d after %d", n.Number, next-1)
				}
				next++
			}
		}
	}
	if e.Stats().Gaps != 2 {
		t.Errorf("%d gaps counted", e.Stats().Gaps)
	}
}
