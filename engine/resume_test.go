package engine_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/activemessage/activemessage/engine"
	"github.com/activemessage/activemessage/engine/memstore"
	"github.com/activemessage/activemessage/engine/storetest"
)

// After a reconnect another consumer has the attempts.
func TestLeasesGoOnWithAnotherConsumer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := start(t, engine.Config{})
		outside(t, e, engine.Policy{Timeout: time.Minute}, "far")
		for range 4 {
			submit(t, e, engine.Submission{MessageType: "far"})
		}
		first := consume(t, e, 2, "far")
		jobs := next(t, e, first, 2)
		if _, err := e.Cancel(jobs[1].Message.ID); err != nil {
			t.Fatal(err)
		}
		second := consume(t, e, 0, "far")
		first.Close()
		for _, job := range jobs {
			if err := e.Resume(t.Context(), second, leaseOf(job), time.Hour); err != nil {
				t.Error(err)
			}
		}
		if stop := nextStop(t, second); stop.Lease != leaseOf(jobs[1]) || !errors.Is(stop.Reason, engine.ErrCancelled) {
			t.Errorf("what was asked of the first is not asked of the second: %+v", stop)
		}
		mustBe(t, e.Resume(t.Context(), first, leaseOf(jobs[0]), time.Hour), engine.ErrClosed)
		settle(t, e, leaseOf(jobs[1]), "", errors.New("stopped"))
		second.Resize(1)
		if got := collect(t, second); len(got) > 0 {
			t.Error("what it resumed takes no slot")
		}
		settle(t, e, leaseOf(jobs[0]), "", nil)
		mustBe(t, e.Resume(t.Context(), second, leaseOf(jobs[0]), time.Hour), engine.ErrStale)
		for range 2 {
			settle(t, e, leaseOf(next(t, e, second, 1)[0]), "", nil)
		}
	})
}

// What ran outside when the server ended is not run again if whoever has it comes back in
// time.
func TestLeasesGoOnAfterARestart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		store, shut := openSQLiteIn(t, dir)
		before, err := engine.New(engine.Config{Store: store})
		if err != nil {
			t.Fatal(err)
		}
		outside(t, before, engine.Policy{Timeout: time.Hour}, "far")
		for i := range 4 {
			submit(t, before, engine.Submission{MessageType: "far", ResponseNotification: name(i), MessageData: []byte(name(i)), Key: name(i)})
		}
		jobs := next(t, before, consume(t, before, 4, "far"), 4)
		saved, err := before.Save(leaseOf(jobs[0]), []byte("half"))
		if err != nil || saved.Wait(t.Context()) != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		mustBe(t, before.Drain(ctx), context.DeadlineExceeded)
		_, err = before.Settle(leaseOf(jobs[0]), engine.Result{}, nil)
		mustBe(t, err, engine.ErrDraining) // not stale: it is to be settled again
		shut()

		store, shut = openSQLiteIn(t, dir)
		t.Cleanup(shut)
		e := start(t, engine.Config{Store: store})
		outside(t, e, engine.Policy{Timeout: time.Hour}, "far")
		sub := subscribe(t, e, "*", engine.CursorAt(0))
		c := consume(t, e, 4, "far")
		resume := func(i int) error { return e.Resume(t.Context(), c, leaseOf(jobs[i]), time.Hour) }
		mustBe(t, resume(0), nil)
		settle(t, e, leaseOf(jobs[0]), "done", nil)
		time.Sleep(20 * time.Second)
		if got := collect(t, c); len(got) > 0 {
			t.Fatalf("%d run again, and their worker may still come back", len(got))
		}
		mustBe(t, resume(1), nil)
		settle(t, e, leaseOf(jobs[1]), "", errors.New("no"))
		c.Resize(1)
		again := next(t, e, c, 1)[0]
		if s := status(t, e, again.Message.ID); again.Message.Attempt != 2 || s.Lost != 0 {
			t.Errorf("%+v", s)
		}
		for i, job := range jobs {
			if job.Message.ID == again.Message.ID {
				mustBe(t, resume(i), engine.ErrStale)
			}
		}
		settle(t, e, leaseOf(again), "", nil)
		settle(t, e, leaseOf(next(t, e, c, 1)[0]), "", nil)
		read(t, sub, 4)
		for i, want := range []struct {
			attempt, lost int
			state         engine.State
		}{{1, 0, engine.StateSucceeded}, {1, 0, engine.StateFailed}, {2, 0, engine.StateSucceeded}, {2, 0, engine.StateSucceeded}} {
			if s := status(t, e, jobs[i].Message.ID); s.Attempt != want.attempt || s.Lost != want.lost || s.State != want.state {
				t.Errorf("%d: %+v", i, s)
			}
		}
		mustBe(t, e.Resume(t.Context(), c, engine.Lease{Attempt: 1}, time.Hour), engine.ErrStale)
	})
}

// A lease that goes on keeps its time, and its attempt the time it has.
func TestAResumedAttemptKeepsItsTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		store, shut := openSQLiteIn(t, dir)
		before, err := engine.New(engine.Config{Store: store})
		if err != nil {
			t.Fatal(err)
		}
		policy := engine.Policy{Timeout: time.Minute, MaxAttempts: 2}
		outside(t, before, policy, "far")
		submit(t, before, engine.Submission{MessageType: "far"})
		began := time.Now()
		job := next(t, before, consume(t, before, 1, "far"), 1)[0]
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		mustBe(t, before.Drain(ctx), context.DeadlineExceeded)
		shut()

		store, shut = openSQLiteIn(t, dir)
		t.Cleanup(shut)
		e := start(t, engine.Config{Store: store})
		outside(t, e, policy, "far")
		c := consume(t, e, 1, "far")
		mustBe(t, e.Resume(t.Context(), c, leaseOf(job), 20*time.Second), nil)
		e.Extend(time.Hour, leaseOf(job))
		if stop := nextStop(t, c); !errors.Is(stop.Reason, engine.ErrTimeout) || time.Since(began).Round(time.Second) != time.Minute {
			t.Errorf("%+v after %s", stop, time.Since(began))
		}
		settle(t, e, leaseOf(job), "", nil)
	})
}

// A server that is killed leaves no word: what nobody resumes is lost. Handlers that may
// detach their messages have the same time to be heard of.
func TestLeasesGoOnAfterACrash(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := storetest.NewMortal(memstore.New())
		before, err := engine.New(engine.Config{Store: store})
		if err != nil {
			t.Fatal(err)
		}
		detach := mayDetach{func(context.Context, *engine.Message) (engine.Result, error) {
			return engine.Result{}, engine.Detach(time.Hour)
		}}
		outside(t, before, engine.Policy{}, "far")
		if err := before.Register("hook", detach, engine.Policy{}); err != nil {
			t.Fatal(err)
		}
		var leases []engine.Lease
		for _, messageType := range []string{"far", "far", "hook", "hook"} {
			leases = append(leases, engine.Lease{ID: submit(t, before, engine.Submission{MessageType: messageType}).ID, Attempt: 1})
		}
		next(t, before, consume(t, before, 2, "far"), 2)
		synctest.Wait()
		store.Die()
		_ = before.Drain(t.Context()) // its error is that the store has failed
		for _, l := range leases {
			_, err := before.Settle(l, engine.Result{}, nil)
			mustBe(t, err, engine.ErrStoreFailed)
		}

		e := start(t, engine.Config{Store: store})
		outside(t, e, engine.Policy{}, "far")
		if err := e.Register("hook", detach, engine.Policy{}); err != nil {
			t.Fatal(err)
		}
		c := consume(t, e, 2, "far")
		time.Sleep(20 * time.Second)
		for _, l := range []engine.Lease{leases[0], leases[2]} {
			mustBe(t, e.Resume(t.Context(), nil, l, time.Minute), nil)
			settle(t, e, l, "", nil)
		}
		again := next(t, e, c, 1)[0]
		if s := status(t, e, again.Message.ID); again.Message.ID != leases[1].ID || again.Message.Attempt != 2 || s.Lost != 1 {
			t.Errorf("%+v", s)
		}
		settle(t, e, leaseOf(again), "", nil)
		synctest.Wait()
		if s := status(t, e, leases[3].ID); s.Attempt != 2 || s.Lost != 1 || s.State != engine.StateRunning {
			t.Errorf("%+v", s)
		}
		settle(t, e, engine.Lease{ID: leases[3].ID, Attempt: 2}, "", nil)
		for i, lost := range []int{0, 1, 0, 1} {
			if s := status(t, e, leases[i].ID); s.State != engine.StateSucceeded || s.Lost != lost || s.Attempt != 1+lost {
				t.Errorf("%d: %+v", i, s)
			}
		}
	})
}

// Only what runs outside is resumed: not what the server's own handlers ran when it died,
// and with a consumer only messages of its types.
func TestWhatIsNotResumed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := storetest.NewMortal(memstore.New())
		before, err := engine.New(engine.Config{Store: store})
		if err != nil {
			t.Fatal(err)
		}
		g := newGate()
		register(t, before, "near", engine.Policy{}, g.handle)
		outside(t, before, engine.Policy{}, "far", "other")
		near := engine.Lease{ID: submit(t, before, engine.Submission{MessageType: "near"}).ID, Attempt: 1}
		far := engine.Lease{ID: submit(t, before, engine.Submission{MessageType: "far"}).ID, Attempt: 1}
		<-g.entered
		next(t, before, consume(t, before, 1, "far"), 1)
		store.Die()
		close(g.open)
		_ = before.Drain(t.Context()) // its error is that the store has failed

		e := start(t, engine.Config{Store: store})
		register(t, e, "near", engine.Policy{Paused: true}, echo)
		outside(t, e, engine.Policy{}, "far", "other")
		others, c := consume(t, e, 1, "other"), consume(t, e, 1, "far")
		mustBe(t, e.Resume(t.Context(), nil, near, time.Minute), engine.ErrStale)
		mustBe(t, e.Resume(t.Context(), others, far, time.Minute), engine.ErrStale)
		mustBe(t, e.Resume(t.Context(), c, far, time.Minute), nil)
		mustBe(t, e.Resume(t.Context(), others, far, time.Minute), engine.ErrStale)
		settle(t, e, far, "", nil)
	})
}
