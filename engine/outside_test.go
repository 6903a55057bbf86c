package engine_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/activemessage/activemessage/engine"
)

// outside registers types that run outside of the engine.
func outside(t testing.TB, e *engine.Engine, p engine.Policy, types ...string) {
	t.Helper()
	for _, name := range types {
		if err := e.Register(name, engine.Outside(), p); err != nil {
			t.Fatal(err)
		}
	}
}

// consume opens a consumer that the test's end closes.
func consume(t testing.TB, e *engine.Engine, slots int, types ...string) *engine.Consumer {
	t.Helper()
	c, err := e.NewConsumer(engine.ConsumerConfig{Types: types, Slots: slots})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// next returns the next n jobs and extends their leases by an hour; anything else fails the
// test.
func next(t testing.TB, e *engine.Engine, c *engine.Consumer, n int) []engine.Job {
	t.Helper()
	var all []engine.Job
	for len(all) < n {
		w, err := c.Next(t.Context())
		if err != nil || len(w.Stops) > 0 {
			t.Fatalf("after %d of %d jobs: %+v, %v", len(all), n, w.Stops, err)
		}
		for _, job := range w.Jobs {
			if stale := e.Extend(time.Hour, leaseOf(job)); len(stale) > 0 {
				t.Fatalf("stale at once: %v", stale)
			}
		}
		all = append(all, w.Jobs...)
	}
	if len(all) > n {
		t.Fatalf("%d jobs, expected %d", len(all), n)
	}
	return all
}

// nextStop returns the next stop.
func nextStop(t testing.TB, c *engine.Consumer) engine.Stop {
	t.Helper()
	w, err := c.Next(t.Context())
	if err != nil || len(w.Jobs) > 0 || len(w.Stops) != 1 {
		t.Fatalf("expected one stop: %+v, %v", w, err)
	}
	return w.Stops[0]
}

// idle fails the test if the consumer has something to do within a minute.
func idle(t testing.TB, c *engine.Consumer) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if w, err := c.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("expected nothing to do: %+v, %v", w, err)
	}
}

func leaseOf(job engine.Job) engine.Lease {
	return engine.Lease{ID: job.Message.ID, Attempt: job.Message.Attempt}
}

// settle ends an attempt, and waits until that is stored.
func settle(t testing.TB, e *engine.Engine, l engine.Lease, result string, err error) {
	t.Helper()
	stored, err := e.Settle(l, engine.Result{Data: []byte(result)}, err)
	if err == nil {
		err = stored.Wait(t.Context())
	}
	if err != nil {
		t.Fatalf("settle %v: %v", l, err)
	}
}

func TestAConsumerRunsMessages(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := start(t, engine.Config{Concurrency: 1})
		outside(t, e, engine.Policy{}, "a", "b")
		sub := subscribe(t, e, "*", engine.Cursor{})
		c := consume(t, e, 2, "a", "b")
		for i := range 3 {
			submit(t, e, engine.Submission{MessageType: "a", ResponseNotification: name(i), MessageData: []byte(name(i)), Metadata: map[string]string{"n": "1"}})
		}
		jobs := next(t, e, c, 2)
		for i, job := range jobs {
			if m := job.Message; string(m.MessageData) != name(i) || m.Attempt != 1 || m.Metadata["n"] != "1" || job.MaxAttempts != 1 ||
				!job.Deadline.Equal(time.Now().Add(engine.DefaultTimeout)) {
				t.Errorf("%+v, %+v", job, m)
			}
		}
		idle(t, c) // both slots are taken
		settle(t, e, leaseOf(jobs[0]), "result", nil)
		settle(t, e, leaseOf(next(t, e, c, 1)[0]), "", &engine.Error{Code: "c", Message: "no"})
		settle(t, e, leaseOf(jobs[1]), "", errors.New("secret"))
		if got := texts(read(t, sub, 3)); !slices.Equal(got, []string{"request_0:ok", "request_2:err(no)", "request_1:err(handler failed)"}) {
			t.Error(got)
		}
		if s := status(t, e, jobs[0].Message.ID); string(s.Result.Data) != "result" || s.Attempt != 1 {
			t.Errorf("%+v", s)
		}
	})
}

// What runs outside holds no slot of the engine's, and what runs inside none of a
// consumer's.
func TestOutsideAndInsideHaveTheirOwnSlots(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := start(t, engine.Config{Concurrency: 1})
		outside(t, e, engine.Policy{}, "far")
		g := newGate()
		register(t, e, "near", engine.Policy{}, g.handle)
		c := consume(t, e, 3, "far")
		for range 3 {
			submit(t, e, engine.Submission{MessageType: "far"})
			submit(t, e, engine.Submission{MessageType: "near"})
		}
		jobs := next(t, e, c, 3)
		<-g.entered
		synctest.Wait()
		if s := e.Stats(); s.Running != 4 || s.Outside != 3 || s.Queued != 2 {
			t.Errorf("%d run, %d outside, %d wait", s.Running, s.Outside, s.Queued)
		}
		close(g.open)
		for _, job := range jobs {
			settle(t, e, leaseOf(job), "", nil)
		}
	})
}

func TestATypesConcurrencyBoundsAllItsConsumers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := start(t, engine.Config{})
		outside(t, e, engine.Policy{Concurrency: 3}, "far")
		a, b := consume(t, e, 2, "far"), consume(t, e, 2, "far")
		for range 6 {
			submit(t, e, engine.Submission{MessageType: "far"})
		}
		jobs := append(next(t, e, a, 2), next(t, e, b, 1)...)
		idle(t, b)
		for range 3 { // one ends, the next begins, with whoever has room
			settle(t, e, leaseOf(jobs[0]), "", nil)
			got := append(collect(t, a), collect(t, b)...)
			if len(got) != 1 {
				t.Fatalf("%d jobs begin when one has ended", len(got))
			}
			jobs = append(jobs[1:], got...)
		}
		for _, job := range jobs {
			e.Extend(time.Hour, leaseOf(job))
			settle(t, e, leaseOf(job), "", nil)
		}
	})
}

// The types of a consumer take turns, and so do the consumers of a type.
func TestConsumersAndTypesTakeTurns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := start(t, engine.Config{})
		outside(t, e, engine.Policy{}, "a", "b")
		for range 18 {
			submit(t, e, engine.Submission{MessageType: "a"})
		}
		for range 2 {
			submit(t, e, engine.Submission{MessageType: "b"})
		}
		c := consume(t, e, 1, "a", "b")
		behind := 0
		for bs := 0; bs < 2; behind++ {
			job := next(t, e, c, 1)[0]
			if job.Message.MessageType == "b" {
				bs++
			}
			settle(t, e, leaseOf(job), "", nil)
		}
		if behind > 6 {
			t.Errorf("two messages of b came after %d of a", behind-2)
		}
		c.Close()
		for range behind - 4 { // 16 wait then
			submit(t, e, engine.Submission{MessageType: "a"})
		}
		one, two := consume(t, e, 8, "a"), consume(t, e, 8, "a")
		synctest.Wait()
		first, second := collect(t, one), collect(t, two)
		if n, m := len(first), len(second); n != 8 || m != 8 {
			t.Errorf("one consumer has %d, the other %d", n, m)
		}
		for _, job := range append(first, second...) {
			settle(t, e, leaseOf(job), "", nil)
		}
	})
}

// collect returns the jobs that are there.
func collect(t testing.TB, c *engine.Consumer) []engine.Job {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	w, err := c.Next(ctx)
	if err != nil {
		return nil
	}
	return w.Jobs
}

func TestWhatASettledAttemptComesTo(t *testing.T) {
	t.Parallel()
	boom := &engine.Error{Code: "boom", Message: "boom"}
	for name, c := range map[string]struct {
		policy   engine.Policy
		err      error
		attempts string
		lost     int
		outcome  string
	}{
		"failure":            {engine.Policy{}, boom, "1:failed ", 0, "p:err(boom)"},
		"retry":              {engine.Policy{MaxAttempts: 3}, boom, "1:retrying 2:succeeded ", 0, "p:ok"},
		"permanent":          {engine.Policy{MaxAttempts: 3}, engine.Permanent(boom), "1:failed ", 0, "p:err(boom)"},
		"snooze":             {engine.Policy{}, engine.Snooze(time.Hour), "1:scheduled 2:succeeded ", 0, "p:ok"},
		"throttle":           {engine.Policy{MaxAttempts: 2}, engine.Throttle(time.Minute, boom), "1:retrying 2:succeeded ", 0, "p:ok"},
		"throttle unfailed":  {engine.Policy{}, engine.Throttle(time.Minute, nil), "1:scheduled 2:succeeded ", 0, "p:ok"},
		"lost":               {engine.Policy{}, engine.Lost(nil), "1:queued 2:succeeded ", 1, "p:ok"},
		"lost too often":     {engine.Policy{MaxLost: 1}, engine.Lost(nil), "1:failed ", 1, "p:err(its worker was lost once while it ran)"},
		"handed back":        {engine.Policy{}, engine.HandBack(), "1:queued 2:succeeded ", 0, "p:ok"},
		"handed back lately": {engine.Policy{MaxAttempts: 9}, fmt.Errorf("no: %w", engine.HandBack()), "1:queued 2:succeeded ", 0, "p:ok"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				e := start(t, engine.Config{})
				outside(t, e, c.policy, "far")
				sub := subscribe(t, e, "p", engine.Cursor{})
				id := submit(t, e, engine.Submission{MessageType: "far", ResponseNotification: "p", Key: "k"}).ID
				behind := submit(t, e, engine.Submission{MessageType: "far", Key: "k"}).ID
				worker := consume(t, e, 2, "far")
				settle(t, e, leaseOf(next(t, e, worker, 1)[0]), "", c.err)
				if s := status(t, e, id); !s.State.Terminal() {
					job := next(t, e, worker, 1)[0]
					if job.Message.ID != id {
						t.Fatal("the next of its key ran before it had ended")
					}
					settle(t, e, leaseOf(job), "", nil)
				}
				if got := texts(read(t, sub, 1))[0]; got != c.outcome {
					t.Error(got)
				}
				if s := status(t, e, id); states(s.Attempts) != c.attempts || s.Lost != c.lost {
					t.Errorf("%s, %d lost", states(s.Attempts), s.Lost)
				}
				last := next(t, e, worker, 1)[0]
				if last.Message.ID != behind {
					t.Error("another message follows in its key")
				}
				settle(t, e, leaseOf(last), "", nil)
			})
		})
	}
}

// A lease is one attempt's: what comes for another, or twice, changes nothing.
func TestStaleLeases(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := start(t, engine.Config{})
		outside(t, e, engine.Policy{MaxAttempts: 2}, "far")
		c := consume(t, e, 1, "far")
		submit(t, e, engine.Submission{MessageType: "far"})
		first := leaseOf(next(t, e, c, 1)[0])
		stale := []engine.Lease{{ID: first.ID, Attempt: 2}, {ID: first.ID}, {Attempt: 1}, {ID: first.ID, Attempt: -1}}
		settle(t, e, first, "", errors.New("again"))
		second := leaseOf(next(t, e, c, 1)[0])
		stale = append(stale[1:], first)
		for _, l := range stale {
			_, err := e.Settle(l, engine.Result{}, nil)
			mustBe(t, err, engine.ErrStale)
			mustBe(t, e.ReportProgress(l, 1, ""), engine.ErrStale)
			_, err = e.Save(l, nil)
			mustBe(t, err, engine.ErrStale)
		}
		if got := e.Extend(time.Hour, append(stale, second)...); !slices.Equal(got, stale) {
			t.Errorf("stale are %v", got)
		}
		settle(t, e, second, "", nil)
		_, err := e.Settle(second, engine.Result{}, nil)
		mustBe(t, err, engine.ErrStale)
	})
}

func TestALeaseEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := start(t, engine.Config{})
		outside(t, e, engine.Policy{Timeout: -1}, "far")
		c := consume(t, e, 1, "far")
		id := submit(t, e, engine.Submission{MessageType: "far"}).ID
		began := time.Now()
		offered := collect(t, c)[0]
		c.Resize(0)
		if stop := nextStop(t, c); stop.Lease != leaseOf(offered) || !errors.Is(stop.Reason, engine.ErrStale) || time.Since(began) != 5*time.Second {
			t.Errorf("%+v after %s", stop, time.Since(began))
		}
		c.Resize(1)
		job := collect(t, c)[0] // what never began is not lost, and its lease is not used again
		if s := status(t, e, id); s.Lost != 0 || s.Attempt != 2 {
			t.Errorf("%+v", s)
		}
		began = time.Now()
		e.Extend(time.Minute, leaseOf(job))
		time.Sleep(40 * time.Second)
		e.Extend(time.Minute, leaseOf(job))
		c.Resize(0)
		if stop := nextStop(t, c); stop.Lease != leaseOf(job) || time.Since(began) != 100*time.Second {
			t.Errorf("%+v after %s", stop, time.Since(began))
		}
		c.Resize(1)
		job = next(t, e, c, 1)[0]
		if s := status(t, e, id); s.Lost != 1 || s.Attempt != 3 || states(s.Attempts) != "1:queued 2:queued 3:running " ||
			s.Attempts[0].Error.Code != engine.CodeHandedBack || s.Attempts[1].Error.Code != engine.CodeWorkerLost {
			t.Errorf("%+v", s)
		}
		settle(t, e, leaseOf(job), "", nil)
	})
}

func TestStopsOfAConsumer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := start(t, engine.Config{})
		outside(t, e, engine.Policy{Timeout: time.Minute, Grace: time.Second}, "far")
		c := consume(t, e, 3, "far")
		sub := subscribe(t, e, "*", engine.Cursor{})
		for i := range 3 {
			submit(t, e, engine.Submission{MessageType: "far", ResponseNotification: name(i)})
		}
		jobs := next(t, e, c, 3)
		for _, job := range jobs[:2] {
			if _, err := e.Cancel(job.Message.ID); err != nil {
				t.Fatal(err)
			}
			if stop := nextStop(t, c); stop.Lease != leaseOf(job) || !errors.Is(stop.Reason, engine.ErrCancelled) {
				t.Errorf("%+v", stop)
			}
		}
		settle(t, e, leaseOf(jobs[0]), "all the same", nil)
		if stop := nextStop(t, c); stop.Lease != leaseOf(jobs[1]) || !errors.Is(stop.Reason, engine.ErrStale) {
			t.Errorf("%+v", stop) // its grace is over
		}
		began := time.Now()
		if stop := nextStop(t, c); stop.Lease != leaseOf(jobs[2]) || !errors.Is(stop.Reason, engine.ErrTimeout) || time.Since(began) != 59*time.Second {
			t.Errorf("%+v after %s", stop, time.Since(began))
		}
		settle(t, e, leaseOf(jobs[2]), "", errors.New("stopped"))
		if got := texts(read(t, sub, 3)); !slices.Equal(got, []string{"request_0:ok", "request_1:err(cancelled)", "request_2:err(timed out after 1m0s)"}) {
			t.Error(got)
		}
	})
}

// A consumer that closes hands back what it has not taken, and leaves what runs.
func TestClosingAConsumer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := start(t, engine.Config{})
		outside(t, e, engine.Policy{}, "far")
		c := consume(t, e, 1, "far")
		submit(t, e, engine.Submission{MessageType: "far"})
		runs := next(t, e, c, 1)[0]
		c.Resize(2)
		waits := submit(t, e, engine.Submission{MessageType: "far"}).ID
		synctest.Wait()
		c.Close()
		c.Close()
		if _, err := c.Next(t.Context()); !errors.Is(err, engine.ErrClosed) {
			t.Error(err)
		}
		other := consume(t, e, 1, "far")
		job := next(t, e, other, 1)[0]
		if job.Message.ID != waits || job.Message.Attempt != 1 {
			t.Errorf("%+v", job.Message)
		}
		settle(t, e, leaseOf(job), "", nil)
		settle(t, e, leaseOf(runs), "", nil)
	})
}

func TestNewConsumerRefuses(t *testing.T) {
	t.Parallel()
	e := start(t, engine.Config{})
	register(t, e, "near", engine.Policy{}, echo)
	outside(t, e, engine.Policy{}, "far")
	for _, c := range []struct {
		cfg    engine.ConsumerConfig
		target error
	}{
		{engine.ConsumerConfig{}, engine.ErrInvalid},
		{engine.ConsumerConfig{Types: []string{"far"}, Slots: -1}, engine.ErrInvalid},
		{engine.ConsumerConfig{Types: []string{"far", "near"}}, engine.ErrInvalid},
		{engine.ConsumerConfig{Types: []string{"far", "unknown"}}, engine.ErrUnknownType},
	} {
		_, err := e.NewConsumer(c.cfg)
		mustBe(t, err, c.target)
	}
}

// A handler that detaches frees its worker, not its type's slot.
func TestDetach(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := start(t, engine.Config{Concurrency: 1})
		sub := subscribe(t, e, "*", engine.Cursor{})
		register(t, e, "hook", engine.Policy{Concurrency: 2, MaxAttempts: 2}, func(context.Context, *engine.Message) (engine.Result, error) {
			return engine.Result{}, engine.Detach(time.Minute)
		})
		register(t, e, "near", engine.Policy{}, echo)
		var ids []engine.ID
		for i := range 3 {
			ids = append(ids, submit(t, e, engine.Submission{MessageType: "hook", ResponseNotification: name(i)}).ID)
		}
		submit(t, e, engine.Submission{MessageType: "near", ResponseNotification: "near"})
		if got := texts(read(t, sub, 1))[0]; got != "near:ok" {
			t.Error(got)
		}
		synctest.Wait()
		if s := e.Stats(); s.Running != 2 || s.Outside != 2 || s.Queued != 1 {
			t.Errorf("%d run, %d outside, %d wait", s.Running, s.Outside, s.Queued)
		}
		first, second := engine.Lease{ID: ids[0], Attempt: 1}, engine.Lease{ID: ids[1], Attempt: 1}
		if err := e.ReportProgress(first, 0.5, "half"); err != nil || status(t, e, ids[0]).Progress.Note != "half" {
			t.Error(err)
		}
		settle(t, e, first, "done", nil)
		settle(t, e, second, "", errors.New("again")) // detaches once more
		if got := texts(read(t, sub, 1))[0]; got != "request_0:ok" {
			t.Error(got)
		}
		time.Sleep(30 * time.Second)
		settle(t, e, engine.Lease{ID: ids[1], Attempt: 2}, "", nil)
		e.Extend(time.Minute, engine.Lease{ID: ids[2], Attempt: 1})
		time.Sleep(59 * time.Second)
		settle(t, e, engine.Lease{ID: ids[2], Attempt: 1}, "", nil)
		if got := texts(read(t, sub, 2)); !slices.Equal(got, []string{"request_1:ok", "request_2:ok"}) {
			t.Error(got)
		}
	})
}

// Whoever has detached work and says nothing more is gone.
func TestDetachedAndLost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := start(t, engine.Config{})
		sub := subscribe(t, e, "*", engine.Cursor{})
		register(t, e, "hook", engine.Policy{MaxLost: 2}, func(context.Context, *engine.Message) (engine.Result, error) {
			return engine.Result{}, engine.Detach(time.Minute)
		})
		submit(t, e, engine.Submission{MessageType: "hook", ResponseNotification: "p"})
		began := time.Now()
		if got := texts(read(t, sub, 1))[0]; got != "p:err(its worker was lost 2 times while it ran)" || time.Since(began) != 2*time.Minute {
			t.Errorf("%s after %s", got, time.Since(began))
		}
	})
}

// A throttled type waits as a whole; the others go on.
func TestThrottle(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := start(t, engine.Config{Concurrency: 4})
		sub := subscribe(t, e, "*", engine.Cursor{})
		var calls atomic.Int64
		register(t, e, "slow", engine.Policy{MaxAttempts: 2, Concurrency: 1}, func(context.Context, *engine.Message) (engine.Result, error) {
			if calls.Add(1) == 1 {
				return engine.Result{}, engine.Throttle(time.Minute, errors.New("too many"))
			}
			return engine.Result{}, nil
		})
		register(t, e, "near", engine.Policy{}, echo)
		began := time.Now()
		for i := range 4 {
			submit(t, e, engine.Submission{MessageType: "slow", ResponseNotification: name(i)})
		}
		submit(t, e, engine.Submission{MessageType: "near", ResponseNotification: "near"})
		if got := texts(read(t, sub, 1))[0]; got != "near:ok" || time.Since(began) > time.Second {
			t.Errorf("%s after %s", got, time.Since(began))
		}
		synctest.Wait()
		if s, _ := e.TypeStats("slow"); !s.ThrottledUntil.Equal(began.Add(time.Minute)) {
			t.Errorf("throttled until %s", s.ThrottledUntil)
		}
		if calls.Load() != 1 {
			t.Errorf("%d calls before the minute is over", calls.Load())
		}
		read(t, sub, 4)
		if calls.Load() != 5 || time.Since(began) != time.Minute {
			t.Errorf("%d calls after %s", calls.Load(), time.Since(began))
		}
	})
}

func TestReplace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := start(t, engine.Config{})
		sub := subscribe(t, e, "*", engine.Cursor{})
		g := newGate()
		register(t, e, "a", engine.Policy{Concurrency: 1}, g.handle)
		submit(t, e, engine.Submission{MessageType: "a", ResponseNotification: "before"})
		<-g.entered
		submit(t, e, engine.Submission{MessageType: "a", ResponseNotification: "after"})
		if _, err := e.Reconfigure("a", func(p *engine.Policy) { p.Paused = true }); err != nil {
			t.Fatal(err)
		}
		if err := e.Replace("a", engine.HandlerFunc(echo), engine.Policy{Concurrency: 7}); err != nil {
			t.Fatal(err)
		}
		if s, _ := e.TypeStats("a"); s.Policy.Concurrency != 7 || !s.Policy.Paused {
			t.Errorf("%+v", s.Policy)
		}
		if _, err := e.Reconfigure("a", func(p *engine.Policy) { p.Paused = false }); err != nil {
			t.Fatal(err)
		}
		if got := texts(read(t, sub, 1))[0]; got != "after:ok" {
			t.Error(got)
		}
		// From inside to outside and back, with messages that wait and run.
		if err := e.Replace("a", engine.Outside(), engine.Policy{}); err != nil {
			t.Fatal(err)
		}
		submit(t, e, engine.Submission{MessageType: "a", ResponseNotification: "outside"})
		c := consume(t, e, 1, "a")
		job := next(t, e, c, 1)[0]
		submit(t, e, engine.Submission{MessageType: "a", ResponseNotification: "inside"})
		if err := e.Replace("a", engine.HandlerFunc(echo), engine.Policy{}); err != nil {
			t.Fatal(err)
		}
		close(g.open)
		if got := texts(read(t, sub, 2)); !slices.Contains(got, "before:ok") || !slices.Contains(got, "inside:ok") {
			t.Error(got)
		}
		settle(t, e, leaseOf(job), "", nil)
		read(t, sub, 1)
		mustBe(t, e.Replace("b", engine.HandlerFunc(echo), engine.Policy{}), engine.ErrUnknownType)
		mustBe(t, e.Replace("a", nil, engine.Policy{}), engine.ErrInvalid)
		mustBe(t, e.Replace("a", engine.HandlerFunc(echo), engine.Policy{Grace: -1}), engine.ErrInvalid)
	})
}

func TestCheckpoints(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := start(t, engine.Config{MaxMessageBytes: 8})
		sub := subscribe(t, e, "*", engine.Cursor{})
		outside(t, e, engine.Policy{MaxAttempts: 2}, "far")
		register(t, e, "near", engine.Policy{MaxAttempts: 3}, func(ctx context.Context, m *engine.Message) (engine.Result, error) {
			if m.Attempt == 3 {
				return engine.Result{Data: m.Checkpoint}, nil
			}
			if err := m.Save(ctx, append(slices.Clone(m.Checkpoint), 'x')); err != nil {
				return engine.Result{}, engine.Permanent(err)
			}
			return engine.Result{}, errors.New("again")
		})
		near := submit(t, e, engine.Submission{MessageType: "near", ResponseNotification: "near"}).ID
		read(t, sub, 1)
		if s := status(t, e, near); string(s.Result.Data) != "xx" {
			t.Errorf("%q, %v", s.Result.Data, s.Error)
		}
		c := consume(t, e, 1, "far")
		far := submit(t, e, engine.Submission{MessageType: "far", ResponseNotification: "far"}).ID
		job := next(t, e, c, 1)[0]
		for _, data := range []string{"one", "two"} {
			if _, err := e.Save(leaseOf(job), []byte(data)); err != nil {
				t.Fatal(err)
			}
		}
		_, err := e.Save(leaseOf(job), make([]byte, 9))
		mustBe(t, err, engine.ErrTooLarge)
		settle(t, e, leaseOf(job), "", errors.New("again"))
		job = next(t, e, c, 1)[0]
		if string(job.Message.Checkpoint) != "two" {
			t.Errorf("%q", job.Message.Checkpoint)
		}
		settle(t, e, leaseOf(job), "", errors.New("no"))
		read(t, sub, 1)
		if _, err := e.Retry(far); err != nil {
			t.Fatal(err)
		}
		job = next(t, e, c, 1)[0]
		if job.Message.Checkpoint != nil {
			t.Errorf("a retry by hand begins with %q", job.Message.Checkpoint)
		}
		settle(t, e, leaseOf(job), "", nil)
	})
}

// Consumers come and go, close and crash; no slot is leaked, no message runs twice at
// once, and each has one outcome.
func TestConsumersOfAllKinds(t *testing.T) {
	t.Parallel()
	for seed := range uint64(fewer(20)) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { consumersOfAllKinds(t, seed) })
		})
	}
}

func consumersOfAllKinds(t *testing.T, seed uint64) {
	const messages = 200
	e := start(t, engine.Config{Concurrency: 2})
	policy := engine.Policy{Concurrency: 5, MaxAttempts: 100, MaxLost: 1000, Backoff: engine.Backoff{Initial: time.Second}}
	outside(t, e, policy, "a", "b", "c")
	sub := subscribe(t, e, "*", engine.Cursor{})
	var wg sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	for worker := range uint64(4) {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(seed, worker))
			for ctx.Err() == nil {
				randomConsumer(ctx, e, rng)
			}
		})
	}
	rng := rand.New(rand.NewPCG(seed, 99))
	for i := range messages {
		key := ""
		if rng.IntN(3) == 0 {
			key = fmt.Sprint(rng.IntN(3))
		}
		submit(t, e, engine.Submission{MessageType: string(rune('a' + rng.IntN(3))), ResponseNotification: name(i), Key: key, Priority: rng.IntN(3)})
		time.Sleep(time.Duration(rng.IntN(300)) * time.Millisecond)
	}
	seen := make(map[string]bool)
	for _, text := range texts(read(t, sub, messages)) {
		if seen[text] {
			t.Errorf("%s twice", text)
		}
		seen[text] = true
	}
	cancel()
	wg.Wait()
	synctest.Wait()
	nothingLeft(t, e)
}

// nothingLeft wants all counters as they are when nothing is under way.
func nothingLeft(t testing.TB, e *engine.Engine) {
	t.Helper()
	if s := e.Stats(); s.Running+s.Outside+s.Queued+s.Retrying+s.Scheduled > 0 {
		t.Errorf("left: %+v", s)
	}
	time.Sleep(time.Second) // what is claimed ahead is looked after for a moment
	if s := e.Stats(); s.Store != nil {
		if leaks := e.Leaks(); len(leaks) > 0 {
			t.Errorf("leaked: %v", leaks)
		}
	}
}

// randomConsumer is one consumer's life: it settles, fails, forgets, hands back, and
// closes with things under way.
func randomConsumer(ctx context.Context, e *engine.Engine, rng *rand.Rand) {
	c, err := e.NewConsumer(engine.ConsumerConfig{Types: []string{"a", "b", "c"}[:1+rng.IntN(3)], Slots: 1 + rng.IntN(4)})
	if err != nil {
		panic(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(ctx, time.Duration(1+rng.IntN(30))*time.Second)
	defer cancel()
	for {
		w, err := c.Next(ctx)
		if err != nil {
			return
		}
		for _, job := range w.Jobs {
			if rng.IntN(20) == 0 {
				continue // never acknowledged
			}
			e.Extend(10*time.Second, leaseOf(job))
			switch rng.IntN(20) {
			case 0: // and forgotten
			case 1:
				_, _ = e.Settle(leaseOf(job), engine.Result{}, engine.Lost(nil))
			case 2:
				_, _ = e.Settle(leaseOf(job), engine.Result{}, engine.HandBack())
			case 3:
				_, _ = e.Settle(leaseOf(job), engine.Result{}, errors.New("again"))
			case 4:
				c.Resize(rng.IntN(4))
				_, _ = e.Settle(leaseOf(job), engine.Result{}, nil)
			default:
				_, _ = e.Settle(leaseOf(job), engine.Result{}, nil)
			}
		}
		if rng.IntN(10) == 0 {
			time.Sleep(time.Duration(rng.IntN(8000)) * time.Millisecond)
		}
	}
}

// Messages that were claimed for the server's own workers are handed back when their type
// is another's.
func TestReplaceUnderLoad(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const messages = 300
		e := start(t, engine.Config{Concurrency: 4})
		sub := subscribe(t, e, "*", engine.Cursor{})
		slow := func(ctx context.Context, _ *engine.Message) (engine.Result, error) {
			time.Sleep(10 * time.Millisecond)
			return engine.Result{}, nil
		}
		register(t, e, "a", engine.Policy{}, slow)
		register(t, e, "b", engine.Policy{}, slow)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		c := make(chan *engine.Consumer, 1)
		wg.Go(func() {
			for outside := true; ctx.Err() == nil; outside = !outside {
				handler := engine.Handler(engine.HandlerFunc(slow))
				if outside {
					handler = engine.Outside()
				}
				if err := e.Replace("a", handler, engine.Policy{}); err != nil {
					t.Error(err)
				}
				if outside && len(c) == 0 {
					consumer, err := e.NewConsumer(engine.ConsumerConfig{Types: []string{"a"}, Slots: 2})
					if err != nil {
						t.Error(err)
					}
					c <- consumer
				}
				time.Sleep(30 * time.Millisecond)
			}
		})
		wg.Go(func() {
			consumer := <-c
			defer consumer.Close()
			c <- consumer // so that there is no other
			for {
				w, err := consumer.Next(ctx)
				if err != nil {
					return
				}
				for _, job := range w.Jobs {
					settle(t, e, leaseOf(job), "", nil)
				}
			}
		})
		for i := range messages {
			submit(t, e, engine.Submission{MessageType: string(rune('a' + i%2)), ResponseNotification: name(i)})
		}
		read(t, sub, messages)
		cancel()
		wg.Wait()
		synctest.Wait()
		nothingLeft(t, e)
	})
}

// Whoever a handler leaves its work with may be faster than the handler, whose context ends
// then. What it returns counts no more.
func TestSettledBeforeItIsDetached(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		returned, settled error
		outcome           string
	}{
		"succeeded":         {engine.Detach(time.Hour), nil, "p:ok"},
		"failed":            {engine.Detach(time.Hour), &engine.Error{Message: "no"}, "p:err(no)"},
		"not detached":      {nil, &engine.Error{Message: "no"}, "p:err(no)"},
		"failed by itself":  {&engine.Error{Message: "mine"}, nil, "p:ok"},
		"detached for long": {engine.Detach(time.Hour), engine.Detach(time.Minute), "p:err(its worker was lost once while it ran)"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				e := start(t, engine.Config{})
				sub := subscribe(t, e, "*", engine.Cursor{})
				began := make(chan engine.Lease, 1)
				hook := func(ctx context.Context, m *engine.Message) (engine.Result, error) {
					began <- engine.Lease{ID: m.ID, Attempt: m.Attempt}
					<-ctx.Done()
					return engine.Result{}, c.returned
				}
				if err := e.Register("hook", mayDetach{hook}, engine.Policy{MaxLost: 1, Timeout: -1}); err != nil {
					t.Fatal(err)
				}
				submit(t, e, engine.Submission{MessageType: "hook", ResponseNotification: "p"})
				l := <-began
				if stale := e.Extend(time.Hour, l); len(stale) > 0 {
					t.Error("stale while the handler runs")
				}
				stored, err := e.Settle(l, engine.Result{}, c.settled)
				mustBe(t, err, nil)
				if _, err = e.Settle(l, engine.Result{}, nil); err == nil {
					t.Error("settled twice")
				}
				mustBe(t, stored.Wait(t.Context()), nil)
				if got := texts(read(t, sub, 1))[0]; got != c.outcome {
					t.Error(got)
				}
				nothingLeft(t, e)
			})
		})
	}
}

// mayDetach is a handler that says so.
type mayDetach struct{ engine.HandlerFunc }

func (mayDetach) Detaches() bool { return true }

// What a handler runs that does not detach is nobody else's to settle.
func TestNobodySettlesWhatRunsInside(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := start(t, engine.Config{})
		g := newGate()
		register(t, e, "near", engine.Policy{}, g.handle)
		id := submit(t, e, engine.Submission{MessageType: "near"}).ID
		<-g.entered
		_, err := e.Settle(engine.Lease{ID: id, Attempt: 1}, engine.Result{}, nil)
		mustBe(t, err, engine.ErrStale)
		close(g.open)
	})
}

// A message that times out while its handler does not return is not settled by what came
// early.
func TestTooLateForAnEarlyReport(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := start(t, engine.Config{})
		g := newGate()
		if err := e.Register("hook", mayDetach{g.stubborn}, engine.Policy{Timeout: time.Minute, Grace: time.Second}); err != nil {
			t.Fatal(err)
		}
		id := submit(t, e, engine.Submission{MessageType: "hook"}).ID
		<-g.entered
		stored, err := e.Settle(engine.Lease{ID: id, Attempt: 1}, engine.Result{}, nil)
		mustBe(t, err, nil)
		time.Sleep(2 * time.Minute)
		if s := status(t, e, id); s.State != engine.StateFailed {
			t.Errorf("%+v", s)
		}
		close(g.open)
		mustBe(t, stored.Wait(t.Context()), engine.ErrStale)
	})
}

// What only Settle may say is a failure when a handler says it.
func TestHandlersThatSayWhatTheyMayNot(t *testing.T) {
	t.Parallel()
	for _, said := range []error{engine.Lost(errors.New("gone")), engine.HandBack(), engine.Lost(nil)} {
		synctest.Test(t, func(t *testing.T) {
			e := start(t, engine.Config{})
			sub := subscribe(t, e, "*", engine.Cursor{})
			register(t, e, "near", engine.Policy{MaxAttempts: 2}, func(context.Context, *engine.Message) (engine.Result, error) {
				return engine.Result{}, said
			})
			id := submit(t, e, engine.Submission{MessageType: "near", ResponseNotification: "p"}).ID
			if got := texts(read(t, sub, 1))[0]; got != "p:err(handler failed)" {
				t.Error(got)
			}
			if s := status(t, e, id); states(s.Attempts) != "1:retrying 2:failed " || s.Lost != 0 {
				t.Errorf("%+v", s)
			}
		})
	}
}

// A pause outlives the time in which nobody serves the type; a throttle does not outlive its
// handler, or somebody who wants it to go on.
func TestWhatATypeKeeps(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := start(t, engine.Config{})
		pause := func(paused bool) {
			if _, err := e.Reconfigure("a", func(p *engine.Policy) { p.Paused = paused }); err != nil {
				t.Error(err)
			}
		}
		slow := func(context.Context, *engine.Message) (engine.Result, error) {
			return engine.Result{}, engine.Throttle(time.Hour, errors.New("later"))
		}
		register(t, e, "a", engine.Policy{}, echo)
		pause(true)
		mustBe(t, e.Unregister("a"), nil)
		if _, err := e.TypeStats("a"); !errors.Is(err, engine.ErrUnknownType) || len(e.Stats().Types) > 0 {
			t.Errorf("a type that is gone: %v, %v", err, e.Stats().Types)
		}
		register(t, e, "a", engine.Policy{}, echo)
		if s, _ := e.TypeStats("a"); !s.Policy.Paused {
			t.Error("the pause is forgotten")
		}
		pause(false)
		for _, end := range []func(){
			func() { pause(true); pause(false) },
			func() { mustBe(t, e.Replace("a", engine.HandlerFunc(echo), engine.Policy{}), nil) },
		} {
			mustBe(t, e.Replace("a", engine.HandlerFunc(slow), engine.Policy{}), nil)
			submit(t, e, engine.Submission{MessageType: "a"})
			synctest.Wait()
			if s, _ := e.TypeStats("a"); s.ThrottledUntil.IsZero() {
				t.Error("not throttled")
			}
			end()
			if s, _ := e.TypeStats("a"); !s.ThrottledUntil.IsZero() {
				t.Error("throttled still")
			}
		}
	})
}
