package engine_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/activemessage/activemessage/engine"
)

// failing returns a handler that fails its first n attempts with err.
func failing(n int, err error) engine.HandlerFunc {
	return func(_ context.Context, m *engine.Message) (engine.Result, error) {
		if m.Attempt <= n {
			return engine.Result{}, err
		}
		return engine.Result{Data: fmt.Append(nil, "attempt ", m.Attempt)}, nil
	}
}

func status(t *testing.T, e *engine.Engine, id engine.ID) engine.Status {
	t.Helper()
	s, err := e.Get(id)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func states(attempts []engine.Attempt) string {
	var all string
	for _, a := range attempts {
		all += fmt.Sprintf("%d:%s ", a.Number, a.State)
	}
	return all
}

func TestWhatFollowsAnAttempt(t *testing.T) {
	t.Parallel()
	boom := &engine.Error{Code: "boom", Message: "boom"}
	for name, c := range map[string]struct {
		handler  engine.HandlerFunc
		policy   engine.Policy
		outcome  string
		attempts string
		atLeast  time.Duration
		atMost   time.Duration
	}{
		"no retry by default": {failing(9, boom), engine.Policy{}, "p:err(boom)", "1:failed ", 0, 0},
		"a retry succeeds":    {failing(1, boom), engine.Policy{MaxAttempts: 3}, "p:ok", "1:retrying 2:succeeded ", 500 * time.Millisecond, time.Second},
		"retries double and run out": {failing(9, boom), engine.Policy{MaxAttempts: 4, Backoff: engine.Backoff{Initial: time.Minute, Max: 3 * time.Minute}},
			"p:err(boom)", "1:retrying 2:retrying 3:retrying 4:failed ", 3 * time.Minute, 6 * time.Minute},
		"permanent": {failing(9, engine.Permanent(boom)), engine.Policy{MaxAttempts: 9}, "p:err(boom)", "1:failed ", 0, 0},
		"retry after": {failing(1, fmt.Errorf("later: %w", engine.RetryAfter(time.Hour, boom))), engine.Policy{MaxAttempts: 2},
			"p:ok", "1:retrying 2:succeeded ", time.Hour, time.Hour},
		"retry after, but none is left": {failing(9, engine.RetryAfter(time.Hour, boom)), engine.Policy{}, "p:err(boom)", "1:failed ", 0, 0},
		"a snooze does not count":       {failing(3, engine.Snooze(time.Hour)), engine.Policy{}, "p:ok", "1:scheduled 2:scheduled 3:scheduled 4:succeeded ", 3 * time.Hour, 3 * time.Hour},
		"a panic is retried": {func(_ context.Context, m *engine.Message) (engine.Result, error) {
			if m.Attempt == 1 {
				panic("once")
			}
			return engine.Result{}, nil
		}, engine.Policy{MaxAttempts: 2}, "p:ok", "1:retrying 2:succeeded ", 500 * time.Millisecond, time.Second},
		"a timeout is retried": {func(ctx context.Context, m *engine.Message) (engine.Result, error) {
			if m.Attempt == 1 {
				<-ctx.Done()
			}
			return engine.Result{}, ctx.Err()
		}, engine.Policy{MaxAttempts: 2, Timeout: time.Hour}, "p:ok", "1:retrying 2:succeeded ", time.Hour + 500*time.Millisecond, time.Hour + time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				e := start(t, engine.Config{})
				register(t, e, "work", c.policy, c.handler)
				sub := subscribe(t, e, "*", engine.Cursor{})
				began := time.Now()
				receipt := submit(t, e, engine.Submission{MessageType: "work", ResponseNotification: "p"})
				if got := read(t, sub, 1)[0].String(); got != c.outcome {
					t.Errorf("outcome %s, expected %s", got, c.outcome)
				}
				if took := time.Since(began); took < c.atLeast || took > c.atMost {
					t.Errorf("took %s, expected %s to %s", took, c.atLeast, c.atMost)
				}
				s := status(t, e, receipt.ID)
				if got := states(s.Attempts); got != c.attempts {
					t.Errorf("attempts %s, expected %s", got, c.attempts)
				}
				for _, a := range s.Attempts {
					failed := a.State == engine.StateFailed || a.State == engine.StateRetrying
					if failed != (a.Error != nil) || a.FinishedAt.Before(a.StartedAt) {
						t.Errorf("attempt %+v", a)
					}
				}
			})
		})
	}
}

// A retry of a handler that outlived its timeout waits for its return: two
// attempts of one message never run at once.
func TestARetryWaitsForAStuckHandler(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := start(t, engine.Config{})
		release := make(chan struct{})
		var running, peak int // the two attempts are ordered by the engine
		register(t, e, "work", engine.Policy{MaxAttempts: 2, Timeout: time.Second, Grace: time.Second}, func(_ context.Context, m *engine.Message) (engine.Result, error) {
			running++
			peak = max(peak, running)
			if m.Attempt == 1 {
				<-release
			}
			running--
			return engine.Result{}, nil
		})
		sub := subscribe(t, e, "*", engine.Cursor{})
		id := submit(t, e, engine.Submission{MessageType: "work", ResponseNotification: "p", Key: "k"}).ID
		time.Sleep(time.Hour)
		s := status(t, e, id)
		if s.State != engine.StateRetrying || !s.DueAt.IsZero() || states(s.Attempts) != "1:retrying " || s.Attempts[0].Error.Code != engine.CodeTimeout {
			t.Errorf("while stuck: %+v", s)
		}
		if stats := e.Stats(); stats.Stuck != 1 || stats.Retrying != 1 {
			t.Errorf("while stuck: %+v", stats)
		}
		close(release)
		if got := read(t, sub, 1)[0].String(); got != "p:ok" || peak != 1 {
			t.Errorf("%s, %d at once", got, peak)
		}
	})
}

// A message that waits for a retry keeps its key: those behind it wait too.
func TestARetryKeepsTheOrderOfItsKey(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := start(t, engine.Config{})
		register(t, e, "work", engine.Policy{MaxAttempts: 3}, failing(2, errors.New("no")))
		sub := subscribe(t, e, "*", engine.Cursor{})
		for i := range 3 {
			submit(t, e, engine.Submission{MessageType: "work", ResponseNotification: name(i), Key: "k"})
		}
		if got := fmt.Sprint(texts(read(t, sub, 3))); got != "[request_0:ok request_1:ok request_2:ok]" {
			t.Error(got)
		}
	})
}

func TestCancelBetweenAttempts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := start(t, engine.Config{})
		register(t, e, "work", engine.Policy{MaxAttempts: 3, Backoff: engine.Backoff{Initial: time.Hour, Max: time.Hour}}, failing(9, errors.New("no")))
		sub := subscribe(t, e, "*", engine.Cursor{})
		id := submit(t, e, engine.Submission{MessageType: "work", ResponseNotification: "a", Key: "k"}).ID
		submit(t, e, engine.Submission{MessageType: "work", ResponseNotification: "b", Key: "k", MaxAttempts: 1})
		synctest.Wait()
		if _, err := e.Cancel(id); err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(texts(read(t, sub, 2))); got != "[a:err(cancelled) b:err(handler failed)]" {
			t.Error(got)
		}
		if s := status(t, e, id); states(s.Attempts) != "1:retrying " || s.State != engine.StateCancelled {
			t.Errorf("%+v", s)
		}
	})
}

func TestASubmitterMayTightenThePolicyOnly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := start(t, engine.Config{})
		register(t, e, "work", engine.Policy{MaxAttempts: 2, Timeout: time.Minute}, func(ctx context.Context, _ *engine.Message) (engine.Result, error) {
			<-ctx.Done()
			return engine.Result{}, ctx.Err()
		})
		for field, s := range map[string]engine.Submission{
			"timeout":      {MessageType: "work", Timeout: time.Minute + 1},
			"max_attempts": {MessageType: "work", MaxAttempts: 3},
		} {
			_, err := e.Submit(t.Context(), s)
			if invalid, ok := errors.AsType[*engine.InvalidError](err); !ok || invalid.Field != field {
				t.Errorf("%s: %v", field, err)
			}
		}
		sub := subscribe(t, e, "*", engine.Cursor{})
		began := time.Now()
		id := submit(t, e, engine.Submission{MessageType: "work", ResponseNotification: "p", Timeout: time.Second, MaxAttempts: 1}).ID
		if got := read(t, sub, 1)[0].String(); got != "p:err(timed out after 1s)" || time.Since(began) != time.Second {
			t.Errorf("%s after %s", got, time.Since(began))
		}
		if s := status(t, e, id); s.MaxAttempts != 1 || s.Timeout != time.Second {
			t.Errorf("%+v", s)
		}
	})
}

func TestRetryByHand(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := start(t, engine.Config{QueueLimit: 2})
		repaired := false
		register(t, e, "work", engine.Policy{MaxAttempts: 2}, func(_ context.Context, m *engine.Message) (engine.Result, error) {
			if !repaired {
				return engine.Result{}, errors.New("broken")
			}
			return engine.Result{Data: m.MessageData}, nil
		})
		sub := subscribe(t, e, "*", engine.Cursor{})
		var ids []engine.ID
		for i := range 5 {
			ids = append(ids, submit(t, e, engine.Submission{MessageType: "work", ResponseNotification: name(i), MessageData: []byte("data")}).ID)
			read(t, sub, 1)
		}
		if _, err := e.Retry(engine.ID{1}); !errors.Is(err, engine.ErrNotFound) {
			t.Error(err)
		}
		receipt, err := e.Retry(ids[0])
		if err != nil || receipt.ID != ids[0] || receipt.State != engine.StateQueued {
			t.Fatalf("%+v, %v", receipt, err)
		}
		if got := read(t, sub, 1)[0].String(); got != "request_0:err(handler failed)" {
			t.Error(got)
		}
		if s := status(t, e, ids[0]); states(s.Attempts) != "1:retrying 2:failed 3:retrying 4:failed " {
			t.Error(states(s.Attempts))
		}
		repaired = true
		if n, err := e.RetryAll(t.Context(), engine.ListOptions{MessageType: "work", Limit: 2}); n != 2 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
		if got := fmt.Sprint(texts(read(t, sub, 2))); got != "[request_0:ok request_1:ok]" {
			t.Error(got)
		}
		mustBe(t, func() error { _, err := e.Retry(ids[0]); return err }(), engine.ErrNotRetryable)
		if _, err := e.Reconfigure("work", func(p *engine.Policy) { p.Paused = true }); err != nil {
			t.Fatal(err)
		}
		n, err := e.RetryAll(t.Context(), engine.ListOptions{})
		if n != 2 || !errors.Is(err, engine.ErrQueueFull) {
			t.Errorf("%d, %v", n, err)
		}
		if _, err := e.Reconfigure("work", func(p *engine.Policy) { p.Paused = false }); err != nil {
			t.Fatal(err)
		}
		read(t, sub, 2)
	})
}

// The history forgets a message that was retried by its last end, and stays
// within its bound.
func TestHistoryOfRetriedMessages(t *testing.T) {
	memoryOnly(t)
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := start(t, engine.Config{HistoryLimit: 3})
		register(t, e, "work", engine.Policy{}, failing(99, errors.New("no")))
		var ids []engine.ID
		for range 3 {
			ids = append(ids, submit(t, e, engine.Submission{MessageType: "work"}).ID)
			synctest.Wait()
		}
		if _, err := e.Retry(ids[0]); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		submit(t, e, engine.Submission{MessageType: "work"})
		synctest.Wait()
		_, gone := e.Get(ids[1])
		mustBe(t, gone, engine.ErrNotFound)
		status(t, e, ids[0])
		for range 3 {
			submit(t, e, engine.Submission{MessageType: "work"})
			synctest.Wait()
		}
		page, err := e.List(engine.ListOptions{})
		if err != nil || len(page.Messages) != 3 {
			t.Errorf("%d messages, %v", len(page.Messages), err)
		}
	})
}

func TestPauseAndLimitsAtRunTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := start(t, engine.Config{})
		g := newGate()
		register(t, e, "work", engine.Policy{Paused: true}, g.handle)
		for range 10 {
			submit(t, e, engine.Submission{MessageType: "work"})
		}
		for _, c := range []struct {
			change  func(*engine.Policy)
			running int
		}{
			{func(*engine.Policy) {}, 0},
			{func(p *engine.Policy) { p.Paused, p.Concurrency = false, 2 }, 2},
			{func(p *engine.Policy) { p.Concurrency = 5 }, 5},
			{func(p *engine.Policy) { p.Paused, p.Concurrency = true, 0 }, 5},
		} {
			if _, err := e.Reconfigure("work", c.change); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if s := e.Stats(); s.Running != c.running {
				t.Errorf("%d running, expected %d", s.Running, c.running)
			}
		}
		_, err := e.Reconfigure("nobody", func(*engine.Policy) {})
		mustBe(t, err, engine.ErrUnknownType)
		_, err = e.Reconfigure("work", func(p *engine.Policy) { p.QueueLimit = -1 })
		mustBe(t, err, engine.ErrInvalid)
		if _, err := e.Reconfigure("work", func(p *engine.Policy) { p.Paused = false }); err != nil {
			t.Fatal(err)
		}
		close(g.open)
	})
}

func TestWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := start(t, engine.Config{HistoryLimit: 1})
		g := newGate()
		register(t, e, "work", engine.Policy{}, g.handle)
		id := submit(t, e, engine.Submission{MessageType: "work"}).ID
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		s, err := e.Wait(ctx, id)
		mustBe(t, err, context.DeadlineExceeded)
		if s.State != engine.StateRunning {
			t.Errorf("%+v", s)
		}
		_, err = e.Wait(ctx, engine.ID{1})
		mustBe(t, err, engine.ErrNotFound)
		var others sync.WaitGroup
		others.Go(func() { <-g.entered; close(g.open) })
		if s, err = e.Wait(t.Context(), id); err != nil || s.State != engine.StateSucceeded {
			t.Errorf("%+v, %v", s, err)
		}
		others.Wait()
		if s, err = e.Wait(t.Context(), id); err != nil || s.State != engine.StateSucceeded {
			t.Errorf("after the end: %+v, %v", s, err)
		}
	})
}

// Cancel of a running message is kept, whatever its handler returns, and when.
func TestNothingFollowsACancel(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := start(t, engine.Config{})
		runs := 0
		register(t, e, "work", engine.Policy{MaxAttempts: 3, Timeout: time.Second, Grace: 2 * time.Second}, func(ctx context.Context, _ *engine.Message) (engine.Result, error) {
			runs++
			<-ctx.Done()
			time.Sleep(time.Second) // within the grace
			return engine.Result{}, errors.New("no")
		})
		receipt := submit(t, e, engine.Submission{MessageType: "work"})
		time.Sleep(1500 * time.Millisecond) // its timeout has passed
		if status, err := e.Cancel(receipt.ID); err != nil || !status.CancelRequested {
			t.Fatalf("%+v, %v", status, err)
		}
		if status, err := e.Wait(t.Context(), receipt.ID); err != nil || status.State != engine.StateCancelled || runs != 1 {
			t.Errorf("%d runs, %+v, %v", runs, status, err)
		}
	})
}

// A type that is paused while the engine drains does not hold it up.
func TestPausingWhileDraining(t *testing.T) {
	memoryOnly(t)
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := start(t, engine.Config{Concurrency: 1})
		register(t, e, "work", engine.Policy{}, func(context.Context, *engine.Message) (engine.Result, error) {
			time.Sleep(time.Second)
			return engine.Result{}, nil
		})
		for range 3 {
			submit(t, e, engine.Submission{MessageType: "work"})
		}
		began := time.Now()
		drained := make(chan error)
		go func() { drained <- e.Drain(t.Context()) }()
		synctest.Wait()
		if _, err := e.Reconfigure("work", func(p *engine.Policy) { p.Paused = true }); err != nil {
			t.Fatal(err)
		}
		if err := <-drained; err != nil || time.Since(began) > time.Second {
			t.Errorf("%v after %s", err, time.Since(began))
		}
	})
}
