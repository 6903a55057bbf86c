package remote_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/activemessage/activemessage/engine"
	"github.com/activemessage/activemessage/engine/memstore"
	"github.com/activemessage/activemessage/engine/remote"
)

// TestMain fails the package if a test leaves a goroutine behind.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// shop is an engine with workers in a bubble.
type shop struct {
	t       *testing.T
	engine  *engine.Engine
	workers *remote.Workers
}

// eachStore runs a test without a store, and with one.
func eachStore(t *testing.T, test func(s *shop)) {
	t.Parallel()
	for name, store := range map[string]engine.Store{"memory": nil, "store": memstore.New()} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if store != nil {
					store = memstore.New() // in the bubble
				}
				e, err := engine.New(engine.Config{Store: store})
				if err != nil {
					t.Fatal(err)
				}
				s := &shop{t, e, remote.New(e, remote.Config{})}
				defer s.workers.Close()
				defer func() {
					ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
					defer cancel()
					_ = e.Drain(ctx) // not all is settled
				}()
				if err := e.Register("work", engine.Outside(), engine.Policy{}); err != nil {
					t.Fatal(err)
				}
				test(s)
			})
		})
	}
}

func (s *shop) submit() engine.ID {
	s.t.Helper()
	receipt, err := s.engine.Submit(s.t.Context(), engine.Submission{MessageType: "work"})
	if err != nil {
		s.t.Fatal(err)
	}
	return receipt.ID
}

// hello is that of a worker that runs one message at once.
func hello(instance string) remote.Hello {
	return remote.Hello{Instance: instance, Types: []remote.Type{{MessageType: "work"}}, Window: 1, Unlisted: true}
}

func (s *shop) take(h remote.Hello, wait time.Duration) remote.Taken {
	s.t.Helper()
	taken, err := s.workers.Take(s.t.Context(), h, wait)
	if err != nil {
		s.t.Fatal(err)
	}
	return taken
}

func (s *shop) lease(taken remote.Taken) engine.Lease {
	s.t.Helper()
	if len(taken.Jobs) != 1 {
		s.t.Fatalf("%d jobs, expected one", len(taken.Jobs))
	}
	m := taken.Jobs[0].Message
	return engine.Lease{ID: m.ID, Attempt: m.Attempt}
}

func (s *shop) expect(id engine.ID, state engine.State, attempt, lost int) {
	s.t.Helper()
	synctest.Wait()
	if got, err := s.engine.Get(id); err != nil || got.State != state || got.Attempt != attempt || got.Lost != lost {
		s.t.Errorf("%s, attempt %d, lost %d, %v; expected %s, %d, %d", got.State, got.Attempt, got.Lost, err, state, attempt, lost)
	}
}

// A take waits for a message, and gives as many as the window has room for.
func TestTakeWaits(t *testing.T) {
	eachStore(t, func(s *shop) {
		began := time.Now()
		if taken := s.take(hello("one"), 10*time.Second); len(taken.Jobs) != 0 || time.Since(began) != 10*time.Second {
			s.t.Errorf("%+v after %s", taken, time.Since(began))
		}
		time.AfterFunc(3*time.Second, func() { s.submit() })
		l := s.lease(s.take(hello("one"), 10*time.Second))
		s.submit()
		if taken := s.take(hello("one"), time.Second); len(taken.Jobs) != 0 { // its window is full
			s.t.Errorf("%+v", taken)
		}
		if stale, err := s.workers.Settle(s.t.Context(), l, engine.Result{}, nil); stale || err != nil {
			s.t.Errorf("stale %t, %v", stale, err)
		}
		s.expect(l.ID, engine.StateSucceeded, 1, 0)
		s.lease(s.take(hello("one"), time.Second))
	})
}

// A second take of an instance ends the first, with nothing.
func TestASecondTakeEndsTheFirst(t *testing.T) {
	eachStore(t, func(s *shop) {
		first := make(chan remote.Taken)
		go func() { first <- s.take(hello("one"), time.Hour) }()
		synctest.Wait()
		second := make(chan remote.Taken)
		go func() { second <- s.take(hello("one"), time.Hour) }()
		if taken := <-first; len(taken.Jobs) != 0 {
			s.t.Errorf("%+v", taken)
		}
		s.submit()
		s.lease(<-second)
	})
}

// Who goes away while a take waits leaves nothing behind.
func TestTheClientOfATakeIsGone(t *testing.T) {
	eachStore(t, func(s *shop) {
		ctx, cancel := context.WithCancel(s.t.Context())
		taken := make(chan remote.Taken)
		go func() {
			answer, err := s.workers.Take(ctx, hello("one"), time.Hour)
			if err != nil {
				s.t.Error(err)
			}
			taken <- answer
		}()
		synctest.Wait()
		cancel()
		<-taken
		s.submit()
		s.lease(s.take(hello("two"), time.Second))
	})
}

// The answer to a take was lost: the next one does not list the job, which is lost, and
// comes again.
func TestTheAnswerToATakeWasLost(t *testing.T) {
	eachStore(t, func(s *shop) {
		id := s.submit()
		s.lease(s.take(hello("one"), time.Second))
		h := hello("one")
		h.Unlisted = false
		if l := s.lease(s.take(h, time.Second)); l.ID != id || l.Attempt != 2 {
			s.t.Errorf("%+v", l)
		}
		s.expect(id, engine.StateRunning, 2, 1)
	})
}

// Beats keep a lease, tell of a cancel, and are stale in the end.
func TestBeatsOfOneLease(t *testing.T) {
	eachStore(t, func(s *shop) {
		id := s.submit()
		l := s.lease(s.take(hello("one"), time.Second))
		for range 10 {
			time.Sleep(20 * time.Second)
			if asked, err := s.workers.Extend(s.t.Context(), l, remote.Report{Progress: &engine.Progress{Fraction: 0.5}}); asked != nil || err != nil {
				s.t.Errorf("%v, %v", asked, err)
			}
		}
		if _, err := s.engine.Cancel(id); err != nil {
			s.t.Fatal(err)
		}
		if asked, err := s.workers.Extend(s.t.Context(), l, remote.Report{Checkpoint: []byte(`1`)}); asked != engine.ErrCancelled || err != nil { //nolint:errorlint // exactly that
			s.t.Errorf("%v, %v", asked, err)
		}
		if taken := s.take(hello("one"), 0); len(taken.Stops) != 1 || taken.Stops[0].Lease != l {
			s.t.Errorf("%+v", taken)
		}
		time.Sleep(time.Minute)
		s.expect(id, engine.StateCancelled, 1, 0)
		if asked, err := s.workers.Extend(s.t.Context(), l, remote.Report{}); asked != engine.ErrStale || err != nil { //nolint:errorlint // exactly that
			s.t.Errorf("%v, %v", asked, err)
		}
		if stale, err := s.workers.Settle(s.t.Context(), l, engine.Result{}, nil); !stale || err != nil {
			s.t.Errorf("stale %t, %v", stale, err)
		}
	})
}

// A worker of which nothing is heard is forgotten, and its messages go to others.
func TestASilentTaker(t *testing.T) {
	eachStore(t, func(s *shop) {
		id := s.submit()
		s.lease(s.take(hello("one"), time.Second))
		l := s.lease(s.take(hello("two"), time.Hour))
		if l.ID != id || l.Attempt != 2 {
			s.t.Errorf("%+v", l)
		}
		time.Sleep(3 * time.Minute)
		if got := s.workers.Stats(); got.Sessions != 0 || got.Instances != 0 || got.Leases != 0 {
			s.t.Errorf("%+v", got)
		}
	})
}

// What a handler detached is settled over HTTP, by whoever has the lease.
func TestADetachedMessageIsSettled(t *testing.T) {
	eachStore(t, func(s *shop) {
		detach := func(context.Context, *engine.Message) (engine.Result, error) {
			return engine.Result{}, engine.Detach(time.Hour)
		}
		if err := s.engine.Replace("work", engine.HandlerFunc(detach), engine.Policy{}); err != nil {
			s.t.Fatal(err)
		}
		id := s.submit()
		synctest.Wait()
		l := engine.Lease{ID: id, Attempt: 1}
		if asked, err := s.workers.Extend(s.t.Context(), l, remote.Report{}); asked != nil || err != nil {
			s.t.Errorf("%v, %v", asked, err)
		}
		time.Sleep(4 * time.Minute) // a beat does not shorten what the handler said
		for range 2 {               // its answer was lost
			if stale, err := s.workers.Settle(s.t.Context(), l, engine.Result{Data: []byte("1")}, nil); stale || err != nil {
				s.t.Errorf("stale %t, %v", stale, err)
			}
		}
		s.expect(id, engine.StateSucceeded, 1, 0)
	})
}

// A report of a message whose handler runs in the server, and may not detach it, is stale
// at once.
func TestAReportOfAMessageThatTheServerRuns(t *testing.T) {
	eachStore(t, func(s *shop) {
		slow := func(context.Context, *engine.Message) (engine.Result, error) {
			time.Sleep(10 * time.Second)
			return engine.Result{}, nil
		}
		if err := s.engine.Replace("work", engine.HandlerFunc(slow), engine.Policy{}); err != nil {
			s.t.Fatal(err)
		}
		id := s.submit()
		synctest.Wait()
		began, failure := time.Now(), engine.Permanent(&engine.Error{Code: "lie", Message: "lie"})
		if stale, err := s.workers.Settle(s.t.Context(), engine.Lease{ID: id, Attempt: 1}, engine.Result{}, failure); !stale || err != nil || time.Since(began) > 0 {
			s.t.Errorf("stale %t, %v, after %s", stale, err, time.Since(began))
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		s.expect(id, engine.StateSucceeded, 1, 0)
	})
}

// A worker that asks and does not wait gets what there is, also if a store has to claim it
// first; with nothing there it is answered at once.
func TestATakeThatDoesNotWait(t *testing.T) {
	eachStore(t, func(s *shop) {
		began := time.Now()
		if taken := s.take(hello("one"), 0); len(taken.Jobs) != 0 || time.Since(began) != 0 {
			s.t.Errorf("%+v after %s", taken, time.Since(began))
		}
		id := s.submit()
		taken := s.take(hello("one"), 0)
		if len(taken.Jobs) != 1 || taken.Jobs[0].Message.ID != id {
			s.t.Fatalf("%+v", taken)
		}
		stale, err := s.workers.Settle(s.t.Context(), engine.Lease{ID: id, Attempt: 1}, engine.Result{}, nil)
		if stale || err != nil {
			s.t.Errorf("stale %t, %v", stale, err)
		}
	})
}
