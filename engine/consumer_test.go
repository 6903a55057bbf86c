package engine_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
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
