package engine_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/activemessage/activemessage/engine"
)

func TestDelayedMessagesStartInTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := start(t, engine.Config{})
		began := time.Now()
		register(t, e, "work", engine.Policy{}, func(_ context.Context, m *engine.Message) (engine.Result, error) {
			return engine.Result{Data: fmt.Append(nil, m.ResponseNotification, " after ", time.Since(began))}, nil
		})
		sub := subscribe(t, e, "*", engine.Cursor{})
		for prefix, s := range map[string]engine.Submission{
			"c": {Delay: 3 * time.Hour},
			"b": {DeliverAt: began.Add(2 * time.Hour)},
			"a": {Delay: time.Millisecond},
			"0": {DeliverAt: began.Add(-time.Hour)},
		} {
			s.MessageType, s.ResponseNotification = "work", prefix
			receipt := submit(t, e, s)
			expected := engine.StateScheduled
			if prefix == "0" {
				expected = engine.StateQueued
			}
			if receipt.State != expected {
				t.Errorf("%s: %s", prefix, receipt.State)
			}
		}
		if stats := e.Stats(); stats.Scheduled != 3 {
			t.Errorf("%d scheduled", stats.Scheduled)
		}
		for i, expected := range []string{"0 after 0s", "a after 1ms", "b after 2h0m0s", "c after 3h0m0s"} {
			if got := string(read(t, sub, 1)[0].Result.Data); got != expected {
				t.Errorf("%d: %s, expected %s", i, got, expected)
			}
		}
		if stats := e.Stats(); stats.Scheduled != 0 || stats.QueuedBytes != 0 {
			t.Errorf("%+v", stats)
		}
		if h := e.Stats().Types["work"].QueueWait; h.Sum > time.Second {
			t.Errorf("the delay counts as waiting: %s", h.Sum)
		}
	})
}

func TestMessagesExpireUnlessTheyStarted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := start(t, engine.Config{Concurrency: 1})
		g := newGate()
		register(t, e, "work", engine.Policy{}, g.handle)
		sub := subscribe(t, e, "*", engine.Cursor{})
		soon := time.Now().Add(time.Minute)
		running := submit(t, e, engine.Submission{MessageType: "work", ResponseNotification: "running", ExpiresAt: soon}).ID
		<-g.entered
		queued := submit(t, e, engine.Submission{MessageType: "work", ResponseNotification: "queued", ExpiresAt: soon, Key: "k"})
		submit(t, e, engine.Submission{MessageType: "work", ResponseNotification: "behind", Key: "k"})
		if got := read(t, sub, 1)[0]; got.String() != "queued:err(expired)" || got.State != engine.StateExpired || time.Now().Before(soon) {
			t.Errorf("%+v", got)
		}
		if s := status(t, e, running); s.State != engine.StateRunning || !s.ExpiresAt.Equal(soon) {
			t.Errorf("%+v", s)
		}
		close(g.open)
		if got := fmt.Sprint(texts(read(t, sub, 2))); got != "[running:ok behind:ok]" {
			t.Error(got)
		}
		if receipt, err := e.Retry(queued.ID); err != nil || receipt.State != engine.StateQueued {
			t.Errorf("%+v, %v", receipt, err)
		}
		if got := read(t, sub, 1)[0].String(); got != "queued:ok" {
			t.Error(got)
		}
	})
}

func TestARetryExpires(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := start(t, engine.Config{})
		register(t, e, "work", engine.Policy{MaxAttempts: 9, Backoff: engine.Backoff{Initial: time.Hour, Max: time.Hour}}, failing(9, errors.New("no")))
		sub := subscribe(t, e, "*", engine.Cursor{})
		began := time.Now()
		submit(t, e, engine.Submission{MessageType: "work", ResponseNotification: "p", ExpiresAt: began.Add(time.Minute)})
		if got := read(t, sub, 1)[0].String(); got != "p:err(expired)" || time.Since(began) != time.Minute {
			t.Errorf("%s after %s", got, time.Since(began))
		}
	})
}

func TestWhatWaitsForItsTimeIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := start(t, engine.Config{QueueLimit: 2})
		register(t, e, "work", engine.Policy{}, echo)
		for range 2 {
			submit(t, e, engine.Submission{MessageType: "work", Delay: time.Hour})
		}
		_, err := e.Submit(t.Context(), engine.Submission{MessageType: "work"})
		mustBe(t, err, engine.ErrQueueFull)
	})
}

// Drain waits for what is due before its deadline, and cancels the rest at once.
func TestDrainDoesNotWaitForTomorrow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e, err := engine.New(engine.Config{})
		if err != nil {
			t.Fatal(err)
		}
		register(t, e, "work", engine.Policy{}, echo)
		register(t, e, "fail", engine.Policy{MaxAttempts: 2, Backoff: engine.Backoff{Initial: time.Hour, Max: time.Hour}}, failing(9, errors.New("no")))
		sub := subscribe(t, e, "*", engine.Cursor{})
		submit(t, e, engine.Submission{MessageType: "work", ResponseNotification: "soon", Delay: time.Second})
		submit(t, e, engine.Submission{MessageType: "work", ResponseNotification: "tomorrow", Delay: 24 * time.Hour})
		submit(t, e, engine.Submission{MessageType: "fail", ResponseNotification: "retrying", Delay: time.Millisecond})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		began := time.Now()
		if err := e.Drain(ctx); err != nil || time.Since(began) != time.Second {
			t.Errorf("%v after %s", err, time.Since(began))
		}
		if got := fmt.Sprint(texts(read(t, sub, 3))); got != "[tomorrow:err(server shut down) retrying:err(server shut down) soon:ok]" {
			t.Error(got)
		}
	})
}

func TestBadTimesAreSaid(t *testing.T) {
	t.Parallel()
	e := start(t, engine.Config{})
	register(t, e, "work", engine.Policy{}, echo)
	now := time.Now()
	for _, c := range []struct {
		field string
		s     engine.Submission
	}{
		{"delay", engine.Submission{Delay: -1}},
		{"delay", engine.Submission{Delay: 367 * 24 * time.Hour}},
		{"deliver_at", engine.Submission{Delay: 1, DeliverAt: now}},
		{"deliver_at", engine.Submission{DeliverAt: now.AddDate(2, 0, 0)}},
		{"expires_at", engine.Submission{ExpiresAt: now.Add(-time.Second)}},
		{"expires_at", engine.Submission{ExpiresAt: now.Add(time.Minute), Delay: time.Hour}},
		{"timeout", engine.Submission{Timeout: -1}},
		{"max_attempts", engine.Submission{MaxAttempts: -1}},
		{"idempotency_ttl", engine.Submission{IdempotencyTTL: time.Hour}},
		{"idempotency_ttl", engine.Submission{IdempotencyKey: "k", IdempotencyTTL: 48 * time.Hour}},
		{"traceparent", engine.Submission{Origin: &engine.Origin{Traceparent: "00-0-0-0"}}},
		{"tracestate", engine.Submission{Origin: &engine.Origin{Tracestate: "a\nb"}}},
		{"source", engine.Submission{Origin: &engine.Origin{CloudEvent: &engine.CloudEvent{Source: "a\x00"}}}},
	} {
		c.s.MessageType = "work"
		_, err := e.Submit(t.Context(), c.s)
		if invalid, ok := errors.AsType[*engine.InvalidError](err); !ok || invalid.Field != c.field {
			t.Errorf("%+v: %v", c.s, err)
		}
	}
}

func TestTraceparent(t *testing.T) {
	t.Parallel()
	for s, valid := range map[string]bool{
		"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01":      true,
		"cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what": true,
		"": false,
		"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what": false,
		"cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01.what": false,
		"ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01":      false,
		"00-0AF7651916CD43DD8448EB211C80319C-B7AD6B7169203331-01":      false,
		"00-00000000000000000000000000000000-b7ad6b7169203331-01":      false,
		"00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01":      false,
		"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0\n":     false,
		"00_0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01":      false,
	} {
		if engine.ValidTraceparent(s) != valid {
			t.Errorf("%q: valid is %t", s, !valid)
		}
	}
}
