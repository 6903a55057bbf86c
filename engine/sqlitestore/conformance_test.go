package sqlitestore_test

import (
	"testing"

	"github.com/activemessage/activemessage/engine"
	"github.com/activemessage/activemessage/engine/sqlitestore"
	"github.com/activemessage/activemessage/engine/storetest"
)

func TestConformance(t *testing.T) {
	storetest.Run(t, func(t *testing.T) engine.Store { return open(t, sqlitestore.Config{}) })
	opened := func(inherit bool) func(t *testing.T) (engine.Store, func() engine.Store) {
		return func(t *testing.T) (engine.Store, func() engine.Store) {
			dir := t.TempDir()
			s := open(t, sqlitestore.Config{Dir: dir})
			return s, func() engine.Store {
				before := s
				s = reopen(t, s, dir)
				if inherit {
					s.Inherit(before)
				}
				return s
			}
		}
	}
	storetest.RunReopen(t, opened(true))
	storetest.RunAlone(t, opened(false))
}
