package engine

import (
	"context"
	"fmt"
	"time"
)

// Submit accepts a message or refuses it, without waiting. Errors: ErrInvalid,
// ErrTooLarge, ErrUnknownType, ErrQueueFull (a *QueueFullError), ErrDraining,
// ErrKeyReused, and ctx's own if it has ended.
//
// A message of an unknown type whose submission has a response notification is
// also answered there, with "no handler for message type".
func (e *Engine) Submit(ctx context.Context, s Submission) (Receipt, error) {
	if err := ctx.Err(); err != nil {
		return Receipt{}, err
	}
	t := e.lookup(s.MessageType)
	if err := e.check(&s, t); err != nil {
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

// Accepted is what became of one submission of SubmitAll.
type Accepted struct {
	// Receipt is the answer if Err is nil.
	Receipt Receipt
	// Err is one of Submit's.
	Err error
}

// SubmitAll is Submit of each submission, in order, and element i of the answer is
// that to submissions[i]: one that is refused does not fail the others. It costs a
// Store less than as many calls of Submit.
func (e *Engine) SubmitAll(ctx context.Context, submissions []Submission) []Accepted {
	all := make([]Accepted, len(submissions))
	for i := range submissions {
		all[i].Receipt, all[i].Err = e.Submit(ctx, submissions[i])
	}
	return all
}

// accept is Submit of a checked submission.
func (e *Engine) accept(s *Submission, t *messageType) (Receipt, error) {
	now := time.Now()
	r := newRecord(s, t, now)
	// Read before the message can run: its notification has a higher number.
	receipt := Receipt{ID: r.message.ID, State: r.state, MessageType: t.name, Cursor: e.log.cursor(), Durability: DurabilityMemory}
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
		e.ready.update(t)
	}
	return receipt, nil
}

// check refuses what no free slot would help. t is nil for an unknown type.
func (e *Engine) check(s *Submission, t *messageType) error {
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
	if t == nil {
		return e.refuseUnknown(s)
	}
	return nil
}

// refuseUnknown answers a message nobody can handle, where it asked for an
// answer too.
func (e *Engine) refuseUnknown(s *Submission) error {
	if err := validateText("message_type", s.MessageType); err != nil {
		return e.refuse(nil, RefusedInvalid, err)
	}
	e.mu.Lock()
	draining := e.draining
	if s.ResponseNotification != "" && !draining {
		e.log.append(&Notification{
			Time:                 time.Now(),
			MessageType:          s.MessageType,
			ResponseNotification: s.ResponseNotification,
			State:                StateFailed,
			Error:                &Error{Code: CodeUnknownType, Message: unknownType(s.MessageType)},
			Origin:               s.Origin,
		})
	}
	e.unlock()
	if draining {
		return e.refuse(nil, RefusedDraining, ErrDraining)
	}
	return e.refuse(nil, RefusedUnknownType, &unknownTypeError{s.MessageType})
}

// admit refuses what does not fit now; of what was accepted before, nobody asks
// whether its time has passed since. The caller holds mu.
func (e *Engine) admit(t *messageType, s *Submission, size int64, now time.Time) error {
	if err := s.validateTimes(now); err != nil {
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
	case !t.open:
		return e.refuse(nil, RefusedUnknownType, &unknownTypeError{t.name})
	case t.policy.QueueLimit > 0 && t.backlog.len() >= t.policy.QueueLimit:
		return e.refuseFull(t, ScopeType, int64(t.policy.QueueLimit), "messages", now)
	case t.policy.QueueBytes > 0 && t.backlog.bytes+size > t.policy.QueueBytes:
		return e.refuseFull(t, ScopeType, t.policy.QueueBytes, "bytes", now)
	case e.backlog.len() >= e.cfg.QueueLimit:
		return e.refuseFull(t, ScopeServer, int64(e.cfg.QueueLimit), "messages", now)
	case e.backlog.bytes+size > e.cfg.QueueBytes:
		return e.refuseFull(t, ScopeServer, e.cfg.QueueBytes, "bytes", now)
	}
	return nil
}

func (e *Engine) refuseFull(t *messageType, scope Scope, limit int64, unit string, now time.Time) error {
	reason, wait := RefusedServerFull, e.rate.timeToDrain(e.backlog.len()/4+1, now)
	if scope == ScopeType {
		reason, wait = RefusedTypeFull, t.rate.timeToDrain(t.backlog.len()/4+1, now)
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
