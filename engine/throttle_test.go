package engine_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/activemessage/activemessage/engine"
)

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
