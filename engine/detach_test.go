package engine_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/activemessage/activemessage/engine"
)

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
