package sqlitestore_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/activemessage/activemessage/engine"
	"github.com/activemessage/activemessage/engine/sqlitestore"
)

// TestMain fails the package if a test leaves a goroutine behind. It is also the other
// process of the tests that need one.
func TestMain(m *testing.M) {
	if dir, dest, is := strings.Cut(os.Getenv(backupVariable), "\n"); is {
		if err := sqlitestore.Backup(context.Background(), dir, dest); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// backupVariable makes the test binary back up a directory.
const backupVariable = "SQLITESTORE_TEST_BACKUP"

const (
	owner = engine.Owner(7)
	greet = "greet"
)

// now is when tests happen, unless they say otherwise.
func now() time.Time { return time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC) }

// open opens a store that the test's end closes.
func open(t testing.TB, cfg sqlitestore.Config) *sqlitestore.Store {
	t.Helper()
	if cfg.Dir == "" {
		cfg.Dir = t.TempDir()
	}
	if cfg.MinFree == 0 {
		cfg.MinFree = -1
	}
	s, err := sqlitestore.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { shut(t, s) })
	return s
}

func shut(t testing.TB, s *sqlitestore.Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// id is the ID of the nth message.
func id(n int) (id engine.ID) {
	binary.BigEndian.PutUint64(id[:8], uint64(n))
	binary.BigEndian.PutUint64(id[8:], uint64(n)*0x9e3779b97f4a7c15|1<<63)
	return id
}

// message is the nth message, queued.
func message(n int) engine.StoredMessage {
	return engine.StoredMessage{
		Message: engine.Message{
			ID: id(n), MessageType: greet, MessageData: []byte("hello"), ContentType: "text/plain",
			ResponseNotification: "request_1", AcceptedAt: now(),
		},
		State: engine.StateQueued, MessageBytes: 5, Size: 100,
	}
}

func submission(n int, edit ...func(*engine.SubmitChange)) *engine.SubmitChange {
	c := &engine.SubmitChange{Message: message(n)}
	for _, f := range edit {
		f(c)
	}
	return c
}

func claimed(c *engine.SubmitChange) { c.Claim = true }

// commit commits a group of the owner's; the group's own fields win.
func commit(t testing.TB, s *sqlitestore.Store, g *engine.Group) *engine.Group {
	t.Helper()
	if g.Owner == 0 {
		g.Owner = owner
	}
	if g.Now.IsZero() {
		g.Now = now()
	}
	if err := s.Commit(t.Context(), g); err != nil {
		t.Fatal(err)
	}
	return g
}

func success(n int, result string) *engine.SettleChange {
	return &engine.SettleChange{
		ID: id(n), Attempt: 1, State: engine.StateSucceeded, StartedAt: now(), FinishedAt: now(),
		Result: engine.Result{Data: []byte(result), ContentType: "text/plain"},
	}
}

func get(t testing.TB, s *sqlitestore.Store, n int) engine.StoredMessage {
	t.Helper()
	m, err := s.Get(t.Context(), id(n))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func load(t testing.TB, s *sqlitestore.Store) engine.Snapshot {
	t.Helper()
	snapshot, err := s.Load(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return snapshot
}

func logOf(t testing.TB, s *sqlitestore.Store) ([]engine.Notification, uint64) {
	t.Helper()
	page, first, err := s.Notifications(t.Context(), 1, 1_000_000, 1<<40)
	if err != nil {
		t.Fatal(err)
	}
	return page, first
}
