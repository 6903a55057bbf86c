package sqlitestore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/activemessage/activemessage/engine"
	"github.com/ncruces/go-sqlite3"
)

// Store is an engine.Store in a directory. Its methods may be called from any
// goroutine until Close is.
type Store struct {
	cfg       Config
	directory *directory
	readers   *readers
	room      room

	// turn is who may use the fields below: a token that whoever writes takes out and puts
	// back. It is a channel so that waiting for it ends with a context.
	turn   chan struct{}
	writer *connection
	sql    *statements
	wal    int // pages in the write-ahead log after the last commit
	// checkpointAt is how long the log is when it is copied next.
	checkpointAt int
	head         head
	types        types
	ledger       ledger
	leases       map[engine.Owner]time.Time // of the owners of this process; zero means none was set
	failed       error                      // what ended writing for good

	closing sync.Once
}

var _ engine.Store = (*Store)(nil)

// Open opens the store in a directory, or makes one. It fails, in words for whoever
// starts a server, if another process has the directory, if it cannot be written to, or
// if what is in it is damaged or newer than this package.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	d, err := openDirectory(cfg.Dir)
	if err != nil {
		return nil, err
	}
	s := &Store{
		cfg: cfg, directory: d, turn: make(chan struct{}, 1), leases: make(map[engine.Owner]time.Time),
		room: room{path: d.path, minFree: cfg.MinFree},
	}
	if err := s.open(ctx); err != nil {
		return nil, errors.Join(inWords(err, d), s.Close())
	}
	s.turn <- struct{}{}
	cfg.Logger.Info("store opened", "dir", cfg.Dir, "last_notification", s.head.last, "waiting", s.waiting())
	return s, nil
}

func (s *Store) open(ctx context.Context) (err error) {
	path := s.directory.database()
	if s.cfg.VFS, err = withRoom(s.cfg.VFS, !s.cfg.Unsafe); err != nil {
		return err
	}
	written := writtenFrames(path + "-wal")
	if s.writer, err = connectWriter(ctx, path, &s.cfg); err != nil {
		return err
	}
	if err = migrate(s.writer, s.cfg.Dir, migrations()); err != nil {
		return err
	}
	// The schema, too, is in the database from now on, not only in the log.
	if err = recoverWAL(s.writer, written, s.cfg.Logger, path); err != nil {
		return err
	}
	if s.head, err = readHead(s.writer); err != nil {
		return err
	}
	if s.types, err = readTypes(s.writer); err != nil {
		return err
	}
	if s.ledger, err = readLedger(s.writer); err != nil {
		return err
	}
	if s.sql, err = prepareStatements(s.writer); err != nil {
		return err
	}
	s.writer.WALHook(func(_ *sqlite3.Conn, _ string, pages int) error {
		s.wal = pages
		return nil
	})
	s.readers, err = openReaders(ctx, path, &s.cfg)
	return err
}

// waiting is how many messages have not ended.
func (s *Store) waiting() int {
	n := 0
	for _, t := range s.types.byName {
		n += t.counts.Scheduled + t.counts.Queued + t.counts.Retrying + t.counts.Running
	}
	return n
}

// inWords says what an error that SQLite has with a file means for whoever starts
// a server.
func inWords(err error, d *directory) error {
	switch {
	case errors.Is(err, sqlite3.NOTADB):
		return fmt.Errorf("%s is not a database, or is damaged: restore a backup, or move it away: %w", d.database(), err)
	case errors.Is(err, sqlite3.CORRUPT):
		return fmt.Errorf("%s is damaged: restore a backup: %w", d.database(), err)
	case errors.Is(err, sqlite3.CANTOPEN), errors.Is(err, sqlite3.READONLY), errors.Is(err, sqlite3.PERM):
		return fmt.Errorf("%s cannot be written to: let the server's user write there, or choose another --data: %w", d.database(), err)
	case errors.Is(err, sqlite3.FULL):
		return fmt.Errorf("the disk of %s is full: make room: %w", d.database(), err)
	case errors.Is(err, sqlite3.BUSY):
		return fmt.Errorf("%s is locked by another program: end that: %w", d.database(), err)
	}
	return fmt.Errorf("%s: %w", d.database(), err)
}

// Close gives the files and the directory free. It waits for what is under way, and is
// called after the engines that use the store have drained.
func (s *Store) Close() error {
	var err error
	s.closing.Do(func() {
		if s.readers != nil {
			s.readers.close()
			<-s.turn
		}
		if s.writer != nil {
			s.writer.close()
		}
		s.failed = errClosed
		err = s.directory.close()
		if s.readers != nil {
			s.turn <- struct{}{}
		}
	})
	return err
}

var errClosed = errors.New("the store is closed")

// take waits until it is the caller's turn to write; the caller gives it back with
// s.turn <- struct{}{}.
func (s *Store) take(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	select {
	case <-s.turn:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if s.failed != nil {
		s.turn <- struct{}{}
		return s.failed
	}
	return nil
}

// Durability returns engine.DurabilityFsync.
func (s *Store) Durability() engine.Durability {
	if s.cfg.Unsafe {
		return engine.DurabilityOS
	}
	return engine.DurabilityFsync
}

// Load returns where the store stands.
func (s *Store) Load(ctx context.Context) (engine.Snapshot, error) {
	if err := s.take(ctx); err != nil {
		return engine.Snapshot{}, err
	}
	defer func() { s.turn <- struct{}{} }()
	snapshot := engine.Snapshot{
		Log: s.head.log, First: s.head.first, Last: s.head.last, LastSequence: s.head.sequence,
		Counts: make(map[string]engine.Counts), NextDue: timeOf(s.head.nextDue),
	}
	var err error
	if snapshot.Paused, err = s.paused(); err != nil {
		return engine.Snapshot{}, s.fail(err)
	}
	for name, t := range s.types.byName {
		if c := t.counts; c.Scheduled+c.Queued+c.Retrying+c.Running > 0 {
			snapshot.Counts[name] = c
		}
	}
	return snapshot, nil
}
