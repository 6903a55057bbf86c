package sqlitestore

import (
	"context"
	"errors"

	"github.com/activemessage/activemessage/engine"
	"github.com/ncruces/go-sqlite3"
)

// Commit makes the changes of g in one transaction; see engine.Store. Once it has begun
// it goes on to its end, whatever becomes of ctx.
func (s *Store) Commit(ctx context.Context, g *engine.Group) error {
	if err := s.take(ctx); err != nil {
		return err
	}
	defer func() { s.turn <- struct{}{} }()
	empty(g)
	if _, known := s.leases[g.Owner]; !known || !g.Lease.IsZero() {
		s.leases[g.Owner] = g.Lease
	}
	var touched []*messageType
	err := s.transact(nanos(g.Now), func(t *transaction) error {
		err := (&commit{t, g}).run()
		for m := range t.before {
			touched = append(touched, m)
		}
		return err
	})
	if err != nil {
		empty(g)
		return err
	}
	g.Counts = make(map[string]engine.Counts, len(touched))
	for _, m := range touched {
		g.Counts[m.name] = m.counts
	}
	g.NextDue = timeOf(s.head.nextDue)
	return nil
}

// empty takes out of g what a commit fills in: it may be committed again.
func empty(g *engine.Group) {
	g.Published, g.Ended, g.Counts, g.Reclaimed = nil, nil, nil, 0
	for _, c := range g.Saves {
		c.Err = nil
	}
	for _, c := range g.Settles {
		c.Err = nil
	}
	for _, c := range g.Cancels {
		c.Message, c.Err = engine.StoredMessage{}, nil
	}
	for _, c := range g.Retries {
		c.Message, c.Err = engine.StoredMessage{}, nil
	}
	for _, c := range g.Submits {
		c.Claimed, c.Replay, c.Err = false, nil, nil
	}
	for _, c := range g.Resumes {
		c.Message, c.Err = engine.StoredMessage{}, nil
	}
	for _, c := range g.Claims {
		c.Messages = nil
	}
}

// commit is a group on its way into the database. Its steps return errors of the database;
// why a change could not be made is in the change.
type commit struct {
	*transaction
	g *engine.Group
}

func (c *commit) run() error {
	for _, step := range []func() error{
		func() error { return each(c.g.Pauses, c.pause) },
		func() error { return each(c.g.Saves, c.save) },
		func() error { return each(c.g.Settles, c.settle) },
		func() error { return each(c.g.Releases, c.release) },
		func() error { return each(c.g.Refusals, c.publish) },
		func() error { return each(c.g.Cancels, c.cancel) },
		func() error { return each(c.g.Retries, c.retry) },
		func() error { return each(c.g.Submits, c.submit) },
		c.reclaim,
		c.due,
		func() error { return each(c.g.Resumes, c.resume) },
		func() error { return each(c.g.Claims, c.claim) },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func each[T any](all []T, do func(T) error) error {
	for _, one := range all {
		if err := do(one); err != nil {
			return err
		}
	}
	return nil
}

// checkpoint copies the write-ahead log into the database when it is long enough. A
// reader can keep it from getting through, so it is not tried with every commit. That it
// fails is no commit's failure: the log has all, and it is tried again.
func (s *Store) checkpoint() {
	switch {
	case s.wal < s.cfg.Checkpoint:
		s.checkpointAt = s.cfg.Checkpoint
	case s.wal >= s.checkpointAt:
		s.checkpointAt = s.wal + s.cfg.Checkpoint/4 + 1
		if err := s.copyLog(); err != nil {
			s.cfg.Logger.Warn("the write-ahead log cannot be copied into the database; it grows", "pages", s.wal, "error", err)
		}
	}
}

const (
	// A log that is so many times longer than it should be, because somebody always
	// reads, is waited for.
	patience = 4
	// restartWait is for how long, in milliseconds.
	restartWait = "100"
)

// copyLog copies the write-ahead log into the database as far as readers allow.
func (s *Store) copyLog() error {
	if s.wal < patience*s.cfg.Checkpoint {
		_, _, err := s.writer.WALCheckpoint("main", sqlite3.CHECKPOINT_PASSIVE)
		return err
	}
	if err := s.writer.Exec("PRAGMA busy_timeout = " + restartWait); err != nil {
		return err
	}
	_, _, err := s.writer.WALCheckpoint("main", sqlite3.CHECKPOINT_RESTART)
	if errors.Is(err, sqlite3.BUSY) {
		err = nil // a long reader, such as a backup; the next time comes
	}
	return errors.Join(err, s.writer.Exec("PRAGMA busy_timeout = "+busyTimeout))
}
