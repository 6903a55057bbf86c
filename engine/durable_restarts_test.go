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
	"github.com/activemessage/activemessage/engine/sqlitestore"
)

// Engines drain in the middle of everything, with a time that is too short, and the next
// ones go on: no message is told twice, none is forgotten, and none of one key runs beside
// another.
func TestRestartsInTheMiddle(t *testing.T) {
	t.Parallel()
	if os.Getenv(withStore) != "" {
		t.Skip("it has a store of its own")
	}
	dir := t.TempDir()
	types := []string{"a", "b", "c"}
	policy := engine.Policy{Timeout: 10 * time.Millisecond, Grace: 5 * time.Millisecond, MaxAttempts: 3, MaxLost: 1000, Backoff: engine.Backoff{Initial: time.Millisecond, Max: 3 * time.Millisecond}}
	ends := map[engine.ID]int{}
	var numbers uint64
	var ids []engine.ID
	var mu sync.Mutex
	keyed := map[string]*atomic.Int64{}
	for i := range 5 {
		keyed[fmt.Sprint("k", i)] = new(atomic.Int64)
	}
	var release chan struct{}
	for life := range 12 {
		last := life == 11
		s, err := sqlitestore.Open(t.Context(), sqlitestore.Config{Dir: dir, Unsafe: true, MinFree: -1})
		if err != nil {
			t.Fatal(err)
		}
		store := &faulty{Store: s}
		e, err := engine.New(engine.Config{Store: store, Concurrency: 8, LogLimit: 20})
		if err != nil {
			t.Fatal(err)
		}
		release = make(chan struct{})
		open := release
		for _, name := range types {
			register(t, e, name, policy, func(ctx context.Context, m *engine.Message) (engine.Result, error) {
				switch n := rand.N(100); {
				case last || n < 40:
					return engine.Result{Data: m.MessageData}, nil
				case n < 60:
					return engine.Result{}, errors.New("failed")
				case n < 65:
					return engine.Result{}, engine.Snooze(time.Millisecond)
				case n < 67:
					<-open // stuck until the end
					return engine.Result{}, nil
				case n < 80:
					<-time.After(time.Duration(rand.N(30)) * time.Millisecond)
					return engine.Result{}, errors.New("late")
				}
				<-ctx.Done()
				return engine.Result{}, ctx.Err()
			})
		}
		sub := subscribe(t, e, "*", engine.CursorAt(numbers))
		subDone := make(chan struct{})
		go func() {
			defer close(subDone)
			for {
				d, err := sub.Next(context.Background())
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
					ends[n.ID]++
				}
			}
		}()
		stop := make(chan struct{})
		var g sync.WaitGroup
		for range 4 {
			g.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					sm := engine.Submission{MessageType: types[rand.N(3)], ResponseNotification: "x", MessageData: make([]byte, rand.N(4000))}
					if rand.N(2) == 0 {
						sm.Key = fmt.Sprint("k", rand.N(5))
					}
					if rand.N(5) == 0 {
						sm.ExpiresAt = time.Now().Add(30 * time.Millisecond)
					}
					if r, err := e.Submit(context.Background(), sm); err == nil {
						mu.Lock()
						ids = append(ids, r.ID)
						id := ids[rand.N(len(ids))]
						mu.Unlock()
						if rand.N(4) == 0 {
							_, _ = e.Cancel(id)
						}
					}
					<-time.After(time.Millisecond)
				}
			})
		}
		<-time.After(time.Duration(50+rand.N(100)) * time.Millisecond)
		if last {
			close(stop)
			g.Wait()
			deadline := time.Now().Add(20 * time.Second)
			for len(e.Leaks()) > 0 && time.Now().Before(deadline) {
				<-time.After(10 * time.Millisecond)
			}
			if l := e.Leaks(); len(l) > 0 {
				t.Errorf("leaks: %v", l)
			}
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Duration(rand.N(30))*time.Millisecond)
		done := make(chan struct{})
		go func() { defer close(done); _ = e.Drain(ctx) }() // its error is that there was no time
		select {
		case <-done:
		case <-time.After(5 * time.Second):
			t.Errorf("life %d: Drain hangs: %v", life, e.Leaks())
			close(release)
			release = nil
			<-done
		}
		cancel()
		if !last {
			close(stop)
		}
		g.Wait()
		<-subDone
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if release != nil {
			close(release)
		}
		if t.Failed() {
			break
		}
	}
	wrong := 0
	for _, id := range ids {
		if ends[id] != 1 {
			if wrong++; wrong < 5 {
				t.Errorf("%s: %d outcomes", id, ends[id])
			}
		}
	}
	t.Logf("%d messages, %d notifications", len(ids), numbers)
	<-time.After(50 * time.Millisecond)
}
