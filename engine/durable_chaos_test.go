package engine_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/activemessage/activemessage/engine"
	"github.com/activemessage/activemessage/engine/memstore"
	"github.com/activemessage/activemessage/engine/sqlitestore"
)

// chaos is load at random on engines with a store, and what it has come to.
type chaos struct {
	t      *testing.T
	policy engine.Policy

	stop    chan struct{}
	working sync.WaitGroup

	mu      sync.Mutex
	ids     []engine.ID // accepted
	retried map[engine.ID]int

	// Of what follow reads; to be looked at when it has ended.
	number uint64
	ends   map[engine.ID]int
}

func newChaos(t *testing.T) *chaos {
	t.Helper()
	if os.Getenv(withStore) != "" {
		t.Skip("it has stores of its own")
	}
	return &chaos{
		t: t,
		policy: engine.Policy{
			Timeout: 10 * time.Millisecond, Grace: 5 * time.Millisecond, MaxAttempts: 3, MaxLost: 1000,
			Backoff: engine.Backoff{Initial: time.Millisecond, Max: 3 * time.Millisecond},
		},
		stop:    make(chan struct{}),
		retried: make(map[engine.ID]int),
		ends:    make(map[engine.ID]int),
	}
}

func (c *chaos) types() []string { return []string{"a", "b", "c"} }

func (c *chaos) anyType() string { return c.types()[rand.N(3)] }

// openUnsafe opens a store that does not wait for the disk: nobody pulls the plug here.
func (c *chaos) openUnsafe(dir string) *sqlitestore.Store {
	c.t.Helper()
	s, err := sqlitestore.Open(c.t.Context(), sqlitestore.Config{Dir: dir, Unsafe: true, MinFree: -1})
	if err != nil {
		c.t.Fatal(err)
	}
	return s
}

func (c *chaos) engine(cfg engine.Config, h engine.HandlerFunc) *engine.Engine {
	c.t.Helper()
	cfg.Concurrency = 8
	e, err := engine.New(cfg)
	if err != nil {
		c.t.Fatal(err)
	}
	for _, name := range c.types() {
		register(c.t, e, name, c.policy, h)
	}
	return e
}

// follow reads the log on, until the engine has drained; then the channel is closed.
func (c *chaos) follow(e *engine.Engine) <-chan struct{} {
	c.t.Helper()
	sub := subscribe(c.t, e, "*", engine.CursorAt(c.number))
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			d, err := sub.Next(context.Background())
			if err != nil {
				return
			}
			if d.Gap != nil {
				c.t.Errorf("gap %+v", d.Gap)
			}
			for _, n := range d.Notifications {
				if n.Number != c.number+1 {
					c.t.Errorf("number %d after %d", n.Number, c.number)
				}
				c.number = n.Number
				c.ends[n.ID]++
			}
		}
	}()
	return done
}

// loop does something again and again, a pause between, until halt.
func (c *chaos) loop(pause time.Duration, do func()) {
	c.working.Go(func() {
		for {
			do()
			select {
			case <-c.stop:
				return
			case <-time.After(pause):
			}
		}
	})
}

func (c *chaos) halt() {
	close(c.stop)
	c.working.Wait()
	c.stop = make(chan struct{})
}

// submission has a prefix, and perhaps a key and an expiry.
func (c *chaos) submission() engine.Submission {
	s := engine.Submission{MessageType: c.anyType(), ResponseNotification: "x", MessageData: make([]byte, rand.N(5000))}
	if rand.N(2) == 0 {
		s.Key = fmt.Sprint("k", rand.N(5))
	}
	if rand.N(5) == 0 {
		s.ExpiresAt = time.Now().Add(20 * time.Millisecond)
	}
	return s
}

// submit returns the ID of a message that was accepted.
func (c *chaos) submit(e *engine.Engine, s engine.Submission) (engine.ID, bool) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	r, err := e.Submit(ctx, s)
	if err != nil || r.Replayed {
		return r.ID, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ids = append(c.ids, r.ID)
	return r.ID, true
}

// pick returns the ID of any message, the zero one if there is none.
func (c *chaos) pick() engine.ID {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.ids) == 0 {
		return engine.ID{}
	}
	return c.ids[rand.N(len(c.ids))]
}

func (c *chaos) retry(e *engine.Engine) {
	id := c.pick()
	if _, err := e.Retry(id); err == nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.retried[id]++
	}
}

// awaitQuiet waits until no counter says that something is under way.
func (c *chaos) awaitQuiet(e *engine.Engine) {
	c.t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for len(e.Leaks()) > 0 && time.Now().Before(deadline) {
		<-time.After(10 * time.Millisecond)
	}
	if leaks := e.Leaks(); len(leaks) > 0 {
		c.t.Errorf("leaks: %v\nstats %+v", leaks, e.Stats())
	}
}

// check: every message has one outcome, and one more for every retry.
func (c *chaos) check() {
	c.t.Helper()
	for _, id := range c.ids {
		if want := 1 + c.retried[id]; c.ends[id] != want {
			c.t.Errorf("%s: %d outcomes, expected %d", id, c.ends[id], want)
		}
	}
	c.t.Logf("%d messages, %d notifications", len(c.ids), c.number)
}

// With a store that is full now and then, everything happens at once: no counter drifts,
// and every message has as many outcomes as it has ends.
func TestEverythingAtOnce(t *testing.T) {
	t.Parallel()
	t.Run("memstore", func(t *testing.T) {
		t.Parallel()
		newChaos(t).everythingAtOnce(memstore.New())
	})
	t.Run("sqlitestore", func(t *testing.T) {
		t.Parallel()
		c := newChaos(t)
		s := c.openUnsafe(t.TempDir())
		defer func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}()
		c.everythingAtOnce(s)
	})
}

func (c *chaos) everythingAtOnce(inner engine.Store) {
	t, store := c.t, &faulty{Store: inner}
	e := c.engine(engine.Config{Store: store, LogLimit: 50}, anything)
	followed := c.follow(e)
	for range 6 {
		c.loop(time.Millisecond, func() { c.submitAnything(e) })
	}
	c.loop(2*time.Millisecond, func() { _, _ = e.Cancel(c.pick()) })
	c.loop(3*time.Millisecond, func() { c.retry(e) })
	c.loop(5*time.Millisecond, func() {
		_, _ = e.Reconfigure(c.anyType(), func(p *engine.Policy) { p.Paused = rand.N(3) == 0; p.Concurrency = rand.N(4) })
	})
	c.loop(20*time.Millisecond, func() {
		store.fail(engine.ErrStorageFull)
		<-time.After(3 * time.Millisecond)
		store.fail(nil)
	})
	<-time.After(2 * time.Second)
	c.halt()
	store.fail(nil)
	for _, name := range c.types() {
		if _, err := e.Reconfigure(name, func(p *engine.Policy) { *p = c.policy }); err != nil {
			t.Error(err)
		}
	}
	c.awaitQuiet(e)
	snapshot, err := store.Load(t.Context())
	if err != nil {
		t.Error(err)
	}
	for name, counts := range snapshot.Counts {
		if counts != (engine.Counts{}) {
			t.Errorf("store counts %s %+v", name, counts)
		}
	}
	for _, id := range c.ids {
		if s, err := e.Get(id); err != nil || !s.State.Terminal() {
			t.Errorf("%s: %s %v", id, s.State, err)
		}
	}
	if err := e.Drain(t.Context()); err != nil {
		t.Error(err)
	}
	<-followed
	c.check()
}

// submitAnything submits with any options, and waits for some.
func (c *chaos) submitAnything(e *engine.Engine) {
	s := c.submission()
	s.Priority = rand.N(3) - 1
	if rand.N(5) == 0 {
		s.Delay = time.Duration(1+rand.N(5)) * time.Millisecond
	}
	if rand.N(5) == 0 {
		s.IdempotencyKey = fmt.Sprint("i", rand.N(1000))
		s.MessageData, s.ExpiresAt = nil, time.Time{}
	}
	if id, accepted := c.submit(e, s); accepted && rand.N(10) == 0 {
		ctx, cancel := context.WithTimeout(context.Background(), time.Duration(rand.N(20))*time.Millisecond)
		defer cancel()
		_, _ = e.Wait(ctx, id)
	}
}

// anything is a handler that does what handlers do.
func anything(ctx context.Context, m *engine.Message) (engine.Result, error) {
	switch n := rand.N(100); {
	case n < 50:
		return engine.Result{Data: m.MessageData}, nil
	case n < 60:
		return engine.Result{}, errors.New("failed")
	case n < 65:
		return engine.Result{}, engine.Snooze(time.Duration(rand.N(5)) * time.Millisecond)
	case n < 70:
		panic("boom")
	case n < 80:
		<-time.After(time.Duration(rand.N(40)) * time.Millisecond) // stuck beyond timeout and grace
		return engine.Result{}, errors.New("late")
	case n < 90:
		<-ctx.Done()
		return engine.Result{}, ctx.Err()
	}
	<-time.After(time.Millisecond)
	return engine.Result{}, nil
}

// Engines drain in the middle of everything, with a time that is too short, and the next
// ones go on: no message is told twice, and none is forgotten.
func TestRestartsInTheMiddle(t *testing.T) {
	t.Parallel()
	c, dir := newChaos(t), t.TempDir()
	const lives = 12
	for life := 1; life <= lives && !t.Failed(); life++ {
		c.live(dir, life == lives)
	}
	c.check()
}

// live is the life of one engine; the last one ends everything.
func (c *chaos) live(dir string, last bool) {
	s := c.openUnsafe(dir)
	defer func() {
		if err := s.Close(); err != nil {
			c.t.Error(err)
		}
	}()
	release := make(chan struct{})
	free := sync.OnceFunc(func() { close(release) })
	defer free()
	e := c.engine(engine.Config{Store: s, LogLimit: 20}, func(ctx context.Context, m *engine.Message) (engine.Result, error) {
		switch {
		case last:
			return engine.Result{Data: m.MessageData}, nil
		case rand.N(50) == 0:
			<-release // stuck until the end
			return engine.Result{}, nil
		}
		return anything(ctx, m)
	})
	followed := c.follow(e)
	for range 4 {
		c.loop(time.Millisecond, func() {
			if _, accepted := c.submit(e, c.submission()); accepted && rand.N(4) == 0 {
				_, _ = e.Cancel(c.pick())
			}
		})
	}
	<-time.After(time.Duration(50+rand.N(100)) * time.Millisecond)
	if last {
		c.halt()
		c.awaitQuiet(e)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(rand.N(30))*time.Millisecond)
	defer cancel()
	drained := make(chan struct{})
	go func() { defer close(drained); _ = e.Drain(ctx) }() // its error is that there was no time
	select {
	case <-drained:
	case <-time.After(5 * time.Second):
		c.t.Errorf("Drain hangs: %v", e.Leaks())
		free()
		<-drained
	}
	c.halt()
	<-followed
}
