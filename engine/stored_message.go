package engine

import (
	"slices"
)

// storedMessage is a new message as the store gets it.
func (e *Engine) storedMessage(r *record) StoredMessage {
	clock := e.durable.clock
	m := StoredMessage{
		Message:      r.message,
		State:        r.state,
		MessageBytes: r.messageBytes,
		Size:         r.size,
	}
	m.Attempt = 0
	m.AcceptedAt = clock.stored(r.message.AcceptedAt)
	if p := r.plan; p != nil {
		m.Timeout, m.MaxAttempts = p.timeout, p.maxAttempts
		m.DueAt, m.ExpiresAt = clock.stored(p.dueAt), clock.stored(p.expiresAt)
	}
	if r.state == StateQueued {
		m.QueuedAt = m.AcceptedAt
	}
	return m
}

// loadRecord is a claimed message as it waits for a worker.
func (e *Engine) loadRecord(m *StoredMessage, t *messageType) *record {
	clock := e.durable.clock
	r := &record{
		message:      m.Message,
		messageBytes: m.MessageBytes,
		messageType:  t,
		size:         m.Size,
		state:        StateQueued,
		attempts:     m.Attempt - 1,
	}
	r.message.AcceptedAt = clock.loaded(m.AcceptedAt)
	queuedAt := clock.loaded(m.QueuedAt)
	if r.attempts == 0 && m.Checkpoint == nil && m.ExpiresAt.IsZero() && m.Timeout == 0 && m.MaxAttempts == 0 && queuedAt.Equal(r.message.AcceptedAt) {
		return r
	}
	p := r.needPlan()
	p.readyAt, p.expiresAt = queuedAt, clock.loaded(m.ExpiresAt)
	p.timeout, p.maxAttempts = m.Timeout, m.MaxAttempts
	p.uncounted, p.lost, p.checkpoint = m.Uncounted, m.Lost, m.Checkpoint
	p.past = m.Attempts
	if n := len(p.past); n > 0 { // the claim is not a start yet
		r.startedIn = clock.loaded(p.past[n-1].StartedAt).Sub(r.message.AcceptedAt)
	}
	return r
}

// statusOf is the status of a message that is not in memory. The caller holds mu.
func (e *Engine) statusOf(m *StoredMessage) Status {
	s := m.status()
	s.State = m.State
	s.MessageBytes = m.MessageBytes
	s.Attempt, s.Lost = m.Attempt, m.Lost
	s.CancelRequested = m.CancelRequested
	s.StartedAt, s.FinishedAt = m.StartedAt, m.FinishedAt
	s.DueAt, s.ExpiresAt = m.DueAt, m.ExpiresAt
	s.Error = m.Error
	s.Result, s.ResultBytes = m.Result, m.ResultBytes
	s.Attempts = slices.Clone(m.Attempts)
	var policy Policy // the default one, if the type is gone
	if t := e.lookup(m.MessageType); t != nil {
		policy = t.policy
	}
	policy = policy.withDefaults()
	s.MaxAttempts, s.Timeout = policy.tightened(m.MaxAttempts, m.Timeout)
	if n := len(s.Attempts); m.Attempt > 0 && (n == 0 || s.Attempts[n-1].Number < m.Attempt) {
		s.Attempts = append(s.Attempts, Attempt{
			Number:     m.Attempt,
			State:      m.State,
			StartedAt:  m.StartedAt,
			FinishedAt: m.FinishedAt,
			Error:      m.Error,
		})
	}
	return s
}
