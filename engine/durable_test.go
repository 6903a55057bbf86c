package engine_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/activemessage/activemessage/engine"
	"github.com/activemessage/activemessage/engine/memstore"
)

// drain ends an engine with a store: another takes over.
func drain(t *testing.T, e *engine.Engine) {
	t.Helper()
	if err := e.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// What waits when an engine drains is there for the next one: as it was, in order,
// with its time, its expiry, its key, its pause; and cursors go on.
func TestTheNextEngineGoesOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New()
		first := start(t, engine.Config{Store: store, Concurrency: 1})
		g := newGate()
		register(t, first, "work", engine.Policy{}, g.handle)
		register(t, first, "paused", engine.Policy{}, echo)
		if _, err := first.Reconfigure("paused", func(p *engine.Policy) { p.Paused = true }); err != nil {
			t.Fatal(err)
		}
		submit(t, first, engine.Submission{MessageType: "work", ResponseNotification: "running"})
		<-g.entered
		for _, s := range []engine.Submission{
			{ResponseNotification: "b", Key: "k"},
			{ResponseNotification: "c", Key: "k"},
			{ResponseNotification: "a", Priority: 1},
			{ResponseNotification: "delayed", Delay: time.Hour},
			{ResponseNotification: "expired", Delay: time.Minute, ExpiresAt: time.Now().Add(90 * time.Second)},
			{ResponseNotification: "cancelled", Delay: time.Hour},
		} {
			s.MessageType = "work"
			receipt := submit(t, first, s)
			if s.ResponseNotification == "cancelled" {
				if _, err := first.Cancel(receipt.ID); err != nil {
					t.Fatal(err)
				}
			}
		}
		submit(t, first, engine.Submission{MessageType: "paused", ResponseNotification: "paused"})
		close(g.open)
		drain(t, first)
		cursor := first.Cursor()
		if cursor.Number != 2 {
			t.Fatalf("%d notifications, expected those of the running and of the cancelled message", cursor.Number)
		}

		time.Sleep(2 * time.Minute) // nobody is there while a message expires
		second := start(t, engine.Config{Store: store, Concurrency: 1})
		sub := subscribe(t, second, "*", engine.CursorAt(0))
		var order []string
		register(t, second, "work", engine.Policy{}, func(_ context.Context, m *engine.Message) (engine.Result, error) {
			order = append(order, m.ResponseNotification)
			return engine.Result{}, nil
		})
		register(t, second, "paused", engine.Policy{}, echo)
		synctest.Wait()
		if got := texts(read(t, sub, 6)); !slices.Equal(got, []string{
			"cancelled:err(cancelled)", "running:ok", "expired:err(expired)", "a:ok", "b:ok", "c:ok",
		}) {
			t.Error(got)
		}
		if stats := second.Stats(); stats.Types["paused"].Queued != 1 || !stats.Types["paused"].Policy.Paused || stats.Scheduled != 1 {
			t.Errorf("%+v", stats)
		}
		began := time.Now()
		if got := texts(read(t, sub, 1)); got[0] != "delayed:ok" || time.Since(began) != 58*time.Minute {
			t.Errorf("%v after %s", got, time.Since(began))
		}
		resumed := subscribe(t, second, "*", cursor)
		if got := read(t, resumed, 5)[0]; got.Number != 3 {
			t.Errorf("resumed with %d", got.Number)
		}
		if _, err := second.Reconfigure("paused", func(p *engine.Policy) { p.Paused = false }); err != nil {
			t.Fatal(err)
		}
		if got := texts(read(t, sub, 1)); got[0] != "paused:ok" {
			t.Error(got)
		}
		if !slices.Equal(order, []string{"a", "b", "c", "delayed"}) {
			t.Error(order)
		}
	})
}

// A handler that a shutdown cuts short is not counted: its message runs again.
func TestAShutdownHandsBackWhatRuns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New()
		e, err := engine.New(engine.Config{Store: store})
		if err != nil {
			t.Fatal(err)
		}
		g := newGate()
		register(t, e, "work", engine.Policy{}, g.handle)
		id := submit(t, e, engine.Submission{MessageType: "work", ResponseNotification: "a"}).ID
		<-g.entered
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		mustBe(t, e.Drain(ctx), context.DeadlineExceeded)

		again := start(t, engine.Config{Store: store})
		sub := subscribe(t, again, "*", engine.CursorAt(0))
		register(t, again, "work", engine.Policy{}, echo)
		if got := texts(read(t, sub, 1)); got[0] != "a:ok" {
			t.Error(got)
		}
		s := status(t, again, id)
		if s.Attempt != 2 || s.Lost != 0 || states(s.Attempts) != "1:queued 2:succeeded " || s.Attempts[0].Error.Code != engine.CodeShutdown {
			t.Errorf("%+v", s)
		}
	})
}

// Nothing is published and nobody is answered before the store has it.
func TestTheStoreComesFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newFaulty()
		e := start(t, engine.Config{Store: store})
		ran := false
		register(t, e, "work", engine.Policy{}, func(context.Context, *engine.Message) (engine.Result, error) {
			ran = true
			return engine.Result{}, nil
		})
		sub := subscribe(t, e, "*", engine.Cursor{})
		release := store.hold()
		accepted := false
		var receipt engine.Receipt
		go func() {
			receipt = submit(t, e, engine.Submission{MessageType: "work", ResponseNotification: "a"})
			accepted = true
		}()
		synctest.Wait()
		if accepted || ran {
			t.Errorf("before it is stored: accepted %t, ran %t", accepted, ran)
		}
		release()
		synctest.Wait()
		if !accepted || !ran || receipt.Durability != store.Durability() {
			t.Errorf("after it is stored: accepted %t, ran %t, %+v", accepted, ran, receipt)
		}
		read(t, sub, 1)

		g := newGate()
		register(t, e, "gated", engine.Policy{}, g.handle)
		id := submit(t, e, engine.Submission{MessageType: "gated", ResponseNotification: "b"}).ID
		<-g.entered
		release = store.hold()
		close(g.open)
		synctest.Wait()
		if d, err := sub.Poll(nil); err != nil || !d.Empty() {
			t.Errorf("told before it is stored: %+v, %v", d, err)
		}
		if s := status(t, e, id); s.State != engine.StateRunning {
			t.Errorf("%s before it is stored", s.State)
		}
		release()
		read(t, sub, 1)
	})
}

// Those who come while a group is committed are the next group, together.
func TestGroupCommit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newFaulty()
		e := start(t, engine.Config{Store: store, Concurrency: 4})
		register(t, e, "work", engine.Policy{Paused: true}, echo)
		synctest.Wait()
		before := store.commits.Load()
		release := store.hold()
		var submitting sync.WaitGroup
		for i := range 100 {
			submitting.Go(func() { submit(t, e, engine.Submission{MessageType: "work", ResponseNotification: name(i)}) })
		}
		synctest.Wait()
		release()
		submitting.Wait()
		if commits := store.commits.Load() - before; commits > 2 {
			t.Errorf("%d commits for 100 submissions at once", commits)
		}
		synctest.Wait()
		before = store.commits.Load()
		release = store.hold()
		var answers []engine.Accepted
		submitting.Go(func() {
			answers = e.SubmitAll(t.Context(), slices.Repeat([]engine.Submission{{MessageType: "work"}, {MessageType: "unknown"}}, 50))
		})
		synctest.Wait()
		release()
		submitting.Wait()
		for i, answer := range answers {
			if i%2 == 0 && answer.Err != nil || i%2 == 1 && !errors.Is(answer.Err, engine.ErrUnknownType) {
				t.Errorf("%d: %+v", i, answer)
			}
		}
		if commits := store.commits.Load() - before; commits > 2 {
			t.Errorf("%d commits for 100 submissions of one call", commits)
		}
	})
}

// An engine that waits for a time does nothing until then.
func TestWaitingCostsNoCommits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newFaulty()
		e := start(t, engine.Config{Store: store})
		register(t, e, "work", engine.Policy{}, echo)
		sub := subscribe(t, e, "*", engine.Cursor{})
		submit(t, e, engine.Submission{MessageType: "work", ResponseNotification: "a", Delay: 100 * time.Hour})
		synctest.Wait()
		before, began := store.commits.Load(), time.Now()
		read(t, sub, 1)
		if took := time.Since(began); took != 100*time.Hour {
			t.Errorf("it was due after %s", took)
		}
		if commits := store.commits.Load() - before; commits > 3 {
			t.Errorf("%d commits to queue, claim and end one message", commits)
		}
	})
}

// Without room in the store new messages are refused, and what ran waits for room
// with its outcome.
func TestAFullStore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newFaulty()
		e := start(t, engine.Config{Store: store})
		g := newGate()
		register(t, e, "work", engine.Policy{}, g.handle)
		sub := subscribe(t, e, "*", engine.Cursor{})
		submit(t, e, engine.Submission{MessageType: "work", ResponseNotification: "a"})
		<-g.entered
		store.fail(fmt.Errorf("%w: no space left on device", engine.ErrStorageFull))
		for range 2 {
			_, err := e.Submit(t.Context(), engine.Submission{MessageType: "work"})
			mustBe(t, err, engine.ErrStorageFull)
		}
		close(g.open)
		synctest.Wait()
		mustBe(t, e.Ready(), engine.ErrStorageFull)
		_, err := e.Submit(t.Context(), engine.Submission{MessageType: "work"})
		mustBe(t, err, engine.ErrStorageFull)
		if stats := e.Stats(); !stats.Store.Full || stats.Refused[engine.RefusedStorageFull] != 3 || stats.Queued != 0 {
			t.Errorf("%+v", stats)
		}
		if d, err := sub.Poll(nil); err != nil || !d.Empty() {
			t.Errorf("told what is not stored: %+v, %v", d, err)
		}
		store.fail(nil)
		if got := texts(read(t, sub, 1)); got[0] != "a:ok" {
			t.Error(got)
		}
		if err := e.Ready(); err != nil {
			t.Error(err)
		}
		submit(t, e, engine.Submission{MessageType: "work", ResponseNotification: "b"})
		read(t, sub, 1)
	})
}

// A store that fails otherwise ends the engine's work: nothing is told that may not be
// true.
func TestAFailedStore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newFaulty()
		e, err := engine.New(engine.Config{Store: store, Concurrency: 1})
		if err != nil {
			t.Fatal(err)
		}
		g := newGate()
		register(t, e, "work", engine.Policy{}, g.handle)
		sub := subscribe(t, e, "*", engine.Cursor{})
		id := submit(t, e, engine.Submission{MessageType: "work", ResponseNotification: "a"}).ID
		<-g.entered
		broken := errors.New("input/output error")
		store.fail(broken)
		_, err = e.Submit(t.Context(), engine.Submission{MessageType: "work"})
		mustBe(t, err, engine.ErrStoreFailed)
		mustBe(t, err, broken)
		<-e.Failed()
		mustBe(t, e.Ready(), engine.ErrStoreFailed)
		_, err = e.Submit(t.Context(), engine.Submission{MessageType: "work"})
		mustBe(t, err, engine.ErrStoreFailed)
		_, err = e.Cancel(id)
		mustBe(t, err, engine.ErrStoreFailed)
		_, err = e.Wait(t.Context(), id)
		mustBe(t, err, engine.ErrStoreFailed)
		close(g.open)
		mustBe(t, e.Drain(t.Context()), engine.ErrStoreFailed)
		if _, err := sub.Next(t.Context()); !errors.Is(err, engine.ErrClosed) {
			t.Error(err)
		}
	})
}

// A drain does not wait for room in a store for longer than it may.
func TestADrainWithAFullStore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newFaulty()
		e, err := engine.New(engine.Config{Store: store})
		if err != nil {
			t.Fatal(err)
		}
		g := newGate()
		register(t, e, "work", engine.Policy{}, g.handle)
		submit(t, e, engine.Submission{MessageType: "work"})
		<-g.entered
		store.fail(engine.ErrStorageFull)
		close(g.open)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		began := time.Now()
		if err := e.Drain(ctx); err == nil || time.Since(began) > 2*time.Minute {
			t.Errorf("%v after %s", err, time.Since(began))
		}
	})
}

// A message that was cancelled while it ran does not run again after its engine died,
// and one that was lost too often has failed. What is lost does not count as an attempt.
func TestWhatADeadEngineLeaves(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New()
		const dead = engine.Owner(1)
		now := time.Now()
		claim := func(lost int, s engine.StoredMessage) {
			s.State, s.AcceptedAt, s.Size, s.MessageType, s.Lost = engine.StateQueued, now, 1, "work", lost
			s.ID = engine.ID{6: 0x70, 7: byte(lost), 8: 0x80}
			s.ResponseNotification = fmt.Sprintf("lost_%d", lost)
			if err := store.Commit(t.Context(), &engine.Group{
				Owner: dead, Now: now, Lease: now.Add(time.Second), Submits: []*engine.SubmitChange{{Message: s, Claim: true}},
			}); err != nil {
				t.Fatal(err)
			}
		}
		for lost := range 4 {
			claim(lost, engine.StoredMessage{})
		}
		cancel := engine.CancelChange{ID: engine.ID{6: 0x70, 7: 3, 8: 0x80}}
		if err := store.Commit(t.Context(), &engine.Group{Owner: dead, Now: now, Cancels: []*engine.CancelChange{&cancel}}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)

		e := start(t, engine.Config{Store: store})
		sub := subscribe(t, e, "*", engine.CursorAt(0))
		attempts := make(map[string]int)
		var mu sync.Mutex
		register(t, e, "work", engine.Policy{}, func(_ context.Context, m *engine.Message) (engine.Result, error) {
			mu.Lock()
			defer mu.Unlock()
			attempts[m.ResponseNotification] = m.Attempt
			return engine.Result{}, nil
		})
		got := texts(read(t, sub, 4))
		slices.Sort(got)
		if !slices.Equal(got, []string{
			"lost_0:ok", "lost_1:ok", "lost_2:err(the server died 3 times while it ran)", "lost_3:err(cancelled)",
		}) {
			t.Error(got)
		}
		if len(attempts) != 2 || attempts["lost_0"] != 2 {
			t.Errorf("ran %v", attempts)
		}
		s := status(t, e, engine.ID{6: 0x70, 8: 0x80})
		if s.Lost != 1 || states(s.Attempts) != "1:queued 2:succeeded " || s.Attempts[0].Error.Code != engine.CodeLost {
			t.Errorf("%+v", s)
		}
		if lost := e.Stats().Types["work"].Lost; lost != 4 {
			t.Errorf("%d lost", lost)
		}
	})
}

// Messages that were lost together twice run one after the other: one of them may be what
// kills the server, and the others shall not be lost with it again.
func TestSuspectsRunAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New()
		var group engine.Group
		group.Owner, group.Now, group.Lease = 1, time.Now(), time.Now().Add(time.Second)
		for i := range 8 {
			group.Submits = append(group.Submits, &engine.SubmitChange{Claim: true, Message: engine.StoredMessage{
				Message: engine.Message{ID: engine.ID{6: 0x70, 7: byte(i), 8: 0x80}, MessageType: "work", ResponseNotification: name(i), AcceptedAt: time.Now()},
				State:   engine.StateQueued, Size: 1, Lost: 1,
			}})
		}
		if err := store.Commit(t.Context(), &group); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		e := start(t, engine.Config{Store: store})
		sub := subscribe(t, e, "*", engine.CursorAt(0))
		var mu sync.Mutex
		var started []time.Time
		register(t, e, "work", engine.Policy{}, func(context.Context, *engine.Message) (engine.Result, error) {
			mu.Lock()
			started = append(started, time.Now())
			first := len(started) == 1
			mu.Unlock()
			if first {
				time.Sleep(time.Minute) // others need not wait for all of it
			}
			return engine.Result{}, nil
		})
		began := time.Now()
		read(t, sub, 8)
		if took := time.Since(began); took != time.Minute {
			t.Errorf("all took %s, the first alone a minute", took)
		}
		if gap := started[1].Sub(started[0]); gap < 10*time.Second || gap > 11*time.Second {
			t.Errorf("the second started %s after the first", gap)
		}
		for i := range 6 {
			if gap := started[i+2].Sub(started[i+1]); gap < 100*time.Millisecond {
				t.Errorf("two started %s after one another", gap)
			}
		}
	})
}

// What a dead engine ran of one type is no reason to forget what waits of others, nor
// that the type is paused.
func TestTypesOfADeadEngine(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New()
		dead := engine.Group{Owner: 1, Now: time.Now(), Lease: time.Now().Add(time.Hour)}
		change := func(i int, messageType string, claim bool) engine.ID {
			m := engine.StoredMessage{State: engine.StateQueued, Size: 1}
			m.ID, m.MessageType, m.AcceptedAt = engine.ID{0: byte(i), 6: 0x70, 8: 0x80}, messageType, dead.Now
			dead.Submits = append(dead.Submits, &engine.SubmitChange{Message: m, Claim: claim})
			return m.ID
		}
		var waiting []engine.ID
		for i := range 10 {
			running := fmt.Sprintf("running_%d", i)
			change(2*i, running, true)
			dead.Pauses = append(dead.Pauses, engine.PauseChange{MessageType: running, Paused: true})
			waiting = append(waiting, change(2*i+1, fmt.Sprintf("waiting_%d", i), false))
		}
		if err := store.Commit(t.Context(), &dead); err != nil {
			t.Fatal(err)
		}
		e := start(t, engine.Config{Store: store})
		for i := range 10 {
			register(t, e, fmt.Sprintf("running_%d", i), engine.Policy{}, echo)
			register(t, e, fmt.Sprintf("waiting_%d", i), engine.Policy{}, echo)
		}
		synctest.Wait()
		for i, id := range waiting {
			if s := status(t, e, id); s.State != engine.StateSucceeded {
				t.Errorf("what waited is %s", s.State)
			}
			if !e.Stats().Types[fmt.Sprintf("running_%d", i)].Policy.Paused {
				t.Error("a pause is forgotten")
			}
		}
	})
}

// A handler that does not return keeps its key and its slot, and a retry by hand waits
// for it; after its return both are free.
func TestAStuckHandlerHoldsItsKeyInTheStore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := start(t, engine.Config{Store: memstore.New()})
		g := newGate()
		register(t, e, "work", engine.Policy{Timeout: time.Second, Grace: time.Second}, g.stubborn)
		sub := subscribe(t, e, "*", engine.Cursor{})
		stuck := submit(t, e, engine.Submission{MessageType: "work", ResponseNotification: "stuck", Key: "k"})
		submit(t, e, engine.Submission{MessageType: "work", ResponseNotification: "next", Key: "k"})
		if got := texts(read(t, sub, 1)); got[0] != "stuck:err(timed out after 1s)" {
			t.Error(got)
		}
		time.Sleep(time.Minute)
		if len(g.entered) != 1 {
			t.Errorf("%d handlers of one key run", len(g.entered))
		}
		_, err := e.Retry(stuck.ID)
		mustBe(t, err, engine.ErrNotRetryable)
		close(g.open)
		if got := texts(read(t, sub, 1)); got[0] != "next:ok" {
			t.Error(got)
		}
		if _, err := e.Retry(stuck.ID); err != nil {
			t.Error(err)
		}
		read(t, sub, 1)
	})
}

// A submission that was accepted is answered again although it would not be accepted
// now: its time has passed, or there is no room.
func TestAReplayNeedsNoRoom(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newFaulty()
		e := start(t, engine.Config{Store: store, QueueLimit: 1})
		register(t, e, "work", engine.Policy{Paused: true}, echo)
		s := engine.Submission{MessageType: "work", IdempotencyKey: "once", ExpiresAt: time.Now().Add(time.Hour)}
		first := submit(t, e, s)
		time.Sleep(30 * time.Minute)
		if again, err := e.Submit(t.Context(), s); err != nil || !again.Replayed || again.ID != first.ID || again.Cursor != first.Cursor || again.State != first.State {
			t.Errorf("full: %+v, %v", again, err)
		}
		_, err := e.Submit(t.Context(), engine.Submission{MessageType: "work", IdempotencyKey: "twice"})
		mustBe(t, err, engine.ErrQueueFull)
		time.Sleep(time.Hour)
		if again, err := e.Submit(t.Context(), s); err != nil || !again.Replayed {
			t.Errorf("its time has passed: %+v, %v", again, err)
		}
		s.Priority = 1
		_, err = e.Submit(t.Context(), s)
		mustBe(t, err, engine.ErrKeyReused)
	})
}

// Of messages of several types that wait in the store each type gets its turn, and a
// flood of one does not keep another waiting.
func TestAFloodInTheStoreLeavesOthersTheirTurn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := start(t, engine.Config{Store: memstore.New(), Concurrency: 2})
		for _, messageType := range []string{"flood", "other"} {
			register(t, e, messageType, engine.Policy{}, func(context.Context, *engine.Message) (engine.Result, error) {
				time.Sleep(time.Second)
				return engine.Result{}, nil
			})
		}
		for range 1000 {
			submit(t, e, engine.Submission{MessageType: "flood"})
		}
		sub := subscribe(t, e, "*", engine.Cursor{})
		began := time.Now()
		for i := range 10 {
			submit(t, e, engine.Submission{MessageType: "other", ResponseNotification: name(i)})
		}
		read(t, sub, 10)
		if took := time.Since(began); took > 15*time.Second {
			t.Errorf("10 messages beside 1,000 took %s", took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_ = e.Drain(ctx)
	})
}
