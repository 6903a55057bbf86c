package engine

import (
	"context"
	"errors"
)

// errSettledEarly ends the context of a handler that has not returned Detach yet, while
// whoever it left its work with was faster.
var errSettledEarly = errors.New("settled by whoever has it")

// early is what an attempt was settled with before its handler returned.
type early struct {
	result Result
	failed *failed
	// known is closed, under Engine.mu, when the handler has returned: stored is set then.
	known  chan struct{}
	stored *Stored
	// attempt is the one that took over from the handler's; nil if the message went on
	// without either.
	attempt *attempt
}

// settleEarly remembers what the attempt is settled with when its handler returns, which is
// asked to do so. Only a handler that may detach its message lets others settle it. The
// caller holds Engine.mu.
func (a *attempt) settleEarly(result Result, reported *failed) (*Stored, error) {
	if a.early != nil || !a.record.messageType.detaches {
		return nil, notRunning(a.message.lease())
	}
	a.early = &early{result: result, failed: reported, known: make(chan struct{})}
	a.ctx.cancel(errSettledEarly)
	return &Stored{early: a.early}, nil
}

// settleDetached settles the attempt that took over from a with what came early. The caller
// holds mu.
func (e *Engine) settleDetached(a *attempt) {
	next := a.record.attempt
	a.early.stored = e.settleOutside(next, a.early.result, a.early.failed)
	if next.over {
		a.early.attempt = next
	}
	close(a.early.known)
}

// refuseEarly answers whoever settled an attempt too late: its message went on before its
// handler returned. The caller holds Engine.mu.
func (a *attempt) refuseEarly() {
	a.early.stored = &Stored{err: notRunning(a.message.lease())}
	close(a.early.known)
}

func (s *early) wait(ctx context.Context) error {
	select {
	case <-s.known:
		return s.stored.Wait(ctx)
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *early) ready() bool { return isClosed(s.known) && s.stored.Ready() }
