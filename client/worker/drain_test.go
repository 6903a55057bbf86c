package worker_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/activemessage/activemessage/client/worker"
)

func TestDrainFinishesWhatRunsAndDelivers(t *testing.T) {
	bubble(t, worker.Config{}, func(s *server) error {
		p, _ := s.accept()
		p.job("a", 1)
		p.next("ack")
		s.stop()
		p.next("drain")
		p.job("b", 1) // had crossed the drain: it goes to another worker, at once and uncounted
		p.next("ack")
		f := p.next("fail")
		if f.ID != "b" || f.Kind != "snooze" || f.AfterMS == nil || *f.AfterMS != 0 {
			t.Errorf("%+v", f)
		}
		p.settled(f)
		time.Sleep(20 * time.Second)
		s.gate.leave <- struct{}{}
		done := p.next("done")
		// Cut off before it is settled: it still is delivered, and the server told again.
		p.cut()
		p, h := s.accept()
		if sorted(h.Held) != "[a/1]" {
			t.Errorf("%+v", h.Held)
		}
		p.next("drain")
		p.next("done")
		p.settled(done)
		<-p.ended
		if got := websocket.CloseStatus(p.err); got != websocket.StatusNormalClosure {
			t.Errorf("ended with %v", p.err)
		}
		return nil
	})
}

func TestWhatTakesTooLongToDrainIsInterrupted(t *testing.T) {
	bubble(t, worker.Config{DrainTimeout: time.Minute}, func(s *server) error {
		p, _ := s.accept()
		p.job("a", 1)
		p.next("ack")
		s.stop()
		p.next("drain")
		began := time.Now()
		if cause := <-s.gate.causes; !errors.Is(cause, worker.ErrDrain) || time.Since(began) != time.Minute {
			t.Errorf("%v after %s", cause, time.Since(began))
		}
		f := p.next("fail")
		if f.Kind != "snooze" || f.AfterMS == nil || *f.AfterMS != 0 {
			t.Errorf("%+v", f)
		}
		p.settled(f)
		return nil
	})
}

func TestRunTellsWhatItLeavesBehind(t *testing.T) {
	release := make(chan chan struct{}, 1)
	bubble(t, worker.Config{DrainTimeout: -1, Handlers: map[string]worker.Handler{
		"work": func(context.Context, *worker.Job) (worker.Result, error) { return worker.Result{}, nil },
		"deaf": func(context.Context, *worker.Job) (worker.Result, error) {
			<-<-release
			return worker.Result{}, nil
		},
	}}, func(s *server) error {
		p, _ := s.accept()
		deaf := make(chan struct{})
		release <- deaf
		p.job("unconfirmed", 1)
		p.send(`{"op":"job","id":"deaf","lease":1,"message_type":"deaf"}`)
		synctest.Wait()
		s.stop()
		began := time.Now()
		<-p.ended
		if took := time.Since(began); took != 5*time.Second {
			t.Errorf("stopped after %s", took)
		}
		close(deaf)
		return &worker.UnsettledError{Running: 1, Unsettled: 1}
	})
}

func TestAServerThatDrainsIsLeftWhenAllIsSettled(t *testing.T) {
	bubble(t, worker.Config{}, func(s *server) error {
		p, _ := s.accept()
		p.job("a", 1)
		p.next("ack")
		p.send(`{"op":"drain","within_ms":30000}`)
		p.quiet(beat)
		s.gate.leave <- struct{}{}
		done := p.next("done")
		p.quiet(beat)
		p.settled(done)
		<-p.ended
		if got := websocket.CloseStatus(p.err); got != websocket.StatusNormalClosure {
			t.Errorf("ended with %v", p.err)
		}
		began := time.Now()
		p, _ = s.accept()
		if took := time.Since(began); took > time.Second {
			t.Errorf("connected elsewhere after %s", took)
		}
		p.send(`{"op":"drain","within_ms":30000}`) // with nothing to do: at once
		<-p.ended
		s.accept()
		return nil
	})
}
