package engine_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/activemessage/activemessage/engine"
)

// TestMain fails the package if a test leaves a goroutine behind.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start returns an engine that the test's end drains.
func start(t testing.TB, cfg engine.Config) *engine.Engine {
	t.Helper()
	if cfg.Store == nil {
		cfg.Store = storeOfAll(t)
	}
	e, err := engine.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 1000*time.Hour)
		defer cancel()
		if err := e.Drain(ctx); err != nil {
			t.Errorf("drain: %v", err)
		}
	})
	return e
}

// memoryOnly skips a test of the bounds of what is kept in memory, where a store keeps
// it.
func memoryOnly(t testing.TB) {
	t.Helper()
	if os.Getenv(withStore) != "" {
		t.Skip("a store has other bounds")
	}
}

// fewer is n, or a tenth of it where each of n waits for a disk.
func fewer(n int) int {
	if os.Getenv(withStore) == "sqlitestore" {
		return n / 10
	}
	return n
}

func register(t testing.TB, e *engine.Engine, messageType string, p engine.Policy, f engine.HandlerFunc) {
	t.Helper()
	if err := e.Register(messageType, f, p); err != nil {
		t.Fatal(err)
	}
}

func echo(_ context.Context, m *engine.Message) (engine.Result, error) {
	return engine.Result{Data: m.MessageData, ContentType: m.ContentType}, nil
}

func submit(t testing.TB, e *engine.Engine, s engine.Submission) engine.Receipt {
	t.Helper()
	receipt, err := e.Submit(context.Background(), s)
	if err != nil {
		t.Fatalf("submit %s: %v", s.MessageType, err)
	}
	return receipt
}

func subscribe(t testing.TB, e *engine.Engine, pattern string, from engine.Cursor) *engine.Subscription {
	t.Helper()
	sub, err := e.Subscribe(engine.Selector{ResponseNotification: pattern}, from)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sub.Close)
	return sub
}

// read returns the next n notifications; a gap or an end before fails the test.
func read(t testing.TB, sub *engine.Subscription, n int) []engine.Notification {
	t.Helper()
	var all []engine.Notification
	ctx, cancel := context.WithTimeout(context.Background(), 1000*time.Hour)
	defer cancel()
	for len(all) < n {
		d, err := sub.Next(ctx)
		if err != nil {
			t.Fatalf("after %d of %d notifications: %v", len(all), n, err)
		}
		if d.Gap != nil {
			t.Fatalf("after %d of %d notifications: gap %+v", len(all), n, *d.Gap)
		}
		all = append(all, d.Notifications...)
	}
	if len(all) > n {
		t.Fatalf("%d notifications, expected %d", len(all), n)
	}
	return all
}

func texts(notifications []engine.Notification) []string {
	all := make([]string, len(notifications))
	for i := range notifications {
		all[i] = notifications[i].String()
	}
	return all
}

// gate lets handlers wait for the test, and the test for handlers.
type gate struct{ entered, open chan struct{} }

func newGate() gate { return gate{make(chan struct{}, 1<<16), make(chan struct{})} }

// handle enters, and returns when the gate is open or the context has ended.
func (g gate) handle(ctx context.Context, _ *engine.Message) (engine.Result, error) {
	g.entered <- struct{}{}
	select {
	case <-g.open:
		return engine.Result{}, nil
	case <-ctx.Done():
		return engine.Result{}, ctx.Err()
	}
}

// stubborn enters, and returns when the gate is open, whatever the context says.
func (g gate) stubborn(context.Context, *engine.Message) (engine.Result, error) {
	g.entered <- struct{}{}
	<-g.open
	return engine.Result{}, nil
}

func mustBe(t testing.TB, err, target error) {
	t.Helper()
	if !errors.Is(err, target) {
		t.Fatalf("error is %v, expected %v", err, target)
	}
}

func name(i int) string { return fmt.Sprintf("request_%d", i) }
