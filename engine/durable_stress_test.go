package engine_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/activemessage/activemessage/engine"
	"github.com/activemessage/activemessage/engine/memstore"
	"github.com/activemessage/activemessage/engine/sqlitestore"
)

// With a store that is full now and then, everything happens at once: no counter drifts,
// and every message has as many outcomes as it has ends.
func TestEverythingAtOnce(t *testing.T) {
	t.Parallel()
	if os.Getenv(withStore) != "" {
		t.Skip("it has stores of its own")
	}
	for _, kind := range []string{"memstore", "sqlitestore"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			everythingAtOnce(t, kind)
		})
	}
}

func everythingAtOnce(t *testing.T, kind string) {
	var inner engine.Store = memstore.New()
	if kind == "sqlitestore" {
		s, err := sqlitestore.Open(t.Context(), sqlitestore.Config{Dir: t.TempDir(), Unsafe: true, MinFree: -1})
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}()
		inner = s
	}
	store := &faulty{Store: inner}
	retain := engine.Retention{}
	e, err := engine.New(engine.Config{Store: store, Concurrency: 8, Retention: retain, LogLimit: 50})
	if err != nil {
		t.Fatal(err)
	}
	handle := func(ctx context.Context, m *engine.Message) (engine.Result, error) {
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
	types := []string{"a", "b", "c"}
	policy := engine.Policy{Timeout: 10 * time.Millisecond, Grace: 5 * time.Millisecond, MaxAttempts: 3, Backoff: engine.Backoff{Initial: time.Millisecond, Max: 3 * time.Millisecond}}
	for _, name := range types {
		register(t, e, name, policy, handle)
	}
	sub := subscribe(t, e, "*", engine.CursorAt(0))
	var ends sync.Map // id -> *atomic.Int64
	var numbers uint64
	subDone := make(chan struct{})
	subCtx, subStop := context.WithCancel(context.Background())
	go func() {
		defer close(subDone)
		for {
			d, err := sub.Next(subCtx)
			if err != nil {
				return
			}
			if d.Gap != nil {
				t.Errorf("gap %+v", d.Gap)
			}
			for _, n := range d.Notifications {
				if n.Number != numbers+1 {
					t.Errorf("number %d after %d", n.Number, numbers)
				}
				numbers = n.Number
				v, _ := ends.LoadOrStore(n.ID, new(atomic.Int64))
				v.(*atomic.Int64).Add(1)
			}
		}
	}()
	stop := make(chan struct{})
	var g sync.WaitGroup
	var mu sync.Mutex
	var ids []engine.ID
	retried := map[engine.ID]int64{}
	pick := func() engine.ID {
		mu.Lock()
		defer mu.Unlock()
		if len(ids) == 0 {
			return engine.ID{}
		}
		return ids[rand.N(len(ids))]
	}
	loop := func(f func()) {
		g.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					f()
				}
			}
		})
	}
	for range 6 {
		loop(func() {
			s := engine.Submission{MessageType: types[rand.N(3)], ResponseNotification: "x", Priority: rand.N(3) - 1, MessageData: make([]byte, rand.N(5000))}
			if rand.N(2) == 0 {
				s.Key = fmt.Sprint("k", rand.N(5))
			}
			if rand.N(5) == 0 {
				s.Delay = time.Duration(1+rand.N(5)) * time.Millisecond
			}
			if rand.N(5) == 0 {
				s.ExpiresAt = time.Now().Add(20 * time.Millisecond)
			}
			if rand.N(5) == 0 {
				s.IdempotencyKey = fmt.Sprint("i", rand.N(1000))
				s.MessageData = nil
				s.ExpiresAt = time.Time{}
			}
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			r, err := e.Submit(ctx, s)
			if err == nil && !r.Replayed {
				mu.Lock()
				ids = append(ids, r.ID)
				mu.Unlock()
				if rand.N(10) == 0 {
					ctx, cancel := context.WithTimeout(context.Background(), time.Duration(rand.N(20))*time.Millisecond)
					_, _ = e.Wait(ctx, r.ID)
					cancel()
				}
			}
			<-time.After(time.Duration(rand.N(2000)) * time.Microsecond)
		})
	}
	loop(func() { _, _ = e.Cancel(pick()); <-time.After(2 * time.Millisecond) })
	loop(func() {
		id := pick()
		if _, err := e.Retry(id); err == nil {
			mu.Lock()
			retried[id]++
			mu.Unlock()
		}
		<-time.After(3 * time.Millisecond)
	})
	loop(func() {
		_, _ = e.Reconfigure(types[rand.N(3)], func(p *engine.Policy) { p.Paused = rand.N(3) == 0; p.Concurrency = rand.N(4) })
		<-time.After(5 * time.Millisecond)
	})
	loop(func() {
		<-time.After(20 * time.Millisecond)
		store.fail(engine.ErrStorageFull)
		<-time.After(3 * time.Millisecond)
		store.fail(nil)
	})
	<-time.After(2 * time.Second)
	close(stop)
	g.Wait()
	store.fail(nil)
	for _, name := range types {
		if _, err := e.Reconfigure(name, func(p *engine.Policy) { *p = policy }); err != nil {
			t.Error(err)
		}
	}
	deadline := time.Now().Add(30 * time.Second)
	for len(e.Leaks()) > 0 && time.Now().Before(deadline) {
		<-time.After(20 * time.Millisecond)
	}
	if l := e.Leaks(); len(l) > 0 {
		t.Errorf("leaks: %v\nstats %+v", l, e.Stats())
	}
	snapshot, _ := store.Load(t.Context())
	if len(snapshot.Counts) > 0 {
		for n, c := range snapshot.Counts {
			if c != (engine.Counts{}) {
				t.Errorf("store counts %s %+v", n, c)
			}
		}
	}
	<-time.After(50 * time.Millisecond)
	subStop()
	<-subDone
	wrong := 0
	for _, id := range ids {
		s, err := e.Get(id)
		if err != nil || !s.State.Terminal() {
			t.Errorf("%s: %s %v", id, s.State, err)
		}
		v, ok := ends.Load(id)
		var n int64
		if ok {
			n = v.(*atomic.Int64).Load()
		}
		if n != 1+retried[id] {
			if wrong++; wrong < 5 {
				t.Errorf("%s: %d outcomes told, %d retries, %s", id, n, retried[id], s.State)
			}
		}
	}
	t.Logf("%d messages, %d notifications, cursor %d", len(ids), numbers, e.Cursor().Number)
	if err := e.Drain(t.Context()); err != nil {
		t.Error(err)
	}
}
