package memstore

import (
	"fmt"
	"time"

	"github.com/activemessage/activemessage/engine"
)

// resume makes the last attempt, which was lost, the owner's.
func (c *commit) resume(change *engine.ResumeChange) error {
	change.Message = engine.StoredMessage{}
	m := c.messages[change.ID]
	switch {
	case m == nil:
		return fmt.Errorf("resume %s: %w", change.ID, engine.ErrNotFound)
	case m.Attempt != change.Attempt || !m.cutShort() || m.CancelRequested || m.expired(c.Now):
		return fmt.Errorf("resume %s: %w", change.ID, engine.ErrStale)
	}
	c.change(m, func() {
		last := len(m.Attempts) - 1
		m.State, m.owner, m.StartedAt, m.DueAt = engine.StateRunning, c.Owner, m.Attempts[last].StartedAt, time.Time{}
		if m.Attempts[last].Error.Code == engine.CodeLost {
			m.Lost--
		}
		m.Attempts = m.Attempts[:last]
		m.Uncounted = max(m.Uncounted-1, 0)
	})
	change.Message = m.stored()
	return nil
}

// cutShort reports whether m waits, with its key if it has one, since its last attempt
// was lost, or left outside. Of one that was lost and retried by hand since nothing is in
// Lost.
func (m *message) cutShort() bool {
	waits := m.State == engine.StateQueued && !m.behind || m.State == engine.StateRetrying
	if !waits || len(m.Attempts) == 0 {
		return false
	}
	last := &m.Attempts[len(m.Attempts)-1]
	if last.Number != m.Attempt || last.Error == nil {
		return false
	}
	return last.Error.Code == engine.CodeLost && m.Lost > 0 || last.Error.Code == engine.CodeLeftOutside
}
