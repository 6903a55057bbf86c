package sqlitestore

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/activemessage/activemessage/engine"
)

const (
	// roomFresh is for how long what the disk said counts: Usage is asked for every
	// submission.
	roomFresh = 100 * time.Millisecond
	// roomRefused is for how long new messages are refused after a commit found no room.
	// Then one is let through to try again: with a quota, only a write can tell.
	roomRefused = time.Second
)

// room knows how much room the store takes and has left.
type room struct {
	path    string
	minFree int64

	mu sync.Mutex
	// All below is guarded by mu.
	usage engine.Usage
	asked time.Time
	full  time.Time // when a commit found no room last; zero after one that did
}

// Usage returns how much room the store takes and has left. The error is
// engine.ErrStorageFull while less than Config.MinFree is left, and for a moment after
// a commit that found no room.
func (s *Store) Usage() (engine.Usage, error) {
	r := &s.room
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if now.Sub(r.asked) >= roomFresh {
		r.usage, r.asked = engine.Usage{Used: used(r.path), Free: freeBytes(r.path)}, now
	}
	switch {
	case !r.full.IsZero() && now.Sub(r.full) < roomRefused:
		return r.usage, fmt.Errorf("%w: the disk had no room for the last write", engine.ErrStorageFull)
	case r.minFree > 0 && r.usage.Free > 0 && r.usage.Free < r.minFree:
		return r.usage, fmt.Errorf("%w: the disk has %d MiB left, and %d are to stay free", engine.ErrStorageFull,
			r.usage.Free>>20, r.minFree>>20)
	}
	return r.usage, nil
}

// used is what the store's files take, as far as they can be seen.
func used(dir string) (bytes int64) {
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if info, err := os.Stat(filepath.Join(dir, databaseName+suffix)); err == nil {
			bytes += info.Size()
		}
	}
	return bytes
}

func (r *room) failed() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.full, r.asked = time.Now(), time.Time{}
}

func (r *room) succeeded() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.full = time.Time{}
}
