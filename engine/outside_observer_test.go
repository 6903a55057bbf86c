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
)

// diary is an observer that writes down what it is told.
type diary struct {
	mu    sync.Mutex
	lines []string
}

func (d *diary) write(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lines = append(d.lines, fmt.Sprintf(format, args...))
}

func (d *diary) Submit(context.Context, *engine.Submission) func(engine.Receipt, error) {
	return func(engine.Receipt, error) {}
}

func (d *diary) Run(m *engine.Message, _ time.Time) (context.Context, engine.Run) {
	d.write("run %d", m.Attempt)
	return context.Background(), diaryRun{d}
}

type diaryRun struct{ *diary }

func (d diaryRun) Returned(err error) { d.write("returned %v", err) }
func (d diaryRun) Settled(state engine.State, published bool) {
	d.write("settled %s %t", state, published)
}

// What runs outside is observed from when a consumer takes it until it ends.
func TestObservedOutside(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := &diary{}
		e := start(t, engine.Config{Observer: d})
		outside(t, e, engine.Policy{MaxAttempts: 2}, "far")
		c := consume(t, e, 1, "far")
		submit(t, e, engine.Submission{MessageType: "far", ResponseNotification: "p"})
		settle(t, e, leaseOf(next(t, e, c, 1)[0]), "", errors.New("again"))
		settle(t, e, leaseOf(next(t, e, c, 1)[0]), "", nil)
		register(t, e, "hook", engine.Policy{}, func(context.Context, *engine.Message) (engine.Result, error) {
			return engine.Result{}, engine.Detach(time.Hour)
		})
		id := submit(t, e, engine.Submission{MessageType: "hook"}).ID
		synctest.Wait()
		settle(t, e, engine.Lease{ID: id, Attempt: 1}, "", nil)
		want := []string{
			"run 1", "returned again", "settled retrying false", "run 2", "returned <nil>", "settled succeeded true",
			"run 1", "returned detached for 1h0m0s", "settled running false",
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		if !slices.Equal(d.lines, want) {
			t.Errorf("%q", d.lines)
		}
	})
}
