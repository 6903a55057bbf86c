package engine

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"
)

// Retry runs a message again that ended without success, with as many attempts
// as a new one and no expiry; it will have another outcome, published as the first
// was. Errors: ErrNotFound, ErrNotRetryable, ErrUnknownType if its type is no
// longer registered, ErrQueueFull, ErrDraining; with a Store also ErrStorageFull and
// ErrStoreFailed, and ErrNotRetryable while its handler is stuck.
func (e *Engine) Retry(id ID) (Receipt, error) {
	if e.durable != nil {
		return e.retryStored(context.Background(), id)
	}
	now := time.Now()
	e.mu.Lock()
	defer e.unlock()
	r, known := e.table.byID[id]
	if !known {
		return Receipt{}, fmt.Errorf("retry %s: %w", id, ErrNotFound)
	}
	if err := retryable(id, r.state); err != nil {
		return Receipt{}, err
	}
	t := e.lookup(r.message.MessageType)
	if t == nil {
		return Receipt{}, e.refuse(nil, RefusedUnknownType, &unknownTypeError{r.message.MessageType})
	}
	if err := e.admitSize(t, r.size, now); err != nil {
		return Receipt{}, err
	}
	receipt := e.receipt(id, StateQueued, t)
	e.revive(r, t, now)
	receipt.State = r.state
	return receipt, nil
}

// retryable refuses to retry what has not ended, or succeeded.
func retryable(id ID, s State) error {
	if s.Terminal() && s != StateSucceeded {
		return nil
	}
	return fmt.Errorf("retry %s: %w: it is %s", id, ErrNotRetryable, s)
}

// revive makes an ended message wait again. The caller holds mu.
func (e *Engine) revive(r *record, t *messageType, now time.Time) {
	e.table.revive(r)
	e.unfinished++
	r.size -= r.failure.size()
	p := r.needPlan()
	if n := len(p.past); r.attempts > 0 && (n == 0 || p.past[n-1].Number < r.attempts) {
		r.remember(r.current(r.state, r.failure, r.message.AcceptedAt.Add(r.finishedIn)))
	}
	p.uncounted, p.expiresAt = r.attempts, time.Time{}
	if p.key != nil {
		e.keys.revive(p.key)
	}
	r.messageType, r.failure, r.cancelled, r.finishedIn = t, nil, false, 0
	r.progress.Store(nil)
	p.checkpoint = nil
	if p.blockedBy != nil {
		r.state = StateRetrying
		e.enter(r)
		return
	}
	e.queueAgain(r, now)
}

// queueAgain makes a message wait for a slot that is in no queue. The caller holds mu.
func (e *Engine) queueAgain(r *record, now time.Time) {
	r.state = StateScheduled
	e.enter(r)
	e.enqueue(r, now)
}

// RetryAll is Retry of every message that o picks, oldest first; o.State defaults
// to StateFailed, o.Limit to no bound, and o.Before is ignored. It returns how many
// were retried; with ErrQueueFull, ErrDraining, ErrStorageFull, ErrStoreFailed or ctx's
// error, that the others were not. Errors also: ErrInvalid.
func (e *Engine) RetryAll(ctx context.Context, o ListOptions) (int, error) {
	if err := o.validate(); err != nil {
		return 0, err
	}
	if o.State == "" {
		o.State = StateFailed
	}
	ids, err := e.collect(ctx, o)
	if err != nil {
		return 0, err
	}
	if o.Limit > 0 && len(ids) > o.Limit {
		ids = ids[len(ids)-o.Limit:]
	}
	slices.Reverse(ids)
	if e.durable != nil {
		return e.retryAllStored(ctx, ids)
	}
	retried := 0
	for _, id := range ids {
		if err := ctx.Err(); err != nil {
			return retried, err
		}
		switch _, err := e.Retry(id); {
		case err == nil:
			retried++
		case endsRetries(err):
			return retried, err
		}
	}
	return retried, nil
}

// endsRetries reports whether an error is one after which no other message would be
// retried.
func endsRetries(err error) bool {
	for _, end := range []error{ErrQueueFull, ErrDraining, ErrStorageFull, ErrStoreFailed, context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, end) {
			return true
		}
	}
	return false
}

// collect returns the ids of all messages that o picks, newest first.
func (e *Engine) collect(ctx context.Context, o ListOptions) ([]ID, error) {
	if e.durable != nil {
		return e.collectStored(ctx, o)
	}
	var ids []ID
	o.Before = math.MaxUint64
	for complete := false; !complete; {
		e.mu.Lock()
		scanned := 0
		complete = true
		e.table.descend(o.Before, func(r *record) bool {
			if scanned++; scanned > scanStep {
				complete = false
				return false
			}
			o.Before = r.place.sequence
			if o.matches(r) {
				ids = append(ids, r.message.ID)
			}
			return true
		})
		e.mu.Unlock()
	}
	return ids, nil
}
