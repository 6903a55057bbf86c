package sqlitestore_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/activemessage/activemessage/engine/sqlitestore"
)

func TestNewerSchemaIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	shut(t, open(t, sqlitestore.Config{Dir: dir}))
	execute(t, dir, "PRAGMA user_version = 7")
	want := fmt.Sprintf("the data in %s was written by a newer version (schema 7; this one knows 2): use that version or newer", dir)
	if _, err := sqlitestore.Open(t.Context(), sqlitestore.Config{Dir: dir}); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("error is %v, expected %s", err, want)
	}
	if v := integer(t, dir, "PRAGMA user_version"); v != 7 {
		t.Errorf("the version is now %d", v)
	}
}

func TestOtherProgramsDatabaseIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	execute(t, dir, "CREATE TABLE theirs (a)")
	if _, err := sqlitestore.Open(t.Context(), sqlitestore.Config{Dir: dir}); err == nil || !strings.Contains(err.Error(), "another program's database") {
		t.Errorf("error is %v", err)
	}
	if n := integer(t, dir, "SELECT count(*) FROM sqlite_schema"); n != 1 {
		t.Errorf("it has %d tables and indexes now", n)
	}
}
