package sqlitestore_test

import (
	"path/filepath"
	"testing"

	"github.com/ncruces/go-sqlite3"
)

// raw opens a store's database beside it, as another program would.
func raw(t *testing.T, dir string) *sqlite3.Conn {
	t.Helper()
	c, err := sqlite3.Open(filepath.Join(dir, "activemessage.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// integer returns what a query of one integer says.
func integer(t *testing.T, dir, sql string) int64 {
	t.Helper()
	q, _, err := raw(t, dir).Prepare(sql)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = q.Close() }()
	if !q.Step() {
		t.Fatal(sql, q.Err())
	}
	return q.ColumnInt64(0)
}

func count(t *testing.T, dir, table string) int64 {
	t.Helper()
	return integer(t, dir, "SELECT count(*) FROM "+table)
}

func execute(t *testing.T, dir, sql string) {
	t.Helper()
	if err := raw(t, dir).Exec(sql); err != nil {
		t.Fatal(err)
	}
}
