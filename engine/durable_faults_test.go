package engine_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/activemessage/activemessage/engine"
	"github.com/activemessage/activemessage/engine/memstore"
)

type countLogs struct {
	slog.Handler
	n *atomic.Int64
}

func (c countLogs) Enabled(context.Context, slog.Level) bool  { return true }
func (c countLogs) Handle(context.Context, slog.Record) error { c.n.Add(1); return nil }

// A store without room is not tried again and again for what nobody waits for.
func TestAFullStoreIsNotTriedAllTheTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newFaulty()
		var logs atomic.Int64
		e := start(t, engine.Config{Store: store, Logger: slog.New(countLogs{slog.DiscardHandler, &logs})})
		register(t, e, "echo", engine.Policy{Paused: true}, echo)
		submit(t, e, engine.Submission{MessageType: "echo"})
		store.fail(engine.ErrStorageFull)
		time.Sleep(50 * time.Millisecond)
		before := store.commits.Load()
		_, _ = e.Reconfigure("echo", func(p *engine.Policy) { p.Paused = false })
		time.Sleep(200 * time.Millisecond)
		n := store.commits.Load() - before
		store.fail(nil)
		if n > 10 {
			t.Errorf("%d commits and %d log lines in 200 ms while the disk is full", n, logs.Load())
		}
	})
}

// What was claimed of a type that is paused then does not take others' room.
func TestAPausedTypeHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := start(t, engine.Config{Store: memstore.New(), Concurrency: 1})
		entered, open := make(chan struct{}, 10), make(chan struct{})
		register(t, e, "a", engine.Policy{Timeout: -1}, func(context.Context, *engine.Message) (engine.Result, error) {
			entered <- struct{}{}
			<-open
			return engine.Result{}, nil
		})
		register(t, e, "b", engine.Policy{}, echo)
		for range 5 {
			submit(t, e, engine.Submission{MessageType: "a"})
		}
		<-entered
		open <- struct{}{}
		<-entered
		synctest.Wait()
		if _, err := e.Reconfigure("a", func(p *engine.Policy) { p.Paused = true }); err != nil {
			t.Fatal(err)
		}
		open <- struct{}{} // the running one ends; now nothing runs
		synctest.Wait()
		b := submit(t, e, engine.Submission{MessageType: "b"})
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if s, err := e.Wait(ctx, b.ID); err != nil {
			t.Errorf("b is %s after an hour in which nothing ran (running=%d): %v", s.State, e.Stats().Running, err)
		}
		close(open)
		_, _ = e.Reconfigure("a", func(p *engine.Policy) { p.Paused = false })
	})
}

// A drain whose time ends while a handler is in its grace ends, too.
func TestDrainEndsBesideAHandlerInItsGrace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e, err := engine.New(engine.Config{Store: memstore.New()})
		if err != nil {
			t.Fatal(err)
		}
		g := newGate()
		register(t, e, "stuck", engine.Policy{Timeout: 10 * time.Second, Grace: 2 * time.Second, MaxAttempts: 3}, g.stubborn)
		submit(t, e, engine.Submission{MessageType: "stuck"})
		<-g.entered
		ctx, cancel := context.WithTimeout(t.Context(), 11*time.Second) // between the timeout and the end of the grace
		defer cancel()
		done := make(chan error, 1)
		go func() { done <- e.Drain(ctx) }()
		select {
		case err := <-done:
			mustBe(t, err, context.DeadlineExceeded)
		case <-time.After(24 * time.Hour):
			t.Error("Drain still waits a day after its context ended")
		}
		close(g.open)
		synctest.Wait()
	})
}

// What was accepted of a type that is unregistered then still runs, also again.
func TestARetryOfAnUnregisteredTypeRuns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := start(t, engine.Config{Store: memstore.New()})
		g := newGate()
		var runs atomic.Int64
		register(t, e, "flaky", engine.Policy{MaxAttempts: 3}, func(ctx context.Context, m *engine.Message) (engine.Result, error) {
			runs.Add(1)
			if m.Attempt == 1 {
				_, _ = g.handle(ctx, m)
				return engine.Result{}, errors.New("once")
			}
			return engine.Result{}, nil
		})
		r := submit(t, e, engine.Submission{MessageType: "flaky"})
		<-g.entered
		if err := e.Unregister("flaky"); err != nil {
			t.Fatal(err)
		}
		close(g.open)
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if s, err := e.Wait(ctx, r.ID); err != nil {
			t.Errorf("after an hour: %s, %d runs: %v", s.State, runs.Load(), err)
		}
		synctest.Wait()
		if s, err := e.Get(r.ID); err != nil || s.MaxAttempts != engine.DefaultMaxAttempts || s.Timeout != engine.DefaultTimeout {
			t.Errorf("of a type that is gone: %d attempts at most, timeout %s, %v", s.MaxAttempts, s.Timeout, err)
		}
	})
}

// A pause for which there is no room is not made, and can be asked for again.
func TestAPauseThatIsNotStoredIsNotMade(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newFaulty()
		e, err := engine.New(engine.Config{Store: store})
		if err != nil {
			t.Fatal(err)
		}
		register(t, e, "echo", engine.Policy{}, echo)
		store.fail(engine.ErrStorageFull)
		pause := func(p *engine.Policy) { p.Paused = true }
		_, err = e.Reconfigure("echo", pause)
		mustBe(t, err, engine.ErrStorageFull)
		store.fail(nil)
		if _, err = e.Reconfigure("echo", pause); err != nil { // again, now there is room
			t.Fatal(err)
		}
		if err := e.Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
		s, _ := store.Load(t.Context())
		if len(s.Paused) != 1 {
			t.Errorf("the pause was answered without an error, but the store does not have it: %v", s.Paused)
		}
	})
}

// The store remembers a cancel of what another engine runs.
func TestCancelOfWhatAnotherEngineRuns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newFaulty()
		a := start(t, engine.Config{Store: store})
		b := start(t, engine.Config{Store: store})
		g := newGate()
		register(t, a, "work", engine.Policy{}, g.stubborn)
		r := submit(t, a, engine.Submission{MessageType: "work"})
		<-g.entered
		before := store.commits.Load()
		done := make(chan struct{})
		go func() { _, _ = b.Cancel(r.ID); close(done) }()
		select {
		case <-done:
		case <-time.After(300 * time.Millisecond):
			t.Errorf("Cancel has not returned after 300 ms and %d commits", store.commits.Load()-before)
		}
		close(g.open)
		<-done
	})
}

// While outcomes wait for room, those who come are answered.
func TestAFullStoreAnswersEveryone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newFaulty()
		e := start(t, engine.Config{Store: store})
		g := newGate()
		register(t, e, "work", engine.Policy{Timeout: -1}, g.handle)
		register(t, e, "other", engine.Policy{Timeout: -1}, g.handle)
		r := submit(t, e, engine.Submission{MessageType: "work"})
		<-g.entered
		store.fail(engine.ErrStorageFull)
		release := store.hold()
		close(g.open) // the outcome goes to a full disk
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		began := time.Now()
		got := make(chan error, 3)
		go func() { _, err := e.Submit(ctx, engine.Submission{MessageType: "work"}); got <- err }() // came during the commit
		synctest.Wait()
		release()
		synctest.Wait()
		time.Sleep(time.Second)
		go func() {
			_, err := e.Submit(ctx, engine.Submission{MessageType: "work", IdempotencyKey: "k"}) // comes after
			got <- err
		}()
		for range 2 {
			if err := <-got; !errors.Is(err, engine.ErrStorageFull) {
				t.Errorf("answered after %s: %v", time.Since(began), err)
			}
		}
		store.fail(nil)
		_ = r
	})
}

type slowReads struct {
	engine.Store
	slow atomic.Bool
}

func (s *slowReads) Notifications(ctx context.Context, from uint64, limit int, maxBytes int64) ([]engine.Notification, uint64, error) {
	if s.slow.Load() {
		time.Sleep(time.Second)
	}
	return s.Store.Notifications(ctx, from, limit, maxBytes)
}

// A subscriber that reads what only the store has does not hold up others.
func TestASlowReadHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &slowReads{Store: memstore.New()}
		e := start(t, engine.Config{Store: store, LogLimit: 10})
		register(t, e, "echo", engine.Policy{}, echo)
		for i := range 100 {
			r := submit(t, e, engine.Submission{MessageType: "echo", ResponseNotification: fmt.Sprintf("old_%d", i)})
			_, _ = e.Wait(t.Context(), r.ID)
		}
		live := subscribe(t, e, "new_*", engine.Cursor{})
		if d, err := live.Poll(nil); err != nil || !d.Empty() {
			t.Fatal(d, err)
		}
		past := subscribe(t, e, "*", engine.CursorAt(0))
		store.slow.Store(true)
		done := make(chan struct{})
		go func() { _, _ = past.Next(t.Context()); close(done) }()
		time.Sleep(50 * time.Millisecond)
		began := time.Now()
		for i := range 2 {
			submit(t, e, engine.Submission{MessageType: "echo", ResponseNotification: fmt.Sprintf("new_%d", i)})
			if _, err := live.Next(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(began); took > 500*time.Millisecond {
			t.Errorf("a live subscriber waited %s for another's read", took)
		}
		store.slow.Store(false)
		<-done
	})
}

type slowUsage struct {
	engine.Store
	slow atomic.Bool
}

func (s *slowUsage) Usage() (engine.Usage, error) {
	if s.slow.Load() {
		time.Sleep(time.Second)
	}
	return s.Store.Usage()
}

// A disk that is slow to say how full it is holds nobody up.
func TestASlowDiskHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &slowUsage{Store: memstore.New()}
		e := start(t, engine.Config{Store: store})
		register(t, e, "echo", engine.Policy{}, echo)
		store.slow.Store(true)
		go func() { _ = e.Ready() }()
		time.Sleep(50 * time.Millisecond)
		store.slow.Store(false)
		began := time.Now()
		submit(t, e, engine.Submission{MessageType: "echo"})
		if took := time.Since(began); took > 500*time.Millisecond {
			t.Errorf("a submission waited %s for /readyz", took)
		}
		time.Sleep(time.Minute) // until /readyz is answered
	})
}

type afterCommit struct {
	engine.Store
	after atomic.Pointer[chan struct{}]
}

func (s *afterCommit) Commit(ctx context.Context, g *engine.Group) error {
	err := s.Store.Commit(ctx, g)
	if c := s.after.Load(); c != nil && len(g.Settles) > 0 {
		s.after.Store(nil)
		<-*c
	}
	return err
}

// A retry that comes between the store's knowing of an end and the engine's does not run
// a message beside its stuck handler.
func TestARetryWaitsForTheEndItRetries(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &afterCommit{Store: memstore.New()}
		e := start(t, engine.Config{Store: store})
		var running, most atomic.Int64
		open := make(chan struct{})
		register(t, e, "stuck", engine.Policy{Timeout: time.Second, Grace: time.Second}, func(context.Context, *engine.Message) (engine.Result, error) {
			if n := running.Add(1); n > most.Load() {
				most.Store(n)
			}
			<-open
			running.Add(-1)
			return engine.Result{}, nil
		})
		r := submit(t, e, engine.Submission{MessageType: "stuck"})
		held := make(chan struct{})
		store.after.Store(&held)
		time.Sleep(3 * time.Second)
		go func() { _, _ = e.Retry(r.ID) }()
		synctest.Wait()
		close(held)
		time.Sleep(100 * time.Millisecond)
		synctest.Wait()
		if most.Load() > 1 {
			t.Errorf("%d handlers of one message at once", most.Load())
		}
		close(open)
	})
}

// A pause that a failed store cannot remember is refused.
func TestAPauseOfAFailedStoreIsRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newFaulty()
		e, err := engine.New(engine.Config{Store: store})
		if err != nil {
			t.Fatal(err)
		}
		register(t, e, "echo", engine.Policy{}, echo)
		synctest.Wait()
		store.fail(context.Canceled)
		_, _ = e.Submit(t.Context(), engine.Submission{MessageType: "echo"})
		<-e.Failed()
		if _, err := e.Reconfigure("echo", func(p *engine.Policy) { p.Paused = true }); err == nil {
			t.Error("Reconfigure said nothing of the failed store")
		}
		_ = e.Drain(t.Context())
	})
}

// What was claimed ahead while handlers were quick is given back when they are not.
func TestWhatIsClaimedAheadHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		store := newFaulty()
		e := start(t, engine.Config{Store: store, Concurrency: 4})
		n := 0
		register(t, e, "a", engine.Policy{Timeout: -1}, func(context.Context, *engine.Message) (engine.Result, error) {
			mu.Lock()
			n++
			slow := n > 500
			mu.Unlock()
			if slow {
				time.Sleep(time.Minute)
			}
			return engine.Result{}, nil
		})
		register(t, e, "b", engine.Policy{}, echo)
		_, _ = e.Reconfigure("a", func(p *engine.Policy) { p.Paused = true })
		for range 2000 {
			submit(t, e, engine.Submission{MessageType: "a"})
		}
		_, _ = e.Reconfigure("a", func(p *engine.Policy) { p.Paused = false })
		time.Sleep(time.Second)
		began := time.Now()
		r := submit(t, e, engine.Submission{MessageType: "b", Priority: 9})
		if _, err := e.Wait(t.Context(), r.ID); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > 2*time.Minute {
			t.Errorf("b, of the highest priority and alone in its type, waited %s", took)
		}
	})
}

// A message of a type that is no longer registered, but has messages in the store, is
// refused as one of an unknown type is: also where it asked for its answer.
func TestATypeWithoutAHandlerAnyMore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New()
		first := start(t, engine.Config{Store: store})
		register(t, first, "gone", engine.Policy{Paused: true}, echo)
		submit(t, first, engine.Submission{MessageType: "gone"})
		drain(t, first)
		e := start(t, engine.Config{Store: store})
		sub := subscribe(t, e, "*", engine.Cursor{})
		_, err := e.Submit(t.Context(), engine.Submission{MessageType: "gone", ResponseNotification: "a"})
		mustBe(t, err, engine.ErrUnknownType)
		if got := texts(read(t, sub, 1)); got[0] != `a:err(no handler for message type "gone")` {
			t.Error(got)
		}
		register(t, e, "gone", engine.Policy{}, echo)
		synctest.Wait()
		if stats := e.Stats(); stats.Types["gone"].Outcomes[engine.StateSucceeded] != 1 {
			t.Errorf("%+v", stats.Types["gone"])
		}
	})
}
