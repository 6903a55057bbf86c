package sqlitestore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/activemessage/activemessage/engine"
	"github.com/activemessage/activemessage/engine/sqlitestore"
)

// reopen closes a store and opens it again.
func reopen(t *testing.T, s *sqlitestore.Store, dir string) *sqlitestore.Store {
	t.Helper()
	shut(t, s)
	return open(t, sqlitestore.Config{Dir: dir})
}

func TestReopenHasAll(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, sqlitestore.Config{Dir: dir})
	commit(t, s, &engine.Group{Submits: []*engine.SubmitChange{submission(1, claimed), submission(2), submission(3, claimed)}})
	commit(t, s, &engine.Group{Settles: []*engine.SettleChange{success(1, "done")}})
	before, log := load(t, s), fmt.Sprint(logOf(t, s))
	s = reopen(t, s, dir)
	after := load(t, s)
	if fmt.Sprint(before) != fmt.Sprint(after) {
		t.Errorf("it was %+v, and is %+v", before, after)
	}
	if want := (engine.Counts{Queued: 1, Running: 1, Ready: 1, Bytes: 100}); after.Counts[greet] != want {
		t.Errorf("counts are %+v, expected %+v", after.Counts[greet], want)
	}
	if again := fmt.Sprint(logOf(t, s)); again != log {
		t.Errorf("the log was %s, and is %s", log, again)
	}
	if m := get(t, s, 2); m.State != engine.StateQueued || m.MessageBytes != 5 || m.MessageData != nil {
		t.Errorf("%+v", m)
	}
	if m := get(t, s, 1); m.State != engine.StateSucceeded || string(m.Result.Data) != "done" || m.MessageType != greet {
		t.Errorf("%+v", m)
	}
}

// TestClaimsEndWithTheProcess: nobody else can have had the directory, so whoever claimed
// before it was opened is gone, with a lease or without one.
func TestClaimsEndWithTheProcess(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, sqlitestore.Config{Dir: dir})
	keyed := func(c *engine.SubmitChange) { c.Message.Key = "k" }
	commit(t, s, &engine.Group{Submits: []*engine.SubmitChange{
		submission(1, claimed), submission(2, claimed, keyed), submission(3, keyed)}, Lease: now().Add(time.Hour)})
	hold := success(2, "")
	hold.HoldKey = true
	commit(t, s, &engine.Group{Settles: []*engine.SettleChange{hold}})
	if g := commit(t, s, &engine.Group{Owner: 8, Reclaim: 10}); g.Reclaimed != 0 {
		t.Fatalf("%d reclaimed from an owner that is there", g.Reclaimed)
	}
	s = reopen(t, s, dir)
	g := commit(t, s, &engine.Group{Owner: 8, Reclaim: 10})
	if want := (engine.Counts{Queued: 2, Ready: 2, Bytes: 200}); g.Reclaimed != 1 || g.Counts[greet] != want {
		t.Errorf("%d reclaimed, counts %+v", g.Reclaimed, g.Counts[greet])
	}
	m := get(t, s, 1)
	if m.State != engine.StateQueued || m.Lost != 1 || m.Uncounted != 1 || len(m.Attempts) != 1 || m.Attempts[0].Error.Code != engine.CodeLost {
		t.Errorf("%+v", m)
	}
}

func TestSecondOpen(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, sqlitestore.Config{Dir: dir})
	want := fmt.Sprintf("another server is using %s (pid %d): stop it, or choose another --data", dir, os.Getpid())
	if _, err := sqlitestore.Open(t.Context(), sqlitestore.Config{Dir: dir}); err == nil || err.Error() != want {
		t.Errorf("error is %v, expected %s", err, want)
	}
	reopen(t, s, dir)
}

func TestOpenInWords(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, want string
		make       func(dir string) error
	}{
		{"a file where the directory should be", "cannot be made", func(dir string) error {
			return errors.Join(os.Remove(dir), os.WriteFile(dir, nil, 0o600))
		}},
		{"no database", "is not a database, or is damaged: restore a backup", func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "activemessage.db"), bytes.Repeat([]byte("no database"), 1000), 0o600)
		}},
		{"a directory where the database should be", "cannot be written to", func(dir string) error {
			return os.Mkdir(filepath.Join(dir, "activemessage.db"), 0o700)
		}},
		{"a lock that is a directory", "cannot be", func(dir string) error {
			return os.Mkdir(filepath.Join(dir, "lock"), 0o700)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if err := c.make(dir); err != nil {
				t.Fatal(err)
			}
			s, err := sqlitestore.Open(t.Context(), sqlitestore.Config{Dir: dir})
			if err == nil {
				shut(t, s)
			}
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), dir) {
				t.Errorf("error is %v, expected %s", err, c.want)
			}
		})
	}
}

func TestReadOnlyDirectory(t *testing.T) {
	t.Parallel()
	if os.Getuid() == 0 {
		t.Skip("root may write anywhere")
	}
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	if _, err := sqlitestore.Open(t.Context(), sqlitestore.Config{Dir: dir}); err == nil || !strings.Contains(err.Error(), "cannot be written to") {
		t.Errorf("error is %v", err)
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	for _, cfg := range []sqlitestore.Config{{}, {Dir: t.TempDir(), Readers: -1}} {
		if _, err := sqlitestore.Open(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "Config.") {
			t.Errorf("%+v: error is %v", cfg, err)
		}
	}
}

// TestLargeResultIsShared: a large result is stored once, and read from both sides until
// the last of them is forgotten.
func TestLargeResultIsShared(t *testing.T) {
	t.Parallel()
	large := strings.Repeat("x", 100<<10)
	everything := engine.Keep{Bytes: 1}
	for _, c := range []struct {
		name  string
		first engine.Retention
		left  func(t *testing.T, s *sqlitestore.Store) string
	}{
		{"the message goes first", engine.Retention{Succeeded: everything}, func(t *testing.T, s *sqlitestore.Store) string {
			log, _ := logOf(t, s)
			return string(log[0].Result.Data)
		}},
		{"the log goes first", engine.Retention{Log: everything}, func(t *testing.T, s *sqlitestore.Store) string {
			return string(get(t, s, 1).Result.Data)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			s := open(t, sqlitestore.Config{Dir: dir})
			commit(t, s, &engine.Group{Submits: []*engine.SubmitChange{submission(1, claimed)}})
			commit(t, s, &engine.Group{Settles: []*engine.SettleChange{success(1, large)}})
			if log, _ := logOf(t, s); string(log[0].Result.Data) != large || string(get(t, s, 1).Result.Data) != large {
				t.Fatal("it is not readable from both sides")
			}
			if n := count(t, dir, "large_result"); n != 1 {
				t.Fatalf("it is stored %d times apart", n)
			}
			retain(t, s, c.first)
			if c.left(t, s) != large {
				t.Fatal("it is not readable from the side that is left")
			}
			retain(t, s, engine.Retention{Succeeded: everything, Log: everything})
			if n := count(t, dir, "large_result") + count(t, dir, "message") + count(t, dir, "log"); n != 0 {
				t.Errorf("%d rows are left", n)
			}
		})
	}
}

// retain takes steps until there is no more to do.
func retain(t *testing.T, s *sqlitestore.Store, r engine.Retention) (all engine.Retained) {
	t.Helper()
	for all.More = true; all.More; {
		step, err := s.Retain(t.Context(), r, now(), 7)
		if err != nil {
			t.Fatal(err)
		}
		all.Messages, all.Notifications, all.More = all.Messages+step.Messages, all.Notifications+step.Notifications, step.More
		all.First, all.Next = step.First, step.Next
	}
	return all
}

// TestNothingIsLeftBehind: what ends takes its checkpoint away, and what is forgotten its
// large data and its idempotency key, and the numbers go on.
func TestNothingIsLeftBehind(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, sqlitestore.Config{Dir: dir})
	for n := 1; n <= 50; n++ {
		commit(t, s, &engine.Group{Submits: []*engine.SubmitChange{submission(n, claimed, func(c *engine.SubmitChange) {
			c.IdempotencyKey = fmt.Sprint("key ", n)
			c.Message.MessageData = make([]byte, 100*n)
		})}})
		commit(t, s, &engine.Group{Saves: []*engine.SaveChange{{ID: id(n), Attempt: 1, Data: make([]byte, 100*n)}}})
		settle := success(n, strings.Repeat("x", 1000*n))
		if n%2 == 0 {
			settle.State, settle.Error = engine.StateFailed, &engine.Error{Message: "no"}
		}
		commit(t, s, &engine.Group{Settles: []*engine.SettleChange{settle}})
	}
	if n := count(t, dir, "checkpoint"); n != 0 {
		t.Errorf("%d checkpoints of messages that have ended", n)
	}
	all := engine.Keep{Age: time.Nanosecond}
	done := retain(t, s, engine.Retention{Succeeded: engine.Keep{Bytes: 1}, Failed: all, Log: engine.Keep{Bytes: 1}})
	if done.Messages != 0 && count(t, dir, "message") > 25 {
		t.Errorf("%+v", done)
	}
	later := now().Add(time.Hour)
	for more := true; more; {
		step, err := s.Retain(t.Context(), engine.Retention{Succeeded: all, Failed: all, Log: all}, later, 1000)
		if err != nil {
			t.Fatal(err)
		}
		more = step.More
	}
	for _, table := range []string{"message", "ended", "claim", "ready", "wake", "large_data", "checkpoint", "large_result", "log", "idempotency", "lane"} {
		if n := count(t, dir, table); n != 0 {
			t.Errorf("%d rows in %s", n, table)
		}
	}
	s = reopen(t, s, dir)
	if got := load(t, s); got.Last != 50 || got.First != 51 || got.LastSequence != 50 {
		t.Errorf("%+v", got)
	}
	if n := integer(t, dir, "SELECT succeeded + failed + cancelled + expired + published FROM head"); n != 0 {
		t.Errorf("%d bytes are counted as kept", n)
	}
}

func TestSequenceTwice(t *testing.T) {
	t.Parallel()
	s := open(t, sqlitestore.Config{})
	other := func(c *engine.SubmitChange) { c.Message.ID[15] ^= 1 }
	keyed := func(c *engine.SubmitChange) { c.Message.Key = "k" }
	g := commit(t, s, &engine.Group{Submits: []*engine.SubmitChange{
		submission(1), submission(1, other, claimed), submission(1, other, keyed), submission(2, keyed)}})
	if g.Submits[0].Err != nil || g.Submits[1].Err == nil || g.Submits[1].Claimed || g.Submits[2].Err == nil {
		t.Errorf("%v, %v, %v", g.Submits[0].Err, g.Submits[1].Err, g.Submits[2].Err)
	}
	if want := (engine.Counts{Queued: 2, Ready: 2, Bytes: 200}); g.Counts[greet] != want {
		t.Errorf("counts are %+v, expected %+v", g.Counts[greet], want)
	}
	unknown := submission(1, other).Message.ID
	if _, err := s.Get(t.Context(), unknown); !errors.Is(err, engine.ErrNotFound) {
		t.Errorf("error is %v", err)
	}
}

// TestContexts: who waits for a turn or a reader waits no longer than its context.
func TestContexts(t *testing.T) {
	t.Parallel()
	s := open(t, sqlitestore.Config{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Commit(ctx, &engine.Group{}); !errors.Is(err, context.Canceled) {
		t.Errorf("commit: %v", err)
	}
	if _, err := s.Get(ctx, id(1)); !errors.Is(err, context.Canceled) {
		t.Errorf("get: %v", err)
	}
	commit(t, s, &engine.Group{Submits: []*engine.SubmitChange{submission(1)}})
}

func TestClosed(t *testing.T) {
	t.Parallel()
	s := open(t, sqlitestore.Config{})
	shut(t, s)
	if err := s.Commit(t.Context(), &engine.Group{}); err == nil {
		t.Error("a closed store commits")
	}
	if _, err := s.Get(t.Context(), id(1)); err == nil {
		t.Error("a closed store reads")
	}
	if _, err := s.Load(t.Context()); err == nil {
		t.Error("a closed store loads")
	}
}

// TestRelativeDirectory: names are the shell's, with what SQLite's URIs have a meaning
// for. It changes the process's directory, so it is alone.
func TestRelativeDirectory(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, dir := range []string{"data", "./a:b", "50% of #1?x=y & more+", "../" + filepath.Base(t.TempDir()) + "/new"} {
		s := open(t, sqlitestore.Config{Dir: dir})
		commit(t, s, &engine.Group{Submits: []*engine.SubmitChange{submission(1)}})
		if u, err := s.Usage(); err != nil || u.Used == 0 {
			t.Errorf("%s: %+v, %v", dir, u, err)
		}
		shut(t, s)
		if err := sqlitestore.Backup(t.Context(), dir, filepath.Join(dir, "copy of 50%")); err != nil {
			t.Errorf("%s: %v", dir, err)
		}
	}
}
