package engine_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/activemessage/activemessage/engine"
)

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
