package engine

import (
	"context"
	"time"
)

// pendingSubmit is a submission on its way to the store, or what became of it at once.
type pendingSubmit struct {
	messageType *messageType
	receipt     Receipt
	err         error
	observed    func(Receipt, error) // nil without an observer

	commit *commit // nil if err says it all
	change *SubmitChange
	// refused is why the submission was not to be accepted; if its idempotency key is
	// known, it was accepted before, and that counts.
	refused error
}

// beginSubmit is Submit with a store, up to where it would wait for it.
func (e *Engine) beginSubmit(ctx context.Context, s Submission) (p pendingSubmit) {
	t := e.lookup(s.MessageType)
	if p.err = ctx.Err(); p.err == nil {
		p.err = e.check(ctx, &s, t)
	}
	if p.err != nil {
		return p
	}
	p.messageType = t
	if e.cfg.Observer != nil {
		p.observed = e.cfg.Observer.Submit(ctx, &s)
	}
	e.submitToStore(&p, &s)
	return p
}

// submitToStore lets the store have a checked submission, or refuses it.
func (e *Engine) submitToStore(p *pendingSubmit, s *Submission) {
	now, t := time.Now(), p.messageType
	r := newRecord(s, t, now)
	p.change = &SubmitChange{}
	if s.IdempotencyKey != "" {
		p.change.IdempotencyKey, p.change.Fingerprint = s.IdempotencyKey, s.fingerprint()
		p.change.Remember = e.durable.clock.stored(s.keyExpires(now, e.cfg.IdempotencyTTL))
	}
	noRoom := e.checkRoom()

	e.mu.Lock()
	defer e.unlock()
	d := e.durable
	if p.err = d.unusable(); p.err != nil {
		return
	}
	if p.refused = e.admitStored(t, s, r.size, noRoom, now); p.refused != nil {
		if s.IdempotencyKey == "" {
			p.err = p.refused
			return
		}
		p.change.ReplayOnly, r = true, nil
	} else {
		r.message.ID = d.newID(now)
		p.change.Message = e.storedMessage(r)
		e.unfinished++
		e.enter(r)
		p.receipt = e.receipt(r.message.ID, r.state, t)
		p.change.Cursor = p.receipt.Cursor.Number
	}
	p.commit = d.openCommit()
	p.commit.submit(p.change, r)
}

// admitStored is admit, with a store that has to have room, too. The caller holds mu.
func (e *Engine) admitStored(t *messageType, s *Submission, size int64, noRoom error, now time.Time) error {
	if err := e.admit(t, s, size, now); err != nil {
		return err
	}
	if noRoom == nil && e.durable.full {
		noRoom = ErrStorageFull
	}
	if noRoom != nil {
		return e.refuse(t, RefusedStorageFull, noRoom)
	}
	return nil
}

// endSubmit waits until a submission is stored.
func (e *Engine) endSubmit(ctx context.Context, p pendingSubmit) (Receipt, error) {
	receipt, err := e.acceptance(ctx, &p)
	if p.observed != nil {
		p.observed(receipt, err)
	}
	return receipt, err
}

// acceptance is what became of a submission, once its commit is done.
func (e *Engine) acceptance(ctx context.Context, p *pendingSubmit) (Receipt, error) {
	if p.err != nil {
		return Receipt{}, p.err
	}
	if err := p.commit.wait(ctx); err != nil {
		return Receipt{}, e.notStored(p.messageType, err)
	}
	switch first := p.change.Replay; {
	case first != nil:
		return Receipt{
			ID:          first.ID,
			State:       first.State,
			MessageType: p.messageType.name,
			Cursor:      e.log.at(first.Cursor),
			Durability:  e.durability(),
			Replayed:    true,
		}, nil
	case p.change.Err != nil:
		return Receipt{}, e.refuse(p.messageType, RefusedInvalid, p.change.Err)
	case p.refused != nil:
		return Receipt{}, p.refused
	}
	return p.receipt, nil
}
