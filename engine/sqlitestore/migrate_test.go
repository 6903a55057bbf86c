package sqlitestore

import (
	"log/slog"
	"path/filepath"
	"testing"

	"github.com/ncruces/go-sqlite3"
)

// TestUpgrade takes a database of every version to the newest, and beyond to one that is
// made up, with what was in it.
func TestUpgrade(t *testing.T) {
	t.Parallel()
	next := append(migrations(), "ALTER TABLE message ADD COLUMN shoe_size INTEGER; UPDATE message SET shoe_size = 43")
	for from := 1; from < len(next); from++ {
		c, err := connect(t.Context(), filepath.Join(t.TempDir(), databaseName), "", sqlite3.OPEN_READWRITE|sqlite3.OPEN_CREATE, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.close)
		if err := migrate(c, "old", next[:from]); err != nil {
			t.Fatal(err)
		}
		log := column(t, c, "SELECT log FROM head")
		if err := c.Exec("INSERT INTO message (seq, rest, type, state, attempt, uncounted, lost, priority, accepted, size, bytes) VALUES (1, 2, 3, 4, 0, 0, 0, 0, 5, 6, 7)"); err != nil {
			t.Fatal(err)
		}
		for range 2 { // the second time there is nothing to do
			if err := migrate(c, "old", next); err != nil {
				t.Fatal(err)
			}
		}
		if v := column(t, c, "PRAGMA user_version"); int(v) != len(next) {
			t.Errorf("from %d: the version is %d", from, v)
		}
		if column(t, c, "SELECT sum(shoe_size) FROM message") != 43 || column(t, c, "SELECT log FROM head") != log || log == 0 {
			t.Errorf("from %d: it is not what it was", from)
		}
	}
}

// TestFailedUpgradeChangesNothing: the steps before the one that failed are made.
func TestFailedUpgradeChangesNothing(t *testing.T) {
	t.Parallel()
	c, err := connect(t.Context(), filepath.Join(t.TempDir(), databaseName), "", sqlite3.OPEN_READWRITE|sqlite3.OPEN_CREATE, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.close)
	if err := migrate(c, "data", append(migrations(), "CREATE TABLE half (a); CREATE TABLE half (a)")); err == nil {
		t.Fatal("a broken step was made")
	}
	if v := column(t, c, "PRAGMA user_version"); int(v) != len(migrations()) {
		t.Errorf("the version is %d", v)
	}
	if column(t, c, "SELECT count(*) FROM sqlite_schema WHERE name = 'half'") != 0 {
		t.Error("half of the step is there")
	}
}

func column(t *testing.T, c *connection, sql string) int64 {
	t.Helper()
	v, err := c.integer(sql)
	if err != nil {
		t.Fatal(err)
	}
	return v
}
