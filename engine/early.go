package engine

import "context"

// early is what an attempt was settled with before its handler had returned Detach:
// whoever it left its work with was faster.
type early struct {
	result Result
	failed *failed
	// known is closed, under Engine.mu, when the handler has returned: stored is set then.
	known  chan struct{}
	stored *Stored
	// attempt is the one that took over from the handler's; nil if it did not detach.
	attempt *attempt
}

// settleEarly remembers what the attempt is to be settled with when its handler detaches
// it. The caller holds Engine.mu.
func (a *attempt) settleEarly(result Result, reported *failed) (*Stored, error) {
	if a.early != nil {
		return nil, notRunning(Lease{a.record.message.ID, a.message.Attempt})
	}
	a.early = &early{result: result, failed: reported, known: make(chan struct{})}
	return &Stored{early: a.early}, nil
}

// settleDetached settles the attempt that took over from a with what came early, if
// anything did. The caller holds mu.
func (e *Engine) settleDetached(a *attempt) {
	if a.early == nil {
		return
	}
	next := a.record.attempt
	a.early.stored = e.settleOutside(next, a.early.result, a.early.failed)
	if next.over {
		a.early.attempt = next
	}
	close(a.early.known)
}

// refuseEarly answers whoever settled an attempt that its handler did not detach. The
// caller holds Engine.mu.
func (a *attempt) refuseEarly() {
	if a.early != nil {
		a.early.stored = &Stored{err: notRunning(Lease{a.record.message.ID, a.message.Attempt})}
		close(a.early.known)
	}
}

func (s *early) wait(ctx context.Context) error {
	select {
	case <-s.known:
		return s.stored.Wait(ctx)
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *early) ready() bool {
	select {
	case <-s.known:
		return s.stored.Ready()
	default:
		return false
	}
}
