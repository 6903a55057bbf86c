package storetest_test

import (
	"context"
	"maps"
	"testing"
	"time"

	"github.com/activemessage/activemessage/engine"
	"github.com/activemessage/activemessage/engine/memstore"
	"github.com/activemessage/activemessage/engine/storetest"
)

// TestReopened shows that the tests for stores that persist pass; those of memstore run
// the others.
func TestReopened(t *testing.T) {
	t.Parallel()
	storetest.RunReopen(t, func(*testing.T) (engine.Store, func() engine.Store) {
		store := memstore.New()
		return store, func() engine.Store { return store }
	})
	storetest.RunAlone(t, func(*testing.T) (engine.Store, func() engine.Store) {
		store := &soleStore{memstore.New(), make(map[engine.Owner]bool)}
		return store, func() engine.Store { store.reopen(t); return store }
	})
}

// soleStore ends the claims of owners without a lease when it is opened again.
type soleStore struct {
	engine.Store
	leaseless map[engine.Owner]bool
}

func (s *soleStore) Commit(ctx context.Context, g *engine.Group) error {
	s.leaseless[g.Owner] = true
	return s.Store.Commit(ctx, g)
}

func (s *soleStore) reopen(t *testing.T) {
	for owner := range maps.Clone(s.leaseless) {
		if err := s.Store.Commit(t.Context(), &engine.Group{Owner: owner, Lease: time.Unix(1, 0)}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestDiff(t *testing.T) {
	t.Parallel()
	now := time.Now()
	same := [][2]any{
		{[]byte(nil), []byte{}},
		{map[string]string(nil), map[string]string{}},
		{now, now.UTC().Truncate(time.Microsecond)},
		{&engine.Error{Code: "a", Cause: context.Canceled}, &engine.Error{Code: "a"}},
	}
	for _, pair := range same {
		if diff := storetest.Diff(pair[0], pair[1]); diff != "" {
			t.Errorf("%v and %v differ:\n%s", pair[0], pair[1], diff)
		}
	}
	different := [][2]any{
		{[]byte{0}, []byte{}},
		{make([]byte, 100), make([]byte, 101)},
		{map[string]string{"a": ""}, map[string]string{}},
		{now, now.Add(time.Microsecond)},
		{&engine.Error{}, (*engine.Error)(nil)},
		{[]engine.ID{{1}, {2}}, []engine.ID{{2}, {1}}},
		{[]engine.Counts{{}}, []engine.Counts{{}, {}}},
		{engine.StoredMessage{State: engine.StateFailed}, engine.StoredMessage{State: engine.StateQueued}},
		{engine.Message{Attempt: 1}, engine.Message{}},
	}
	for _, pair := range different {
		if storetest.Diff(pair[0], pair[1]) == "" || storetest.Diff(pair[1], pair[0]) == "" {
			t.Errorf("%v and %v do not differ", pair[0], pair[1])
		}
	}
}
