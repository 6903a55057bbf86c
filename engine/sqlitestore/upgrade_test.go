package sqlitestore

import (
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/activemessage/activemessage/engine"
)

// version1 is what a server with schema 1 left: message 1 runs, with its data apart, 2 has
// its key and is queued, 3 is behind it, and 4 has failed.
const version1 = `
	INSERT INTO type (id, name, queued, running, ready, bytes) VALUES (1, 'greet', 2, 1, 1, 200);
	INSERT INTO message (seq, rest, type, state, attempt, uncounted, lost, priority, place, accepted, queued, started, finished,
		size, bytes, key, error_code, error_message, large, data) VALUES
		(1, 11, 1, 5, 1, 0, 0, 0, NULL, 1000, 1000, 2000, NULL, 100, 5, NULL, NULL, NULL, 1,    NULL),
		(2, 12, 1, 4, 0, 0, 0, 0, 1,    1000, 1000, NULL, NULL, 100, 5, 'k',  NULL, NULL, NULL, x'68656c6c6f'),
		(3, 13, 1, 3, 0, 0, 0, 0, 2,    1000, 1000, NULL, NULL, 100, 5, 'k',  NULL, NULL, NULL, x'68656c6c6f'),
		(4, 14, 1, 7, 1, 0, 0, 0, NULL, 1000, 1000, 2000, 3000, 100, 5, NULL, 'no', 'no', NULL, x'68656c6c6f');
	INSERT INTO large_data (seq, data) VALUES (1, x'6c61726765');
	INSERT INTO ready (queue, rank, turn, message) VALUES (1, 0, 1, 2);
	INSERT INTO blocked (queue, behind, turn, message) VALUES (1, 'k', 2, 3);
	INSERT INTO lane (type, key, holder) VALUES (1, 'k', 2);
	INSERT INTO claim (number, owner, seqs) VALUES (1, 9, x'0000000000000001');
	INSERT INTO ended (state, at, seq, number, messages) VALUES (7, 3000, 4, 3, x'0000000000000bb80000000000000004');
	UPDATE head SET sequence = 4, place = 3, failed = 100`

// openVersion1 opens a store that a server with schema 1 left.
func openVersion1(t *testing.T) *Store {
	t.Helper()
	dir := t.TempDir()
	c, err := connect(t.Context(), filepath.Join(dir, databaseName), "", sqlite3.OPEN_READWRITE|sqlite3.OPEN_CREATE, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Exec(migration1 + `; PRAGMA user_version = 1; INSERT INTO head (id, log) VALUES (1, 42);` + version1 +
		"; PRAGMA application_id = 0x414d5347"); err != nil {
		t.Fatal(err)
	}
	c.close()
	return openOwned(t, Config{Dir: dir, MinFree: -1})
}

// checked commits a group at ten seconds past 1970, and looks at all that is stored twice.
func checked(t *testing.T, s *Store, g *engine.Group) *engine.Group {
	t.Helper()
	g.Owner, g.Now = 1, time.Unix(10, 0)
	if err := s.Commit(t.Context(), g); err != nil {
		t.Fatal(err)
	}
	checkLedger(t, s)
	checkWaiting(t, s)
	checkSaved(t, s)
	checkEnded(t, s)
	return g
}

// claimAll claims messages, of which it expects the data and the checkpoints.
func claimAll(t *testing.T, s *Store, want string) []engine.StoredMessage {
	t.Helper()
	all := checked(t, s, &engine.Group{Claims: []*engine.ClaimChange{{MessageType: "greet", Limit: 9}}}).Claims[0].Messages
	got := ""
	for _, m := range all {
		got += string(m.MessageData) + "," + string(m.Checkpoint) + " "
	}
	if got != want {
		t.Fatalf("claimed %q, expected %q", got, want)
	}
	return all
}

// TestUpgradeFromVersion1: what was there goes on, with all that is new.
func TestUpgradeFromVersion1(t *testing.T) {
	t.Parallel()
	s := openVersion1(t)
	snapshot, err := s.Load(t.Context())
	if want := (engine.Counts{Queued: 2, Running: 1, Ready: 1, Bytes: 200}); err != nil || snapshot.Log != 42 || snapshot.Counts["greet"] != want {
		t.Fatalf("%+v, %v", snapshot, err)
	}
	goesOn := &engine.ResumeChange{ID: idOf(1, 11), Attempt: 1}
	g := checked(t, s, &engine.Group{
		Reclaim: 9, Resumes: []*engine.ResumeChange{goesOn}, Retries: []*engine.RetryChange{{ID: idOf(4, 14), Attempt: 1}}})
	if goesOn.Err != nil || g.Reclaimed != 1 || string(goesOn.Message.MessageData) != "large" {
		t.Fatalf("%d were reclaimed, and %+v", g.Reclaimed, goesOn)
	}
	checked(t, s, &engine.Group{Settles: []*engine.SettleChange{{ID: idOf(1, 11), Attempt: 1, State: engine.StateQueued}}})
	g = &engine.Group{}
	for _, m := range claimAll(t, s, "hello, hello, large, ") {
		g.Saves = append(g.Saves, &engine.SaveChange{ID: m.ID, Attempt: m.Attempt, Data: []byte("saved")})
		g.Settles = append(g.Settles, &engine.SettleChange{ID: m.ID, Attempt: m.Attempt, State: engine.StateQueued})
	}
	checked(t, s, g)
	g = &engine.Group{}
	for _, m := range claimAll(t, s, "hello,saved hello,saved large,saved ") {
		g.Settles = append(g.Settles, &engine.SettleChange{ID: m.ID, Attempt: m.Attempt, State: engine.StateSucceeded, FinishedAt: time.Unix(10, 0)})
	}
	checked(t, s, g)
	claimAll(t, s, "hello, ")
	done, err := s.Retain(t.Context(), engine.Retention{Succeeded: engine.Keep{Age: time.Second}}, time.Unix(100, 0), 9)
	if err != nil || done.Messages != 3 {
		t.Fatalf("%+v, %v", done, err)
	}
	checkSaved(t, s)
}
