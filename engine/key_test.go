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

func TestIdempotencyKeys(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := start(t, engine.Config{IdempotencyTTL: time.Hour})
		g := newGate()
		register(t, e, "work", engine.Policy{Timeout: -1}, g.handle)
		register(t, e, "echo", engine.Policy{}, echo)
		first := submit(t, e, engine.Submission{MessageType: "work", IdempotencyKey: "k", MessageData: []byte("1")})
		again := func(s engine.Submission) engine.Receipt {
			t.Helper()
			s.MessageType, s.IdempotencyKey = "work", "k"
			return submit(t, e, s)
		}
		// While it is under way, however long that takes.
		for range 3 {
			got := again(engine.Submission{MessageData: []byte("1")})
			if expected := first; !got.Replayed || got.ID != expected.ID || got.State != expected.State || got.Cursor != expected.Cursor {
				t.Errorf("%+v, expected %+v", got, expected)
			}
			time.Sleep(time.Hour)
		}
		for _, other := range []engine.Submission{
			{MessageType: "work", MessageData: []byte("2")},
			{MessageType: "echo", MessageData: []byte("1")},
			{MessageType: "work", MessageData: []byte("1"), Priority: 1},
			{MessageType: "work", MessageData: []byte("1"), Metadata: map[string]string{"a": "b"}},
			{MessageType: "work", MessageData: []byte("1"), Delay: 1},
		} {
			other.IdempotencyKey = "k"
			_, err := e.Submit(t.Context(), other)
			mustBe(t, err, engine.ErrKeyReused)
		}
		close(g.open)
		synctest.Wait()
		// It has ended, and its time is over.
		if got := again(engine.Submission{}); got.Replayed || got.ID == first.ID {
			t.Errorf("%+v", got)
		}
		// Within its time, after the end.
		if got := again(engine.Submission{}); !got.Replayed {
			t.Errorf("%+v", got)
		}
		if n := e.Stats().Types["work"].Submitted; n != 2 {
			t.Errorf("%d messages", n)
		}
	})
}

func TestAKeyUntilTheEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := start(t, engine.Config{})
		register(t, e, "echo", engine.Policy{}, echo)
		once := engine.Submission{MessageType: "echo", IdempotencyKey: "k", IdempotencyTTL: engine.UntilTerminal, Delay: time.Minute}
		first := submit(t, e, once)
		if got := submit(t, e, once); !got.Replayed || got.ID != first.ID {
			t.Errorf("%+v", got)
		}
		time.Sleep(2 * time.Minute)
		if got := submit(t, e, once); got.Replayed {
			t.Errorf("%+v", got)
		}
	})
}

func TestKeysAreBounded(t *testing.T) {
	memoryOnly(t)
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := start(t, engine.Config{IdempotencyLimit: 2})
		g := newGate()
		register(t, e, "work", engine.Policy{}, g.handle)
		register(t, e, "echo", engine.Policy{}, echo)
		key := func(messageType, k string) (engine.Receipt, error) {
			defer synctest.Wait()
			return e.Submit(t.Context(), engine.Submission{MessageType: messageType, IdempotencyKey: k})
		}
		for _, c := range []struct {
			messageType, key string
			replayed         bool
		}{
			{"work", "a", false},
			{"echo", "b", false},
			{"echo", "c", false}, // b, which has ended, goes
			{"echo", "b", false},
			{"work", "a", true}, // a has not
			{"work", "d", false},
		} {
			if got, err := key(c.messageType, c.key); err != nil || got.Replayed != c.replayed {
				t.Errorf("%s: %+v, %v", c.key, got, err)
			}
		}
		_, err := key("work", "e") // a and d are under way
		if full, ok := errors.AsType[*engine.QueueFullError](err); !ok || full.Unit != "idempotency keys" {
			t.Errorf("%v", err)
		}
		close(g.open)
	})
}

// Keys of messages that have ended make room, wherever they stand; those of the
// others stay.
func TestFreedKeysMakeRoom(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := start(t, engine.Config{IdempotencyLimit: 200, QueueLimit: 1000})
		register(t, e, "echo", engine.Policy{}, echo)
		for i := range 100 {
			submit(t, e, engine.Submission{MessageType: "echo", IdempotencyKey: fmt.Sprint("later", i), Delay: time.Hour})
		}
		for i := range 300 {
			submit(t, e, engine.Submission{MessageType: "echo", IdempotencyKey: fmt.Sprint("now", i)})
			synctest.Wait()
		}
		again := submit(t, e, engine.Submission{MessageType: "echo", IdempotencyKey: "later0", Delay: time.Hour})
		if !again.Replayed {
			t.Error("the key of a message that waits was forgotten")
		}
		time.Sleep(2 * time.Hour)
	})
}

// What was accepted is answered again, even if it could not be accepted now.
func TestAReplayDoesNotExpire(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := start(t, engine.Config{})
		register(t, e, "echo", engine.Policy{}, echo)
		s := engine.Submission{MessageType: "echo", IdempotencyKey: "k", ExpiresAt: time.Now().Add(time.Second)}
		first := submit(t, e, s)
		time.Sleep(2 * time.Second)
		if again := submit(t, e, s); !again.Replayed || again.ID != first.ID {
			t.Errorf("%+v, expected %+v", again, first)
		}
	})
}

// A message that is retried has its key again, for as long as it runs.
func TestARetriedMessageHasItsKey(t *testing.T) {
	t.Parallel()
	for _, ttl := range []time.Duration{time.Minute, engine.UntilTerminal} {
		synctest.Test(t, func(t *testing.T) {
			e := start(t, engine.Config{})
			register(t, e, "work", engine.Policy{}, func(context.Context, *engine.Message) (engine.Result, error) {
				time.Sleep(time.Hour)
				return engine.Result{}, errors.New("no")
			})
			s := engine.Submission{MessageType: "work", IdempotencyKey: "k", IdempotencyTTL: ttl}
			first := submit(t, e, s)
			time.Sleep(90 * time.Minute)
			if _, err := e.Retry(first.ID); err != nil {
				t.Fatal(err)
			}
			if again := submit(t, e, s); !again.Replayed {
				t.Errorf("%s: two with one key run at once", ttl)
			}
			time.Sleep(2 * time.Hour)
			if again := submit(t, e, s); again.Replayed {
				t.Errorf("%s: the key is never freed", ttl)
			}
			time.Sleep(2 * time.Hour)
		})
	}
}
