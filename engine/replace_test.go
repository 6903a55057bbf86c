package engine_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/activemessage/activemessage/engine"
)

func TestReplace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := start(t, engine.Config{})
		sub := subscribe(t, e, "*", engine.Cursor{})
		g := newGate()
		register(t, e, "a", engine.Policy{Concurrency: 1}, g.handle)
		submit(t, e, engine.Submission{MessageType: "a", ResponseNotification: "before"})
		<-g.entered
		submit(t, e, engine.Submission{MessageType: "a", ResponseNotification: "after"})
		if _, err := e.Reconfigure("a", func(p *engine.Policy) { p.Paused = true }); err != nil {
			t.Fatal(err)
		}
		if err := e.Replace("a", engine.HandlerFunc(echo), engine.Policy{Concurrency: 7}); err != nil {
			t.Fatal(err)
		}
		if s, _ := e.TypeStats("a"); s.Policy.Concurrency != 7 || !s.Policy.Paused {
			t.Errorf("%+v", s.Policy)
		}
		if _, err := e.Reconfigure("a", func(p *engine.Policy) { p.Paused = false }); err != nil {
			t.Fatal(err)
		}
		if got := texts(read(t, sub, 1))[0]; got != "after:ok" {
			t.Error(got)
		}
		// From inside to outside and back, with messages that wait and run.
		if err := e.Replace("a", engine.Outside(), engine.Policy{}); err != nil {
			t.Fatal(err)
		}
		submit(t, e, engine.Submission{MessageType: "a", ResponseNotification: "outside"})
		c := consume(t, e, 1, "a")
		job := next(t, e, c, 1)[0]
		submit(t, e, engine.Submission{MessageType: "a", ResponseNotification: "inside"})
		if err := e.Replace("a", engine.HandlerFunc(echo), engine.Policy{}); err != nil {
			t.Fatal(err)
		}
		close(g.open)
		if got := texts(read(t, sub, 2)); !slices.Contains(got, "before:ok") || !slices.Contains(got, "inside:ok") {
			t.Error(got)
		}
		settle(t, e, leaseOf(job), "", nil)
		read(t, sub, 1)
		mustBe(t, e.Replace("b", engine.HandlerFunc(echo), engine.Policy{}), engine.ErrUnknownType)
		mustBe(t, e.Replace("a", nil, engine.Policy{}), engine.ErrInvalid)
		mustBe(t, e.Replace("a", engine.HandlerFunc(echo), engine.Policy{Grace: -1}), engine.ErrInvalid)
	})
}

// Messages that were claimed for the server's own workers are handed back when their type
// is another's.
func TestReplaceUnderLoad(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const messages = 300
		e := start(t, engine.Config{Concurrency: 4})
		sub := subscribe(t, e, "*", engine.Cursor{})
		slow := func(ctx context.Context, _ *engine.Message) (engine.Result, error) {
			time.Sleep(10 * time.Millisecond)
			return engine.Result{}, nil
		}
		register(t, e, "a", engine.Policy{}, slow)
		register(t, e, "b", engine.Policy{}, slow)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		c := make(chan *engine.Consumer, 1)
		wg.Go(func() {
			for outside := true; ctx.Err() == nil; outside = !outside {
				handler := engine.Handler(engine.HandlerFunc(slow))
				if outside {
					handler = engine.Outside()
				}
				if err := e.Replace("a", handler, engine.Policy{}); err != nil {
					t.Error(err)
				}
				if outside && len(c) == 0 {
					consumer, err := e.NewConsumer(engine.ConsumerConfig{Types: []string{"a"}, Slots: 2})
					if err != nil {
						t.Error(err)
					}
					c <- consumer
				}
				time.Sleep(30 * time.Millisecond)
			}
		})
		wg.Go(func() {
			consumer := <-c
			defer consumer.Close()
			c <- consumer // so that there is no other
			for {
				w, err := consumer.Next(ctx)
				if err != nil {
					return
				}
				for _, job := range w.Jobs {
					settle(t, e, leaseOf(job), "", nil)
				}
			}
		})
		for i := range messages {
			submit(t, e, engine.Submission{MessageType: string(rune('a' + i%2)), ResponseNotification: name(i)})
		}
		read(t, sub, messages)
		cancel()
		wg.Wait()
		synctest.Wait()
		nothingLeft(t, e)
	})
}
