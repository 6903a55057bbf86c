package engine

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"
)

// pendingRetry is a retry by hand on its way to the store.
type pendingRetry struct {
	commit  *commit
	change  *RetryChange
	receipt Receipt
}

// retryStored is Retry with a store.
func (e *Engine) retryStored(ctx context.Context, id ID) (Receipt, error) {
	for {
		p, err := e.beginRetry(id)
		if err != nil {
			return Receipt{}, err
		}
		receipt, err := e.endRetry(ctx, p)
		if !errors.Is(err, ErrStale) {
			return receipt, err
		}
		// It was retried, ran and ended meanwhile: look again.
	}
}

// beginRetry does what is to be done before a retry is stored.
func (e *Engine) beginRetry(id ID) (pendingRetry, error) {
	for {
		m, err := e.durable.store.Get(context.Background(), id)
		if err != nil {
			return pendingRetry{}, fmt.Errorf("retry %s: %w", id, unread(err))
		}
		e.mu.Lock()
		r := e.table.byID[id]
		if r == nil || r.settling == nil {
			p, err := e.planRetry(&m, r)
			e.unlock()
			return p, err
		}
		// The store may know of an end that the engine does not know of yet.
		decided := r.settling
		e.mu.Unlock()
		if err := decided.wait(context.Background()); err != nil {
			return pendingRetry{}, fmt.Errorf("retry %s: %w", id, err)
		}
	}
}

// planRetry lets the store have a retry of m; r is what is in memory of it, if it is
// claimed. The caller holds mu.
func (e *Engine) planRetry(m *StoredMessage, r *record) (pendingRetry, error) {
	d, id := e.durable, m.ID
	if r != nil {
		return pendingRetry{}, retryable(id, r.state)
	}
	if err := retryable(id, m.State); err != nil {
		return pendingRetry{}, err
	}
	if _, stuck := d.stuck[id]; stuck {
		return pendingRetry{}, fmt.Errorf("retry %s: %w: its handler has not returned yet", id, ErrNotRetryable)
	}
	t := e.lookup(m.MessageType)
	if t == nil {
		return pendingRetry{}, e.refuse(nil, RefusedUnknownType, &unknownTypeError{m.MessageType})
	}
	if err := d.unusable(); err != nil {
		return pendingRetry{}, err
	}
	if err := e.admitSize(t, m.Size, time.Now()); err != nil {
		return pendingRetry{}, err
	}
	p := pendingRetry{
		commit:  d.openCommit(),
		change:  &RetryChange{ID: id, Attempt: m.Attempt, Attempts: e.statusOf(m).Attempts},
		receipt: e.receipt(id, StateQueued, t),
	}
	if n := len(p.change.Attempts); n > maxPast {
		p.change.Attempts = p.change.Attempts[n-maxPast:]
	}
	room := retryRoom{t, m.Size}
	room.take(e, 1)
	p.commit.retry(p.change, room)
	return p, nil
}

// retryRoom is what a retry takes of the queues' bounds until the store counts it.
type retryRoom struct {
	messageType *messageType
	size        int64
}

// take takes the room, or gives it back. The caller holds mu.
func (r retryRoom) take(e *Engine, sign int) {
	r.messageType.backlog.add(StateQueued, sign, int64(sign)*r.size)
	e.backlog.add(StateQueued, sign, int64(sign)*r.size)
}

// freeRetries gives back what the retries of a commit took. The caller holds mu.
func (e *Engine) freeRetries(c *commit) {
	for _, room := range c.retries {
		room.take(e, -1)
	}
}

// endRetry waits until a retry is stored.
func (e *Engine) endRetry(ctx context.Context, p pendingRetry) (Receipt, error) {
	if err := p.commit.wait(ctx); err != nil {
		return Receipt{}, e.notStored(nil, err)
	}
	if p.change.Err != nil {
		return Receipt{}, fmt.Errorf("retry %s: %w", p.change.ID, p.change.Err)
	}
	return p.receipt, nil
}

// notStored counts a refusal by the store. t may be nil.
func (e *Engine) notStored(t *messageType, err error) error {
	if errors.Is(err, ErrStorageFull) {
		return e.refuse(t, RefusedStorageFull, err)
	}
	return err
}

// maxRetryBatch is how many retries by hand are under way at once.
const maxRetryBatch = 256

// retryAllStored retries messages, the first first.
func (e *Engine) retryAllStored(ctx context.Context, ids []ID) (int, error) {
	retried := 0
	for len(ids) > 0 {
		n := min(len(ids), maxRetryBatch)
		done, err := e.retryBatch(ctx, ids[:n])
		retried += done
		if err != nil {
			return retried, err
		}
		ids = ids[n:]
	}
	return retried, ctx.Err()
}

// retryBatch retries messages together. Its error is one after which no other would be
// retried.
func (e *Engine) retryBatch(ctx context.Context, ids []ID) (retried int, err error) {
	var pending []pendingRetry
	for _, id := range ids {
		if err = ctx.Err(); err != nil {
			break
		}
		p, beginErr := e.beginRetry(id)
		if beginErr == nil {
			pending = append(pending, p)
			continue
		}
		if endsRetries(beginErr) {
			err = beginErr
			break
		}
	}
	for _, p := range pending {
		switch _, endErr := e.endRetry(ctx, p); {
		case endErr == nil:
			retried++
		case endsRetries(endErr) && err == nil:
			err = endErr
		}
	}
	return retried, err
}

// collectStored is collect with a store.
func (e *Engine) collectStored(ctx context.Context, o ListOptions) ([]ID, error) {
	var ids []ID
	o.Limit, o.Before = maxPage, math.MaxUint64
	for {
		page, next, err := e.durable.store.List(ctx, o)
		if err != nil {
			return nil, fmt.Errorf("list: %w", unread(err))
		}
		for i := range page {
			ids = append(ids, page[i].ID)
		}
		if next == 0 {
			return ids, nil
		}
		o.Before = next
	}
}
