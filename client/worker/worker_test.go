package worker_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/activemessage/activemessage/client/worker"
)

func TestAJobIsAcknowledgedDoneAndSettled(t *testing.T) {
	var seen *worker.Job
	bubble(t, worker.Config{
		Window:   3,
		Policies: map[string]worker.Policy{"work": {Timeout: worker.Never, MaxAttempts: 3, BackoffInitial: time.Second}},
		Handlers: one(func(_ context.Context, job *worker.Job) (worker.Result, error) {
			seen = job
			return worker.Result{Data: []byte{0, 255}, ContentType: "image/png"}, nil
		}),
	}, func(s *server) error {
		p, h := s.accept()
		if h.Window != 3 || len(h.Instance) < 20 || len(h.Held) != 0 || len(h.Types) != 1 || h.Types[0].MessageType != "work" ||
			string(h.Types[0].Policy) != `{"timeout":"never","max_attempts":3,"backoff":{"initial":"1s"}}` {
			t.Errorf("hello: %+v", h)
		}
		p.job("a", 2)
		if ack := p.next("ack"); ack.ID != "a" || ack.Lease != 2 {
			t.Errorf("%+v", ack)
		}
		done := p.next("done")
		if done.ID != "a" || done.Lease != 2 || string(done.Data) != "\x00\xff" || done.ContentType != "image/png" {
			t.Errorf("%+v", done)
		}
		if seen.ID != "a" || seen.Lease != 2 || seen.Attempt != 2 || seen.MaxAttempts != 3 || string(seen.Data) != `{"n":1}` || seen.Key != "k" ||
			seen.ContentType != "application/json" || seen.Metadata["tenant"] != "acme" || seen.Traceparent != "00-1" || !seen.Deadline.IsZero() {
			t.Errorf("%+v", seen)
		}
		p.settled(done)
		p.quiet(time.Minute)
		if len(p.listed()) != 0 || p.beats.Load() != 12 {
			t.Errorf("%d beats, the last with %v", p.beats.Load(), p.listed())
		}
		return nil
	})
}

// The confirmation was lost: the result is sent again until it comes.
func TestAResultIsSentAgainUntilItIsSettled(t *testing.T) {
	bubble(t, worker.Config{}, func(s *server) error {
		g := s.gate
		p, first := s.accept()
		p.job("runs", 1)
		p.job("ends", 1)
		p.next("ack")
		p.next("ack")
		g.leave <- struct{}{} // one of the two
		ended := p.next("done").ID
		for range 3 {
			p.cut()
			var h frame
			p, h = s.accept()
			if sorted(h.Held) != "[ends/1 runs/1]" || h.Instance != first.Instance {
				t.Errorf("%+v", h)
			}
			if again := p.next("done"); again.ID != ended || string(again.Data) != "done" {
				t.Errorf("%+v", again)
			}
		}
		p.send(`{"op":"settled","id":%q,"lease":1}`, ended)
		p.cut()
		p, h := s.accept()
		if len(h.Held) != 1 || h.Held[0].ID == ended {
			t.Errorf("%+v", h.Held)
		}
		g.leave <- struct{}{}
		p.settled(p.next("done"))
		return nil
	})
}

// What is stale keeps its place until its handler has returned, and says so.
func TestWhatIsStaleIsDropped(t *testing.T) {
	bubble(t, worker.Config{}, func(s *server) error {
		g := s.gate
		p, _ := s.accept()
		for i, end := range []string{
			`{"op":"stop","id":"a","lease":1,"reason":"stale"}`,
			`{"op":"beat","stop":[{"id":"b","lease":1,"reason":"stale"}]}`,
		} {
			p.job(string(rune('a'+i)), 1)
			p.next("ack")
			p.send("%s", end)
			if cause := <-g.causes; !errors.Is(cause, worker.ErrStale) {
				t.Error(cause)
			}
			f := p.next("fail")
			if f.Code != "stale" || f.Kind != "retry" {
				t.Errorf("%+v", f)
			}
			p.send("%s", end) // again: the report may have been lost
			p.next("fail")
			p.send(`{"op":"settled","id":%q,"lease":1,"stale":true}`, f.ID)
			p.quiet(2 * beat)
			if len(p.listed()) != 0 {
				t.Errorf("still held: %v", p.listed())
			}
		}
		// Settled while it runs: somebody else did that.
		p.job("c", 1)
		p.next("ack")
		p.send(`{"op":"settled","id":"c","lease":1,"stale":true}`)
		if cause := <-g.causes; !errors.Is(cause, worker.ErrStale) {
			t.Error(cause)
		}
		// What ended, too: the server does not want it.
		p.job("d", 1)
		p.next("ack")
		g.leave <- struct{}{}
		p.next("done")
		p.send(`{"op":"settled","id":"d","lease":1,"stale":true}`)
		synctest.Wait()
		p.cut()
		if _, h := s.accept(); len(h.Held) != 0 {
			t.Errorf("%+v", h.Held)
		}
		return nil
	})
}

func TestStopEndsTheContextWithItsCause(t *testing.T) {
	bubble(t, worker.Config{}, func(s *server) error {
		g := s.gate
		p, _ := s.accept()
		for _, c := range []struct {
			reason     string
			cause      error
			code, kind string
		}{
			{"cancelled", worker.ErrCancelled, "cancelled", "retry"},
			{"timeout", worker.ErrTimeout, "timeout", "retry"},
			{"drain", worker.ErrDrain, "handler_failed", "snooze"},
			{"new reason", worker.ErrCancelled, "cancelled", "retry"},
		} {
			p.job("a", 1)
			p.next("ack")
			p.send(`{"op":"stop","id":"a","lease":1,"reason":%q}`, c.reason)
			if cause := <-g.causes; !errors.Is(cause, c.cause) {
				t.Errorf("%s: %v", c.reason, cause)
			}
			f := p.next("fail")
			if f.Code != c.code || f.Kind != c.kind {
				t.Errorf("%s: %+v", c.reason, f)
			}
			p.settled(f)
		}
		return nil
	})
}

// Two clocks differ by an hour; the deadline is where the server wants it.
func TestTheDeadlineEndsTheContext(t *testing.T) {
	bubble(t, worker.Config{}, func(s *server) error {
		g := s.gate
		for _, skew := range []time.Duration{0, time.Hour, -time.Hour} {
			s.refuse(func(w http.ResponseWriter) bool {
				w.Header().Set("Date", time.Now().Add(skew).UTC().Format(http.TimeFormat))
				return false
			})
			p, _ := s.accept()
			began := time.Now()
			p.send(`{"op":"job","id":"a","lease":1,"message_type":"work","deadline":%q}`, began.Add(skew+time.Minute).Format(time.RFC3339Nano))
			p.next("ack")
			if cause := <-g.causes; !errors.Is(cause, worker.ErrTimeout) || (time.Since(began)-time.Minute).Abs() > time.Second {
				t.Errorf("%v after %s", cause, time.Since(began))
			}
			f := p.next("fail")
			if f.Code != "timeout" {
				t.Errorf("%+v", f)
			}
			p.settled(f)
			synctest.Wait()
			p.cut()
		}
		return nil
	})
}

func TestBeatsGoOnWhileAHandlerRuns(t *testing.T) {
	bubble(t, worker.Config{}, func(s *server) error {
		g := s.gate
		p, _ := s.accept()
		p.job("a", 1)
		p.next("ack")
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if got := fmt.Sprint(p.listed()); p.beats.Load() != 120 || got != "[{a 1}]" {
			t.Errorf("%d beats, the last with %s", p.beats.Load(), got)
		}
		g.leave <- struct{}{}
		p.settled(p.next("done"))
		return nil
	})
}

// A server that is silent for three beats is gone, whatever TCP thinks.
func TestASilentServerIsLeft(t *testing.T) {
	bubble(t, worker.Config{}, func(s *server) error {
		p, _ := s.accept()
		p.mute.Store(true)
		began := time.Now()
		<-p.ended
		if took := time.Since(began); took != 3*beat {
			t.Errorf("left after %s", took)
		}
		s.accept()
		return nil
	})
}

// A frame that nobody reads must not keep beats back for ever: the worker connects anew.
func TestAStalledFrameEndsInAReconnect(t *testing.T) {
	bubble(t, worker.Config{Handlers: one(func(context.Context, *worker.Job) (worker.Result, error) {
		return worker.Result{Data: make([]byte, 700)}, nil
	})}, func(s *server) error {
		p := <-s.sessions
		p.next("hello")
		synctest.Wait()
		p.send(`{"op":"welcome","beat_ms":5000,"max_frame":1000}`)
		p.frames <- frame{} // so that the reader blocks at the next frame
		for len(p.frames) < cap(p.frames) {
			p.frames <- frame{}
		}
		p.job("a", 1)
		began := time.Now()
		again, h := s.accept()
		if took := time.Since(began); took > 4*beat || sorted(h.Held) != "[a/1]" {
			t.Errorf("%+v after %s", h, took)
		}
		for range cap(p.frames) {
			<-p.frames
		}
		again.settled(again.next("done"))
		for range len(p.frames) {
			<-p.frames
		}
		return nil
	})
}

func TestAServerThatIsGoneForTenMinutes(t *testing.T) {
	bubble(t, worker.Config{}, func(s *server) error {
		g := s.gate
		p, _ := s.accept()
		p.job("ends", 1)
		p.job("runs", 1)
		p.next("ack")
		p.next("ack")
		s.network.down.Store(true)
		before := s.network.dials.Load()
		p.cut()
		g.leave <- struct{}{}
		time.Sleep(10 * time.Minute)
		if n := s.network.dials.Load() - before; n < 15 || n > 200 { // 15 s on average, and the first few
			t.Errorf("%d dials", n)
		}
		s.network.down.Store(false)
		began := time.Now()
		p, h := s.accept()
		if took := time.Since(began); took > 30*time.Second || sorted(h.Held) != "[ends/1 runs/1]" {
			t.Errorf("%v after %s", h.Held, took)
		}
		p.settled(p.next("done"))
		g.leave <- struct{}{}
		p.settled(p.next("done"))
		return nil
	})
}

func TestWhatTheServerSendsWrongHarmsNothing(t *testing.T) {
	bubble(t, worker.Config{Handlers: one(func(context.Context, *worker.Job) (worker.Result, error) { return worker.Result{}, nil })}, func(s *server) error {
		p, _ := s.accept()
		for _, f := range []string{
			`{"op":"new","id":7}`, `{"op":"job"}`, `{"op":"job","id":"a","lease":"1"}`, `{"op":"job","id":"a","lease":1,"message_type":"other"}`,
			`{"op":"settled","id":"x","lease":9}`, `{"op":"stop","id":"x","lease":1,"reason":"cancelled"}`, `{"op":"beat","stop":[{}]}`, `{}`, `[]`, `7`,
		} {
			p.send("%s", f)
		}
		p.quiet(beat)
		p.job("a", 1)
		p.next("ack")
		p.settled(p.next("done"))
		p.send(`{"op":`)
		<-p.ended
		if got := websocket.CloseStatus(p.err); got != websocket.StatusInvalidFramePayloadData {
			t.Errorf("%v", p.err)
		}
		s.accept()
		return nil
	})
}

func TestARefusalIsTriedAgainSlowly(t *testing.T) {
	bubble(t, worker.Config{}, func(s *server) error {
		p := <-s.sessions
		began := time.Now()
		_ = p.conn.Close(websocket.StatusPolicyViolation, "work runs in the server")
		s.refuse(func(w http.ResponseWriter) bool {
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return true
		})
		for s.network.dials.Load() < 3 {
			time.Sleep(time.Second)
		}
		if took := time.Since(began); took < 30*time.Second || took > time.Minute+time.Second {
			t.Errorf("three dials in %s", took)
		}
		s.refuse(func(w http.ResponseWriter) bool {
			w.Header().Set("Retry-After", "100")
			http.Error(w, "full", http.StatusServiceUnavailable)
			return true
		})
		for s.network.dials.Load() < 4 {
			time.Sleep(time.Second)
		}
		s.refuse(nil)
		began = time.Now()
		s.accept()
		if took := time.Since(began); took < 99*time.Second || took > 151*time.Second {
			t.Errorf("Retry-After 100 took %s", took)
		}
		return nil
	})
}

func TestAConfigThatCanNeverWorkIsReturned(t *testing.T) {
	t.Parallel()
	handlers := one(newGate().handle)
	for field, cfg := range map[string]worker.Config{
		"URL":      {URL: "server:8080", Handlers: handlers},
		"Window":   {URL: "http://server", Handlers: handlers, Window: -1},
		"Handlers": {URL: "http://server"},
		"Policies": {URL: "http://server", Handlers: handlers, Policies: map[string]worker.Policy{"other": {}}},
	} {
		err := worker.Run(t.Context(), cfg)
		if invalid, is := errors.AsType[*worker.InvalidError](err); !is || invalid.Field != field || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %v", field, err)
		}
	}
}
