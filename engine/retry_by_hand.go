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
// longer registered, ErrQueueFull, ErrDraining.
func (e *Engine) Retry(id ID) (Receipt, error) {
	now := time.Now()
	e.mu.Lock()
	defer e.unlock()
	r, known := e.table.byID[id]
	switch {
	case !known:
		return Receipt{}, fmt.Errorf("retry %s: %w", id, ErrNotFound)
	case !r.state.Terminal() || r.state == StateSucceeded:
		return Receipt{}, fmt.Errorf("retry %s: %w: it is %s", id, ErrNotRetryable, r.state)
	}
	t := e.lookup(r.message.MessageType)
	if t == nil {
		return Receipt{}, e.refuse(nil, RefusedUnknownType, &unknownTypeError{r.message.MessageType})
	}
	if err := e.admitSize(t, r.size, now); err != nil {
		return Receipt{}, err
	}
	cursor := e.log.cursor()
	e.revive(r, t, now)
	return Receipt{ID: id, State: r.state, MessageType: t.name, Cursor: cursor, Durability: DurabilityMemory}, nil
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
	if p.blockedBy != nil {
		r.state = StateRetrying
		e.enter(r)
		return
	}
	r.state = StateScheduled
	e.enter(r)
	e.enqueue(r, now)
}

// RetryAll is Retry of every message that o picks, oldest first; o.State defaults
// to StateFailed, o.Limit to no bound, and o.Before is ignored. It returns how many
// were retried; with ErrQueueFull, ErrDraining or ctx's error, that the others were
// not. Errors also: ErrInvalid.
func (e *Engine) RetryAll(ctx context.Context, o ListOptions) (int, error) {
	if err := o.validate(); err != nil {
		return 0, err
	}
	if o.State == "" {
		o.State = StateFailed
	}
	ids := e.collect(o)
	if o.Limit > 0 && len(ids) > o.Limit {
		ids = ids[len(ids)-o.Limit:]
	}
	retried := 0
	for _, id := range slices.Backward(ids) {
		if err := ctx.Err(); err != nil {
			return retried, err
		}
		switch _, err := e.Retry(id); {
		case err == nil:
			retried++
		case errors.Is(err, ErrQueueFull), errors.Is(err, ErrDraining):
			return retried, err
		}
	}
	return retried, nil
}

// collect returns the ids of all messages that o picks, newest first.
func (e *Engine) collect(o ListOptions) []ID {
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
	return ids
}
