package worker_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/activemessage/activemessage/client/worker"
)

func TestAHandlersErrorIsToldInItsKind(t *testing.T) {
	secret := errors.New("password=secret")
	for name, c := range map[string]struct {
		handler worker.Handler
		want    string
	}{
		"plain":           {failing(secret), "handler_failed: handler failed, retry"},
		"own":             {failing(fmt.Errorf("wrapped: %w", &worker.Error{Message: "no such user", Cause: secret})), "handler_failed: no such user, retry"},
		"own code":        {failing(&worker.Error{Code: "odd", Message: "é \"\x01"}), "odd: é \"\x01, retry"},
		"nil":             {failing((*worker.Error)(nil)), "handler_failed: handler failed, retry"},
		"permanent":       {failing(worker.Permanent(&worker.Error{Code: "bad", Message: "no"})), "bad: no, permanent"},
		"permanent plain": {failing(worker.Permanent(nil)), "handler_failed: handler failed, permanent"},
		"after":           {failing(worker.RetryAfter(1500*time.Millisecond, secret)), "handler_failed: handler failed, retry after 1500"},
		"snooze":          {failing(worker.Snooze(time.Minute)), "handler_failed: handler failed, snooze after 60000"},
		"panic":           {func(context.Context, *worker.Job) (worker.Result, error) { panic(secret) }, "handler_crashed: handler crashed, retry"},
		"goexit": {func(context.Context, *worker.Job) (worker.Result, error) {
			runtime.Goexit()
			return worker.Result{}, nil
		}, "handler_crashed: handler crashed, retry"},
		"invalid data": {worker.Typed(func(context.Context, *worker.Job, struct{ N string }) (int, error) { return 0, nil }),
			"invalid_data: message_data: the member N is a JSON number, which does not fit, permanent"},
		"no text": {worker.Typed(func(_ context.Context, _ *worker.Job, in struct{ N int }) (float64, error) { return math.NaN(), nil }),
			"handler_failed: handler failed, retry"},
		"large": {func(context.Context, *worker.Job) (worker.Result, error) {
			return worker.Result{Data: make([]byte, 800)}, nil
		}, "result_too_large: the result is too large, permanent"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, worker.Config{Handlers: one(c.handler)}, func(s *server) error {
				p, _ := s.accept()
				p.job("a", 1)
				p.next("ack")
				f := p.next("fail")
				got := fmt.Sprintf("%s: %s, %s", f.Code, f.Message, f.Kind)
				if f.AfterMS != nil {
					got += fmt.Sprintf(" after %d", *f.AfterMS)
				}
				if got != c.want {
					t.Errorf("got %s, expected %s", got, c.want)
				}
				p.settled(f)
				return nil
			})
		})
	}
}

func failing(err error) worker.Handler {
	return func(context.Context, *worker.Job) (worker.Result, error) { return worker.Result{}, err }
}

func TestTypedTakesAndMakesJSON(t *testing.T) {
	t.Parallel()
	h := worker.Typed(func(_ context.Context, job *worker.Job, in struct{ N int }) (map[string]int, error) {
		job.Progress(math.NaN(), "")
		return map[string]int{"twice": 2 * in.N}, job.Save([]byte("half"))
	})
	for data, want := range map[string]string{`{"N":21}`: `{"twice":42}`, "": `{"twice":0}`} {
		job := &worker.Job{Data: []byte(data)}
		result, err := h(t.Context(), job)
		if err != nil || string(result.Data) != want || result.ContentType != "application/json" || string(job.Saved()) != "half" {
			t.Errorf("%q: %+v, %v, saved %q", data, result, err, job.Saved())
		}
	}
	if _, err := h(t.Context(), &worker.Job{Data: []byte(`{} {}`)}); err == nil {
		t.Error("two values are taken for one")
	}
}

// The latest progress and checkpoint are kept, and told again to a server that may
// have missed them.
func TestProgressAndCheckpoints(t *testing.T) {
	step := make(chan chan struct{}, 1)
	bubble(t, worker.Config{Handlers: one(func(_ context.Context, job *worker.Job) (worker.Result, error) {
		next := <-step
		for i := range 1000 { // at once: the first is told at once, the last with a beat
			job.Progress(float64(i)/1000, fmt.Sprint(i))
		}
		job.Progress(2, "end")
		if err := job.Save(make([]byte, 1001)); !errors.Is(err, worker.ErrTooLarge) {
			t.Errorf("save: %v", err)
		}
		if err := errors.Join(job.Save([]byte("first")), job.Save([]byte("last"))); err != nil {
			t.Error(err)
		}
		<-next
		return worker.Result{Data: job.Checkpoint}, nil
	})}, func(s *server) error {
		p, _ := s.accept()
		next := make(chan struct{})
		step <- next
		p.send(`{"op":"job","id":"a","lease":1,"message_type":"work","checkpoint":{"at":7}}`)
		p.next("ack")
		synctest.Wait()
		var got []frame
		for len(got) == 0 || got[len(got)-1].Note != "end" {
			got = append(got, <-p.frames)
		}
		if n := len(got); n > 4 || got[n-1].Op != "progress" || got[n-1].Fraction != 1 {
			t.Errorf("%+v", got)
		}
		p.cut()
		p, _ = s.accept()
		if save := p.next("save"); string(save.Data) != "last" {
			t.Errorf("%+v", save)
		}
		if last := p.next("progress"); last.Note != "end" {
			t.Errorf("%+v", last)
		}
		close(next)
		done := p.next("done")
		if string(done.Data) != `{"at":7}` {
			t.Errorf("%s", done.Data)
		}
		p.settled(done)
		return nil
	})
}

// After the handler has returned, or its lease is gone, its job's methods do nothing.
func TestAJobThatIsOverTakesNothing(t *testing.T) {
	bubble(t, worker.Config{}, func(s *server) error {
		p, _ := s.accept()
		p.job("a", 1)
		p.next("ack")
		ended := <-s.gate.entered
		s.gate.leave <- struct{}{}
		done := p.next("done")
		ended.Progress(1, "late")
		if err := ended.Save([]byte("late")); !errors.Is(err, worker.ErrStale) {
			t.Error(err)
		}
		p.quiet(2 * beat)
		p.settled(done)
		return nil
	})
}
