package sqlitestore

import (
	"errors"
	"fmt"

	"github.com/activemessage/activemessage/engine"
	"github.com/ncruces/go-sqlite3"
)

// fail says what became of a transaction that was undone. If there was no room nothing
// has changed, and the store goes on. After anything else nobody knows what is on the
// disk: a sync that failed may have lost what it was asked to keep, and succeed when asked
// again. So the store writes no more until it is opened anew.
func (s *Store) fail(err error) error {
	if lacksRoom(err) {
		s.room.failed()
		return fmt.Errorf("%w: %s: %w", engine.ErrStorageFull, s.cfg.Dir, err)
	}
	s.failed = fmt.Errorf("the store in %s: %w", s.cfg.Dir, err)
	s.cfg.Logger.Error("the store failed and writes no more", "dir", s.cfg.Dir, "error", err)
	return s.failed
}

// lacksRoom reports whether a write failed for want of room; see roomVFS. One that the
// system took and could not keep at the sync is not known to be undone.
func lacksRoom(err error) bool { return errors.Is(err, sqlite3.FULL) }
