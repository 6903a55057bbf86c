package activemessage_test

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/activemessage/activemessage/engine"
)

// failingStore is a store whose disk is full, or breaks.
type failingStore struct {
	engine.Store
	full, failed atomic.Bool
}

func (s *failingStore) fault() error {
	switch {
	case s.failed.Load():
		return errors.New("input/output error")
	case s.full.Load():
		return engine.ErrStorageFull
	}
	return nil
}

func (s *failingStore) Usage() (engine.Usage, error) { return engine.Usage{}, s.fault() }

func (s *failingStore) Commit(ctx context.Context, g *engine.Group) error {
	if err := s.fault(); err != nil {
		return err
	}
	return s.Store.Commit(ctx, g)
}

func (s *failingStore) Get(ctx context.Context, id engine.ID) (engine.StoredMessage, error) {
	if s.failed.Load() {
		return engine.StoredMessage{}, s.fault()
	}
	return s.Store.Get(ctx, id)
}

func (s *failingStore) List(ctx context.Context, o engine.ListOptions) ([]engine.StoredMessage, uint64, error) {
	if s.failed.Load() {
		return nil, 0, s.fault()
	}
	return s.Store.List(ctx, o)
}
