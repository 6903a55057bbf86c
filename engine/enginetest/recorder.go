package enginetest

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/activemessage/activemessage/engine"
)

// recorder notes what an engine does with one message.
type recorder struct {
	engine      *engine.Engine
	messageType string
	once        bool
	// stop ends the wait for the message's end.
	stop context.CancelFunc

	mu       sync.Mutex
	attempts []*Attempt // guarded by mu, and so is what is in them
}

// Submit changes nothing.
func (r *recorder) Submit(context.Context, *engine.Submission) func(engine.Receipt, error) {
	return func(engine.Receipt, error) {}
}

// Run notes an attempt. There is no other after the last one that is wanted, for the type
// is paused.
func (r *recorder) Run(m *engine.Message, _ time.Time) (context.Context, engine.Run) {
	if r.once || m.Attempt >= maxAttempts {
		_, _ = r.engine.Reconfigure(r.messageType, func(p *engine.Policy) { p.Paused = true }) // the type is there
	}
	a := &Attempt{}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.attempts = append(r.attempts, a)
	return context.Background(), &attemptRecorder{recorder: r, id: m.ID, number: m.Attempt, attempt: a}
}

// attemptRecorder notes what becomes of one attempt.
type attemptRecorder struct {
	recorder *recorder
	id       engine.ID
	number   int
	attempt  *Attempt
}

// Progress notes a report.
func (a *attemptRecorder) Progress(p engine.Progress) {
	a.recorder.mu.Lock()
	defer a.recorder.mu.Unlock()
	a.attempt.Progress = append(a.attempt.Progress, p)
}

// Saved notes a checkpoint.
func (a *attemptRecorder) Saved(checkpoint []byte) {
	a.recorder.mu.Lock()
	defer a.recorder.mu.Unlock()
	a.attempt.Checkpoints = append(a.attempt.Checkpoints, slices.Clone(checkpoint))
}

// Returned notes the handler's error.
func (a *attemptRecorder) Returned(err error) {
	a.recorder.mu.Lock()
	defer a.recorder.mu.Unlock()
	a.attempt.Returned = err
}

// Settled notes what follows, as the message's status has it.
func (a *attemptRecorder) Settled(engine.State, bool) {
	status, err := a.recorder.engine.Get(a.id)
	i := slices.IndexFunc(status.Attempts, func(known engine.Attempt) bool { return known.Number == a.number })
	if err == nil && i >= 0 {
		known := &status.Attempts[i]
		a.recorder.mu.Lock()
		a.attempt.State, a.attempt.Error = known.State, known.Error
		if i == len(status.Attempts)-1 && !status.DueAt.IsZero() {
			a.attempt.After = status.DueAt.Sub(known.FinishedAt)
		}
		a.recorder.mu.Unlock()
	}
	if a.recorder.once || a.number >= maxAttempts {
		a.recorder.stop()
	}
}
