package memstore

import (
	"context"
	"slices"
	"time"

	"github.com/activemessage/activemessage/engine"
)

// history is what ended in one state, the oldest first.
type history struct {
	*heap
	bytes int64
}

// Retain forgets messages first, then notifications.
func (s *Store) Retain(ctx context.Context, r engine.Retention, now time.Time, limit int) (engine.Retained, error) {
	if err := ctx.Err(); err != nil {
		return engine.Retained{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var retained engine.Retained
	forgotten := make(map[*message]bool)
	for len(forgotten) < limit {
		m := s.tooMuch(r, now)
		if m == nil {
			break
		}
		s.forget(m)
		forgotten[m] = true
	}
	s.accepted = slices.DeleteFunc(s.accepted, func(m *message) bool { return forgotten[m] })
	retained.Messages = len(forgotten)
	for retained.Messages+retained.Notifications < limit && s.logTooMuch(r.Log, now) {
		s.logBytes -= notificationBytes(&s.log[0])
		s.log = s.log[1:]
		retained.Notifications++
	}
	retained.First = s.firstNumber()
	retained.More = s.tooMuch(r, now) != nil || s.logTooMuch(r.Log, now)
	retained.Next = s.nextTooOld(r)
	return retained, nil
}

// keeps has the bounds by state.
func keeps(r engine.Retention) map[engine.State]engine.Keep {
	return map[engine.State]engine.Keep{
		engine.StateSucceeded: r.Succeeded,
		engine.StateFailed:    r.Failed,
		engine.StateCancelled: r.Cancelled,
		engine.StateExpired:   r.Expired,
	}
}

// tooMuch returns the message that ended first of those beyond their bounds, or nil.
func (s *Store) tooMuch(r engine.Retention, now time.Time) *message {
	var oldest *message
	for state, keep := range keeps(r) {
		h := s.ended[state]
		m := h.first()
		if m != nil && beyond(keep, m.FinishedAt, h.bytes, now) && (oldest == nil || endedFirst(m, oldest)) {
			oldest = m
		}
	}
	return oldest
}

func (s *Store) logTooMuch(keep engine.Keep, now time.Time) bool {
	return len(s.log) > 0 && beyond(keep, s.log[0].Time, s.logBytes, now)
}

// beyond reports whether the oldest of a kind, which ended at a time, is to go.
func beyond(keep engine.Keep, ended time.Time, bytes int64, now time.Time) bool {
	return keep.Age > 0 && !ended.Add(keep.Age).After(now) || keep.Bytes > 0 && bytes > keep.Bytes
}

// forget leaves it in accepted. What a key holds that outlives its message stays.
func (s *Store) forget(m *message) {
	s.unindex(m)
	delete(s.messages, m.ID)
	if first := s.once[m.idempotencyKey]; first != nil && first.ID == m.ID {
		delete(s.once, m.idempotencyKey)
	}
}

// nextTooOld is when something is next, zero if nothing.
func (s *Store) nextTooOld(r engine.Retention) time.Time {
	var next time.Time
	consider := func(keep engine.Keep, ended time.Time) {
		if at := ended.Add(keep.Age); keep.Age > 0 && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	for state, keep := range keeps(r) {
		if m := s.ended[state].first(); m != nil {
			consider(keep, m.FinishedAt)
		}
	}
	if len(s.log) > 0 {
		consider(r.Log, s.log[0].Time)
	}
	return next
}
