package worker_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/activemessage/activemessage/client/worker"
)

func TestNoMoreThanTheWindowRuns(t *testing.T) {
	bubble(t, worker.Config{Window: 2}, func(s *server) error {
		p, _ := s.accept()
		for i := range 5 { // one more than can wait
			p.job(fmt.Sprint(i), 1)
		}
		p.next("ack")
		p.next("ack")
		p.quiet(2 * beat)
		if len(s.gate.entered) != 2 || len(p.listed()) != 2 {
			t.Errorf("%d run, %v are held", len(s.gate.entered), p.listed())
		}
		p.send(`{"op":"stop","id":"2","lease":1,"reason":"stale"}`) // the offer was withdrawn
		synctest.Wait()
		s.gate.leave <- struct{}{}
		if ack := p.next("ack"); ack.ID != "3" {
			t.Errorf("%+v", ack)
		}
		p.settled(p.next("done"))
		s.gate.leave <- struct{}{}
		p.settled(p.next("done"))
		s.gate.leave <- struct{}{}
		p.settled(p.next("done"))
		p.quiet(2 * beat)
		return nil
	})
}

// Results that nobody confirms do not pile up: those that are large as many as the
// window, those that are small a few more.
func TestOutcomesThatAreNotSettledAreBounded(t *testing.T) {
	for name, c := range map[string]struct{ size, ended int }{"large": {6 << 20, 3}, "small": {1, 3 + 256}} {
		t.Run(name, func(t *testing.T) {
			bubble(t, worker.Config{Window: 3, Handlers: one(func(context.Context, *worker.Job) (worker.Result, error) {
				return worker.Result{Data: make([]byte, c.size)}, nil // the server's frames are small: it fails, and is kept
			})}, func(s *server) error {
				p, _ := s.accept()
				taken := 0
				for p.job("0", 1); ; p.job(fmt.Sprint(taken), 1) {
					synctest.Wait()
					if len(p.frames) == 0 {
						break
					}
					p.next("ack")
					<-p.frames
					taken++
				}
				if taken != c.ended {
					t.Errorf("%d were taken, expected %d", taken, c.ended)
				}
				p.send(`{"op":"settled","id":"0","lease":1}`)
				p.next("ack")
				for i := range taken + 1 {
					p.send(`{"op":"settled","id":"%d","lease":1}`, i)
				}
				synctest.Wait()
				return nil
			})
		})
	}
}

func TestAJobThatComesTwiceRunsOnce(t *testing.T) {
	bubble(t, worker.Config{}, func(s *server) error {
		g := s.gate
		p, _ := s.accept()
		p.job("a", 1)
		p.next("ack")
		p.job("a", 1)
		p.next("ack")
		p.job("a", 2) // the next attempt is another one
		p.next("ack")
		synctest.Wait()
		if len(g.entered) != 2 {
			t.Errorf("%d handlers", len(g.entered))
		}
		p.send(`{"op":"stop","id":"a","lease":1,"reason":"stale"}`)
		if cause := <-g.causes; !errors.Is(cause, worker.ErrStale) {
			t.Error(cause)
		}
		p.settled(p.next("fail"))
		g.leave <- struct{}{}
		p.settled(p.next("done"))
		return nil
	})
}
