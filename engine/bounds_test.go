package engine_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/activemessage/activemessage/engine"
)

// oddError is an error whose methods panic if it is nil.
type oddError struct{ text string }

func (e *oddError) Error() string { return e.text }

// The methods of a handler's error are its own code: what they do ends its message,
// and nothing else. A nil pointer in an error is the common case.
func TestNilPointersAsErrorsEndTheirMessageOnly(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		err  error
		text string
	}{
		"a nil Error":            {(*engine.Error)(nil), "handler failed"},
		"a wrapped nil Error":    {fmt.Errorf("a: %w", (*engine.Error)(nil)), "handler failed"},
		"another nil":            {(*oddError)(nil), "handler crashed"},
		"another nil, permanent": {engine.Permanent((*oddError)(nil)), "handler crashed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := start(t, engine.Config{Logger: slog.New(slog.NewTextHandler(&strings.Builder{}, nil))})
			register(t, e, "work", engine.Policy{}, func(context.Context, *engine.Message) (engine.Result, error) {
				return engine.Result{}, c.err
			})
			for range 2 { // the worker goes on
				receipt := submit(t, e, engine.Submission{MessageType: "work"})
				status, err := e.Wait(t.Context(), receipt.ID)
				if err != nil || status.State != engine.StateFailed || status.Error.Message != c.text {
					t.Errorf("%+v, %v", status, err)
				}
			}
		})
	}
}

// What a subscription cannot be told because the log was too small is a gap, also
// where the router was outrun and not the reader.
func TestALogTooSmallForTheRouterIsAGap(t *testing.T) {
	memoryOnly(t)
	t.Parallel()
	const total = 20_000
	e := start(t, engine.Config{Concurrency: 4, QueueLimit: total + 1, LogLimit: 64})
	register(t, e, "echo", engine.Policy{}, echo)
	sub := subscribe(t, e, "r", engine.Cursor{})
	if d, err := sub.Poll(nil); err != nil || !d.Empty() {
		t.Fatal(d, err)
	}
	var reading sync.WaitGroup
	reading.Go(func() {
		expected := uint64(1)
		for expected <= total {
			d, err := sub.Next(t.Context())
			if err != nil {
				t.Error(err)
				return
			}
			if d.Gap != nil {
				if d.Gap.From != expected {
					t.Errorf("a gap from %d, expected %d", d.Gap.From, expected)
					return
				}
				expected = d.Gap.To + 1
			}
			for _, n := range d.Notifications {
				if n.Number != expected {
					t.Errorf("number %d, expected %d", n.Number, expected)
					return
				}
				expected++
			}
		}
	})
	for range total {
		submit(t, e, engine.Submission{MessageType: "echo", ResponseNotification: "r"})
	}
	reading.Wait()
}

// A message that is put behind its key and taken away again has the key no more:
// when it is retried, it waits for its turn.
func TestKeysHoldAfterCancelExpiryAndRetry(t *testing.T) {
	t.Parallel()
	for _, how := range []engine.State{engine.StateCancelled, engine.StateExpired} {
		synctest.Test(t, func(t *testing.T) {
			e := start(t, engine.Config{Concurrency: 16})
			running, most := 0, 0
			var mu sync.Mutex
			register(t, e, "work", engine.Policy{}, func(context.Context, *engine.Message) (engine.Result, error) {
				mu.Lock()
				running++
				most = max(most, running)
				mu.Unlock()
				time.Sleep(time.Minute)
				mu.Lock()
				running--
				mu.Unlock()
				return engine.Result{}, nil
			})
			submit(t, e, engine.Submission{MessageType: "work", Key: "k"})
			for range 5 {
				behind := submit(t, e, engine.Submission{MessageType: "work", Key: "k", ExpiresAt: time.Now().Add(time.Second)})
				if how == engine.StateCancelled {
					if _, err := e.Cancel(behind.ID); err != nil {
						t.Fatal(err)
					}
				}
			}
			time.Sleep(2 * time.Second)
			if n, err := e.RetryAll(t.Context(), engine.ListOptions{State: how}); n != 5 || err != nil {
				t.Fatalf("%d retried, %v", n, err)
			}
			time.Sleep(time.Hour)
			if status := e.Stats(); most != 1 || status.Types["work"].Outcomes[engine.StateSucceeded] != 6 {
				t.Errorf("%s: %d of one key ran at once, outcomes %v", how, most, status.Types["work"].Outcomes)
			}
		})
	}
}

// A selector that is added counts from the position that Cursor tells, also while
// something is still to be read.
func TestAnAddedSelectorCountsFromThePosition(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := start(t, engine.Config{})
		register(t, e, "echo", engine.Policy{}, echo)
		sub := subscribe(t, e, "a", engine.Cursor{})
		_, _ = sub.Poll(nil)
		for _, prefix := range []string{"a", "b"} {
			submit(t, e, engine.Submission{MessageType: "echo", ResponseNotification: prefix})
			synctest.Wait()
		}
		if err := sub.Add(engine.Selector{ResponseNotification: "b"}, engine.Cursor{}); err != nil {
			t.Fatal(err)
		}
		if got := texts(read(t, sub, 2)); got[0] != "a:ok" || got[1] != "b:ok" {
			t.Errorf("%q", got)
		}
	})
}

// Replays are one for each selector, however often a client asks.
func TestReplaysDoNotPileUp(t *testing.T) {
	t.Parallel()
	e := start(t, engine.Config{})
	register(t, e, "echo", engine.Policy{}, echo)
	done := subscribe(t, e, "r", engine.Cursor{})
	submit(t, e, engine.Submission{MessageType: "echo", ResponseNotification: "r"})
	read(t, done, 1)
	sub := subscribe(t, e, "r", engine.Cursor{})
	for range 1000 {
		if err := sub.Add(engine.Selector{ResponseNotification: "r"}, engine.CursorAt(0)); err != nil {
			t.Fatal(err)
		}
	}
	read(t, sub, 1)
	for { // one that was read to its end is over
		d, err := sub.Poll(nil)
		if err != nil || len(d.Notifications) > 0 {
			t.Fatalf("%+v, %v", d, err)
		}
		if sub.Cursor() == e.Cursor() {
			return
		}
	}
}

// Wait returns how the message ended, even if it is running again by then.
func TestWaitReturnsTheEndThatWas(t *testing.T) {
	t.Parallel()
	e := start(t, engine.Config{})
	register(t, e, "fail", engine.Policy{}, func(context.Context, *engine.Message) (engine.Result, error) {
		runtime.Gosched()
		return engine.Result{}, errors.New("no")
	})
	for range fewer(1000) {
		receipt := submit(t, e, engine.Submission{MessageType: "fail"})
		var retrying sync.WaitGroup
		retrying.Go(func() {
			for {
				if _, err := e.Retry(receipt.ID); err == nil {
					return
				}
				runtime.Gosched()
			}
		})
		if status, err := e.Wait(t.Context(), receipt.ID); err != nil || !status.State.Terminal() {
			t.Errorf("%s, %v", status.State, err)
		}
		retrying.Wait()
	}
}

// A message that is retried again and again does not push others out of the
// history, and leaves nothing behind.
func TestRetriesDoNotUseUpTheHistory(t *testing.T) {
	memoryOnly(t)
	t.Parallel()
	e := start(t, engine.Config{HistoryLimit: 10})
	register(t, e, "fail", engine.Policy{}, func(context.Context, *engine.Message) (engine.Result, error) {
		return engine.Result{}, errors.New("no")
	})
	one := submit(t, e, engine.Submission{MessageType: "fail"})
	other := submit(t, e, engine.Submission{MessageType: "fail"})
	for range 100 {
		for _, id := range []engine.ID{one.ID, other.ID} {
			if _, err := e.Wait(t.Context(), id); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := e.Retry(other.ID); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := e.Get(one.ID); err != nil {
		t.Error(err)
	}
	if _, err := e.Wait(t.Context(), other.ID); err != nil {
		t.Error(err)
	}
	for range 10 {
		receipt := submit(t, e, engine.Submission{MessageType: "fail"})
		if _, err := e.Wait(t.Context(), receipt.ID); err != nil {
			t.Fatal(err)
		}
	}
	for _, id := range []engine.ID{one.ID, other.ID} {
		if _, err := e.Get(id); !errors.Is(err, engine.ErrNotFound) {
			t.Errorf("kept although ten others ended since: %v", err)
		}
	}
}

// The bounds in bytes count what handlers say of their failures, the attempts that are
// remembered, and where messages come from.
func TestFailuresAndOriginsCount(t *testing.T) {
	memoryOnly(t)
	t.Parallel()
	const (
		messages, retries = 50, 25
		failure           = 4 << 10 // what is kept of one
		origin            = 2000
		historyBytes      = 1 << 20
		logBytes          = 1 << 20
	)
	e := start(t, engine.Config{HistoryBytes: historyBytes, LogBytes: logBytes})
	long := strings.Repeat("x", 1<<20)
	register(t, e, "fail", engine.Policy{}, func(context.Context, *engine.Message) (engine.Result, error) {
		return engine.Result{}, &engine.Error{Code: long, Message: long}
	})
	for range messages {
		event := &engine.CloudEvent{ID: "1", Source: strings.Repeat("s", origin/2), Type: "fail", Subject: strings.Repeat("s", origin/2)}
		receipt := submit(t, e, engine.Submission{MessageType: "fail", ResponseNotification: "r", Origin: &engine.Origin{CloudEvent: event}})
		for attempt := range retries {
			status, err := e.Wait(t.Context(), receipt.ID)
			if err != nil || len(status.Error.Message) > failure || len(status.Error.Code) > 64 {
				t.Fatalf("%d bytes, %v", len(status.Error.Message), err)
			}
			if attempt == retries-1 {
				break
			}
			if _, err := e.Retry(receipt.ID); err != nil {
				t.Fatal(err)
			}
		}
	}
	page, err := e.List(engine.ListOptions{Limit: messages})
	if most := historyBytes / (20*(failure-100) + origin); err != nil || len(page.Messages) > most || len(page.Messages) < most/2 {
		t.Errorf("%d messages are kept, at most %d fit: %v", len(page.Messages), most, err)
	}
	sub := subscribe(t, e, "r", engine.CursorAt(0))
	kept := 0
	for position := e.Cursor(); sub.Cursor() != position; {
		d, err := sub.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		kept += len(d.Notifications)
	}
	if most := logBytes / (failure + origin); kept > most || kept < most/2 {
		t.Errorf("%d notifications are kept, at most %d fit", kept, most)
	}
}

// A drain does not wait for what cannot run.
func TestDrainCancelsWhatIsPaused(t *testing.T) {
	memoryOnly(t)
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := start(t, engine.Config{})
		register(t, e, "echo", engine.Policy{Paused: true}, echo)
		receipt := submit(t, e, engine.Submission{MessageType: "echo"})
		began := time.Now()
		if err := e.Drain(t.Context()); err != nil || time.Since(began) > 0 {
			t.Errorf("%v after %s", err, time.Since(began))
		}
		if status, err := e.Get(receipt.ID); err != nil || status.State != engine.StateCancelled {
			t.Errorf("%+v, %v", status, err)
		}
	})
}
