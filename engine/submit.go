package engine

import (
	"cmp"
	"context"
	"fmt"
	"time"
)

// Submit accepts a message or refuses it. It never waits for room; with a Store it waits
// until that has the message. Errors: ErrInvalid, ErrTooLarge, ErrUnknownType,
// ErrQueueFull (a *QueueFullError), ErrDraining, ErrKeyReused, and ctx's own if it has
// ended; with a Store also ErrStorageFull and ErrStoreFailed. After ErrStoreFailed, and
// if ctx ends while Submit waits, the message may have been accepted: submit it again
// with its idempotency key.
//
// A message of an unknown type whose submission has a response notification is
// also answered there, with "no handler for message type".
func (e *Engine) Submit(ctx context.Context, s Submission) (Receipt, error) {
	if e.durable != nil {
		p := e.beginSubmit(ctx, s)
		return e.endSubmit(ctx, p)
	}
	if err := ctx.Err(); err != nil {
		return Receipt{}, err
	}
	t := e.lookup(s.MessageType)
	if err := e.check(ctx, &s, t); err != nil {
		return Receipt{}, err
	}
	if e.cfg.Observer == nil {
		return e.accept(&s, t)
	}
	observed := s // for the observer to change, and to escape
	done := e.cfg.Observer.Submit(ctx, &observed)
	receipt, err := e.accept(&observed, t)
	done(receipt, err)
	return receipt, err
}

// accept is Submit of a checked submission, without a store.
func (e *Engine) accept(s *Submission, t *messageType) (Receipt, error) {
	now := time.Now()
	r := newRecord(s, t, now)
	r.message.ID = newID(now)
	// Read before the message can run: its notification has a higher number.
	receipt := e.receipt(r.message.ID, r.state, t)
	var key *keyEntry
	if s.IdempotencyKey != "" {
		key = newKeyEntry(s, receipt, now, e.cfg.IdempotencyTTL)
	}

	e.mu.Lock()
	defer e.unlock()
	if key != nil {
		first, err := e.keys.find(key, now)
		if err != nil {
			return Receipt{}, e.refuse(t, RefusedInvalid, err)
		}
		if first != nil {
			return first.replay(), nil
		}
	}
	if err := e.admit(t, s, r.size, now); err != nil {
		return Receipt{}, err
	}
	if key != nil {
		if err := e.rememberKey(key, r, now); err != nil {
			return Receipt{}, err
		}
	}
	e.table.add(r)
	e.unfinished++
	t.submitted++
	e.enter(r)
	if r.plan != nil {
		e.watch(r)
	}
	if r.state == StateQueued {
		t.queue.push(r)
		e.updateTurn(t)
	}
	return receipt, nil
}

// receipt is the answer to a message that is accepted now.
func (e *Engine) receipt(id ID, state State, t *messageType) Receipt {
	return Receipt{ID: id, State: state, MessageType: t.name, Cursor: e.log.cursor(), Durability: e.durability()}
}

// durability is what an accepted message survives.
func (e *Engine) durability() Durability {
	if e.durable == nil {
		return DurabilityMemory
	}
	return e.durable.store.Durability()
}

// check refuses what no free slot would help. t is nil for an unknown type.
func (e *Engine) check(ctx context.Context, s *Submission, t *messageType) error {
	if s.MessageType == "" || len(s.MessageType) > maxTypeBytes {
		return e.refuse(nil, RefusedInvalid, validateType(s.MessageType))
	}
	if err := s.validate(e.cfg.IdempotencyTTL); err != nil {
		return e.refuse(t, RefusedInvalid, err)
	}
	if int64(len(s.MessageData)) > e.cfg.MaxMessageBytes {
		return e.refuse(t, RefusedTooLarge, fmt.Errorf("%w: %d bytes of message data, at most %d are allowed",
			ErrTooLarge, len(s.MessageData), e.cfg.MaxMessageBytes))
	}
	if t == nil || !t.registered.Load() && s.IdempotencyKey == "" { // what has a key may be a replay
		return e.refuseUnknown(ctx, s)
	}
	s.unfit = e.checkData(s, t)
	if s.unfit != nil && s.IdempotencyKey == "" {
		return e.refuse(t, RefusedInvalid, s.unfit)
	}
	return nil
}

// refuseUnknown answers a message nobody can handle, where it asked for an
// answer too.
func (e *Engine) refuseUnknown(ctx context.Context, s *Submission) error {
	if err := validateText("message_type", s.MessageType); err != nil {
		return e.refuse(nil, RefusedInvalid, err)
	}
	e.mu.Lock()
	draining := e.draining
	var stored *commit
	if s.ResponseNotification != "" && !draining {
		stored = e.publishRefusal(&Notification{
			Time:                 time.Now(),
			MessageType:          s.MessageType,
			ResponseNotification: s.ResponseNotification,
			State:                StateFailed,
			Error:                &Error{Code: CodeUnknownType, Message: unknownType(s.MessageType)},
			Origin:               s.Origin,
		})
	}
	e.unlock()
	switch {
	case draining:
		return e.refuse(nil, RefusedDraining, ErrDraining)
	case stored != nil:
		_ = stored.wait(ctx) // it was refused, whatever the store says
	}
	return e.refuse(nil, RefusedUnknownType, &unknownTypeError{s.MessageType})
}

// publishRefusal publishes what concerns no message; with a store, the commit is
// returned that does. The caller holds mu.
func (e *Engine) publishRefusal(n *Notification) *commit {
	d := e.durable
	switch {
	case d == nil:
		e.log.append(n)
		return nil
	case d.unusable() != nil:
		return nil
	}
	n.Time = d.clock.stored(n.Time)
	c := d.openCommit()
	c.group.Refusals = append(c.group.Refusals, n)
	return c
}

// admit refuses what does not fit now; of what was accepted before, nobody asks
// whether its time has passed since, or whether its data still fits. The caller holds mu.
func (e *Engine) admit(t *messageType, s *Submission, size int64, now time.Time) error {
	if err := cmp.Or(s.validateTimes(now), s.unfit); err != nil {
		return e.refuse(t, RefusedInvalid, err)
	}
	if err := e.admitSize(t, size, now); err != nil {
		return err
	}
	if err := s.tightens(&t.policy); err != nil {
		return e.refuse(t, RefusedInvalid, err)
	}
	return nil
}

// admitSize refuses what there is no room for. The caller holds mu.
func (e *Engine) admitSize(t *messageType, size int64, now time.Time) error {
	switch {
	case e.draining:
		return e.refuse(t, RefusedDraining, ErrDraining)
	case !t.registered.Load():
		return e.refuse(nil, RefusedUnknownType, &unknownTypeError{t.name})
	case t.policy.QueueLimit > 0 && t.waiting() >= t.policy.QueueLimit:
		return e.refuseFull(t, ScopeType, int64(t.policy.QueueLimit), "messages", now)
	case t.policy.QueueBytes > 0 && t.waitingBytes()+size > t.policy.QueueBytes:
		return e.refuseFull(t, ScopeType, t.policy.QueueBytes, "bytes", now)
	case e.allWaiting() >= e.cfg.QueueLimit:
		return e.refuseFull(t, ScopeServer, int64(e.cfg.QueueLimit), "messages", now)
	case e.allWaitingBytes()+size > e.cfg.QueueBytes:
		return e.refuseFull(t, ScopeServer, e.cfg.QueueBytes, "bytes", now)
	}
	return nil
}

func (e *Engine) refuseFull(t *messageType, scope Scope, limit int64, unit string, now time.Time) error {
	reason, wait := RefusedServerFull, e.rate.timeToDrain(e.allWaiting()/4+1, now)
	if scope == ScopeType {
		reason, wait = RefusedTypeFull, t.rate.timeToDrain(t.waiting()/4+1, now)
	}
	return e.refuse(t, reason, &QueueFullError{Scope: scope, MessageType: t.name, Limit: limit, Unit: unit, RetryAfter: wait})
}

// refuse counts a refusal and returns its error. t is nil where the type is not
// registered.
func (e *Engine) refuse(t *messageType, reason RefusalReason, err error) error {
	e.refused.add(reason)
	if t != nil {
		t.refused.add(reason)
	}
	return err
}

func unknownType(messageType string) string {
	return `no handler for message type "` + messageType + `"`
}

// unknownTypeError is ErrUnknownType with the type's name in its words.
type unknownTypeError struct{ messageType string }

func (e *unknownTypeError) Error() string        { return unknownType(e.messageType) }
func (e *unknownTypeError) Is(target error) bool { return target == ErrUnknownType }
