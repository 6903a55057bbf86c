package memstore

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/activemessage/activemessage/engine"
)

// Load returns where the store stands.
func (s *Store) Load(ctx context.Context) (engine.Snapshot, error) {
	if err := ctx.Err(); err != nil {
		return engine.Snapshot{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	snapshot := engine.Snapshot{
		Log:          s.logID,
		First:        s.firstNumber(),
		Last:         s.last,
		LastSequence: s.lastSequence,
		Counts:       make(map[string]engine.Counts),
		NextDue:      s.nextDue(),
	}
	snapshot.Paused = slices.Sorted(maps.Keys(s.paused))
	for messageType, counts := range s.counts {
		if counts.Scheduled+counts.Queued+counts.Retrying+counts.Running > 0 {
			snapshot.Counts[messageType] = *counts
		}
	}
	return snapshot, nil
}

// Get returns a message without its data. Errors: engine.ErrNotFound.
func (s *Store) Get(ctx context.Context, id engine.ID) (engine.StoredMessage, error) {
	if err := ctx.Err(); err != nil {
		return engine.StoredMessage{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.messages[id]
	if m == nil {
		return engine.StoredMessage{}, fmt.Errorf("message %s: %w", id, engine.ErrNotFound)
	}
	return m.withoutData(), nil
}

// List returns the messages that o selects, newest accepted first.
func (s *Store) List(ctx context.Context, o engine.ListOptions) (page []engine.StoredMessage, next uint64, err error) {
	if err := ctx.Err(); err != nil {
		return nil, 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	i, _ := s.find(o.Before)
	for i--; i >= 0; i-- {
		m := s.accepted[i]
		if !selects(&o, m) {
			continue
		}
		if len(page) == o.Limit {
			return page, page[len(page)-1].ID.Sequence(), nil
		}
		listed := m.withoutData()
		listed.Result.Data = nil
		page = append(page, listed)
	}
	return page, 0, nil
}

func selects(o *engine.ListOptions, m *message) bool {
	return (o.State == "" || m.State == o.State) &&
		(o.MessageType == "" || m.MessageType == o.MessageType) &&
		(o.Key == "" || m.Key == o.Key) &&
		(o.AcceptedAfter.IsZero() || m.AcceptedAt.After(o.AcceptedAfter)) &&
		(o.AcceptedBefore.IsZero() || m.AcceptedAt.Before(o.AcceptedBefore))
}
