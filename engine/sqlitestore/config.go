package sqlitestore

import (
	"cmp"
	"errors"
	"log/slog"
)

const (
	defaultMinFree = 64 << 20
	defaultReaders = 3
	// defaultCheckpoint is 16 MiB: seldom enough that pages are copied once for many
	// changes, and no more than a moment's work.
	defaultCheckpoint = 4000
)

// Config says where a store is, and how it behaves.
type Config struct {
	// Dir is the directory with the database. It is made if there is none. Required.
	Dir string
	// Logger is told what is worth knowing about the files. Defaults to none.
	Logger *slog.Logger
	// MinFree is how many bytes the disk must have left for new messages to be taken, so
	// that there is room for what must still be written. 0 means 64 MiB; negative
	// means that nobody looks.
	MinFree int64
	// Readers is how many may read at once; more wait. 0 means 3.
	Readers int
	// Checkpoint is how many pages of 4 KiB the write-ahead log gets before it is copied
	// into the database. 0 means 4,000.
	Checkpoint int

	// VFS names a file system registered with SQLite, for tests. Empty is the real one.
	VFS string
	// Unsafe does not wait for the disk: for tests that show what is lost then.
	Unsafe bool
}

func (c Config) withDefaults() Config {
	c.MinFree = cmp.Or(c.MinFree, defaultMinFree)
	c.Readers = cmp.Or(c.Readers, defaultReaders)
	c.Checkpoint = cmp.Or(c.Checkpoint, defaultCheckpoint)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

func (c *Config) validate() error {
	if c.Dir == "" {
		return errors.New("sqlitestore: Config.Dir is empty: name a directory for the data")
	}
	if c.Readers < 1 {
		return errors.New("sqlitestore: Config.Readers is negative")
	}
	return nil
}
