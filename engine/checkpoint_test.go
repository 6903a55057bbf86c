package engine_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/activemessage/activemessage/engine"
)

func TestCheckpoints(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := start(t, engine.Config{MaxMessageBytes: 8})
		sub := subscribe(t, e, "*", engine.Cursor{})
		outside(t, e, engine.Policy{MaxAttempts: 2}, "far")
		register(t, e, "near", engine.Policy{MaxAttempts: 3}, func(ctx context.Context, m *engine.Message) (engine.Result, error) {
			if m.Attempt == 3 {
				return engine.Result{Data: m.Checkpoint}, nil
			}
			if err := m.Save(ctx, append(slices.Clone(m.Checkpoint), 'x')); err != nil {
				return engine.Result{}, engine.Permanent(err)
			}
			return engine.Result{}, errors.New("again")
		})
		near := submit(t, e, engine.Submission{MessageType: "near", ResponseNotification: "near"}).ID
		read(t, sub, 1)
		if s := status(t, e, near); string(s.Result.Data) != "xx" {
			t.Errorf("%q, %v", s.Result.Data, s.Error)
		}
		c := consume(t, e, 1, "far")
		far := submit(t, e, engine.Submission{MessageType: "far", ResponseNotification: "far"}).ID
		job := next(t, e, c, 1)[0]
		for _, data := range []string{"one", "two"} {
			if _, err := e.Save(leaseOf(job), []byte(data)); err != nil {
				t.Fatal(err)
			}
		}
		_, err := e.Save(leaseOf(job), make([]byte, 9))
		mustBe(t, err, engine.ErrTooLarge)
		settle(t, e, leaseOf(job), "", errors.New("again"))
		job = next(t, e, c, 1)[0]
		if string(job.Message.Checkpoint) != "two" {
			t.Errorf("%q", job.Message.Checkpoint)
		}
		settle(t, e, leaseOf(job), "", errors.New("no"))
		read(t, sub, 1)
		if _, err := e.Retry(far); err != nil {
			t.Fatal(err)
		}
		job = next(t, e, c, 1)[0]
		if job.Message.Checkpoint != nil {
			t.Errorf("a retry by hand begins with %q", job.Message.Checkpoint)
		}
		settle(t, e, leaseOf(job), "", nil)
	})
}
