package engine_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/activemessage/activemessage/engine"
)

// order runs submissions on one worker after letting them all queue, and returns
// the prefixes in the order run.
func order(t *testing.T, types map[string]engine.Policy, submissions []engine.Submission) []string {
	t.Helper()
	e := start(t, engine.Config{Concurrency: 1})
	g := newGate()
	register(t, e, "first", engine.Policy{}, g.handle)
	for messageType, policy := range types {
		register(t, e, messageType, policy, echo)
	}
	submit(t, e, engine.Submission{MessageType: "first"})
	<-g.entered
	sub := subscribe(t, e, "*", engine.Cursor{})
	for _, s := range submissions {
		submit(t, e, s)
	}
	close(g.open)
	var prefixes []string
	for _, n := range read(t, sub, len(submissions)) {
		prefixes = append(prefixes, n.ResponseNotification)
	}
	return prefixes
}

func TestTypesTakeTurns(t *testing.T) {
	t.Parallel()
	var submissions []engine.Submission
	for _, messageType := range []string{"a", "b", "c"} {
		for i := range 3 {
			submissions = append(submissions, engine.Submission{MessageType: messageType, ResponseNotification: fmt.Sprint(messageType, i)})
		}
	}
	got := order(t, map[string]engine.Policy{"a": {}, "b": {}, "c": {}}, submissions)
	if expected := []string{"a0", "b0", "c0", "a1", "b1", "c1", "a2", "b2", "c2"}; !slices.Equal(got, expected) {
		t.Errorf("ran %v, expected %v", got, expected)
	}
}

func TestHigherPriorityRunsFirst(t *testing.T) {
	t.Parallel()
	var submissions []engine.Submission
	for i, priority := range []int{0, -9, 9, 0, 5} {
		submissions = append(submissions, engine.Submission{MessageType: "a", Priority: priority, ResponseNotification: fmt.Sprint(i)})
	}
	got := order(t, map[string]engine.Policy{"a": {}}, submissions)
	if expected := []string{"2", "4", "0", "3", "1"}; !slices.Equal(got, expected) {
		t.Errorf("ran %v, expected %v", got, expected)
	}
}

func TestKeyOrderComesBeforePriority(t *testing.T) {
	t.Parallel()
	got := order(t, map[string]engine.Policy{"a": {}}, []engine.Submission{
		{MessageType: "a", Key: "k", ResponseNotification: "k0"},
		{MessageType: "a", Key: "k", Priority: 9, ResponseNotification: "k1"},
		{MessageType: "a", Priority: 1, ResponseNotification: "free"},
	})
	if expected := []string{"free", "k0", "k1"}; !slices.Equal(got, expected) {
		t.Errorf("ran %v, expected %v", got, expected)
	}
}

func TestMessagesOfOneKeyRunOneAtATimeInOrder(t *testing.T) {
	t.Parallel()
	e := start(t, engine.Config{Concurrency: 16})
	var mu sync.Mutex
	running, seen := make(map[string]bool), make(map[string][]string)
	register(t, e, "work", engine.Policy{}, func(_ context.Context, m *engine.Message) (engine.Result, error) {
		mu.Lock()
		if running[m.Key] {
			t.Errorf("two messages of key %s run at once", m.Key)
		}
		running[m.Key] = true
		seen[m.Key] = append(seen[m.Key], m.ResponseNotification)
		mu.Unlock()
		mu.Lock()
		running[m.Key] = false
		mu.Unlock()
		return engine.Result{}, nil
	})
	sub := subscribe(t, e, "*", engine.Cursor{})
	const keys, each = 5, 200
	expected := make(map[string][]string)
	for i := range keys * each {
		key := fmt.Sprint(i % keys)
		submit(t, e, engine.Submission{MessageType: "work", Key: key, ResponseNotification: name(i)})
		expected[key] = append(expected[key], name(i))
	}
	told := make(map[string][]string)
	for _, n := range read(t, sub, keys*each) {
		status, err := e.Get(n.ID)
		if err != nil {
			t.Fatal(err)
		}
		told[status.Key] = append(told[status.Key], n.ResponseNotification)
	}
	for key := range expected {
		if !slices.Equal(seen[key], expected[key]) || !slices.Equal(told[key], expected[key]) {
			t.Errorf("key %s: out of order", key)
		}
	}
}

func TestCancel(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := start(t, engine.Config{Concurrency: 1})
		g := newGate()
		register(t, e, "work", engine.Policy{}, g.handle)
		sub := subscribe(t, e, "*", engine.Cursor{})
		running := submit(t, e, engine.Submission{MessageType: "work", ResponseNotification: "running", Key: "k"})
		queued := submit(t, e, engine.Submission{MessageType: "work", ResponseNotification: "queued", Key: "k"})
		synctest.Wait()

		status, err := e.Cancel(queued.ID)
		if err != nil || status.State != engine.StateCancelled {
			t.Errorf("cancel of a queued message: %v, %v", status.State, err)
		}
		status, err = e.Cancel(running.ID)
		if err != nil || status.State != engine.StateRunning || !status.CancelRequested {
			t.Errorf("cancel of a running message: %+v, %v", status, err)
		}
		if got := texts(read(t, sub, 2)); !slices.Equal(got, []string{"queued:err(cancelled)", "running:err(cancelled)"}) {
			t.Error(got)
		}
		_, err = e.Cancel(running.ID)
		mustBe(t, err, engine.ErrTerminal)
		_, err = e.Cancel(engine.ID{1})
		mustBe(t, err, engine.ErrNotFound)
		if stats := e.Stats(); stats.Queued != 0 || stats.QueuedBytes != 0 || stats.Running != 0 {
			t.Errorf("left over: %+v", stats)
		}
	})
}

func TestTheContextTellsWhyItEnded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e, err := engine.New(engine.Config{})
		if err != nil {
			t.Fatal(err)
		}
		causes := make(chan error, 3)
		register(t, e, "work", engine.Policy{Timeout: time.Minute}, func(ctx context.Context, _ *engine.Message) (engine.Result, error) {
			if deadline, ok := ctx.Deadline(); !ok || time.Until(deadline) != time.Minute {
				t.Errorf("deadline %v, %t", deadline, ok)
			}
			child, cancel := context.WithCancel(ctx)
			defer cancel()
			<-child.Done()
			causes <- context.Cause(child)
			return engine.Result{}, ctx.Err()
		})
		sub := subscribe(t, e, "*", engine.Cursor{})
		submit(t, e, engine.Submission{MessageType: "work", ResponseNotification: "a"})
		mustBe(t, <-causes, engine.ErrTimeout)
		cancelled := submit(t, e, engine.Submission{MessageType: "work", ResponseNotification: "b"})
		synctest.Wait()
		if _, err := e.Cancel(cancelled.ID); err != nil {
			t.Fatal(err)
		}
		mustBe(t, <-causes, engine.ErrCancelled)
		submit(t, e, engine.Submission{MessageType: "work", ResponseNotification: "c"})
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		mustBe(t, e.Drain(ctx), context.Canceled)
		mustBe(t, <-causes, engine.ErrShutdown)
		expected := []string{"a:err(timed out after 1m0s)", "b:err(cancelled)", "c:err(server shut down)"}
		if got := texts(read(t, sub, 3)); !slices.Equal(got, expected) {
			t.Errorf("%q, expected %q", got, expected)
		}
	})
}

// lines collects what is logged.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) has(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.text.String(), text)
}

func TestStuckHandlers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log lines
		e := start(t, engine.Config{Concurrency: 4, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		g := newGate()
		register(t, e, "stuck", engine.Policy{Timeout: time.Second, Grace: time.Second, Concurrency: 3}, g.stubborn)
		sub := subscribe(t, e, "*", engine.Cursor{})
		began := time.Now()
		for i := range 4 {
			submit(t, e, engine.Submission{MessageType: "stuck", ResponseNotification: name(i)})
		}
		for _, n := range read(t, sub, 3) {
			if n.Error.Code != engine.CodeTimeout {
				t.Error(n.String())
			}
		}
		if took := time.Since(began); took != 2*time.Second {
			t.Errorf("the outcome came after %s, expected timeout and grace", took)
		}
		stats := e.Stats()
		if stats.Stuck != 3 || stats.Running != 3 || stats.Queued != 1 {
			t.Errorf("%d stuck, %d running, %d queued: the slots have to stay taken", stats.Stuck, stats.Running, stats.Queued)
		}
		if _, ok := errors.AsType[*engine.StuckError](e.Ready()); !ok {
			t.Errorf("readiness is %v with 3 of 4 slots stuck", e.Ready())
		}
		synctest.Wait()
		if !log.has("handler is stuck") || !log.has("gate.stubborn") {
			t.Error("the log lacks the stuck handler's stack")
		}
		close(g.open)
		if n := read(t, sub, 1)[0]; !n.OK() {
			t.Errorf("the message behind the stuck ones: %s", n.String())
		}
		synctest.Wait()
		if stats := e.Stats(); stats.Stuck != 0 || stats.Running != 0 || e.Ready() != nil {
			t.Errorf("after they returned: %+v, %v", stats, e.Ready())
		}
	})
}
