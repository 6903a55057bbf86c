package engine_test

import (
	"context"
	"os"
	"os/exec"
	"testing"

	"github.com/activemessage/activemessage/engine"
	"github.com/activemessage/activemessage/engine/memstore"
	"github.com/activemessage/activemessage/engine/sqlitestore"
)

// withStore names, in the environment, the store that every engine of this package's
// tests gets which does not say otherwise.
const withStore = "ACTIVEMESSAGE_TEST_STORE"

// storeOfAll returns that store, nil for none.
func storeOfAll(t testing.TB) engine.Store {
	t.Helper()
	switch os.Getenv(withStore) {
	case "memstore":
		return memstore.New()
	case "sqlitestore":
		return openSQLite(t)
	}
	return nil
}

// openSQLite returns a new store on the disk, closed when the test ends.
func openSQLite(t testing.TB) *sqlitestore.Store {
	t.Helper()
	store, shut := openSQLiteIn(t, t.TempDir())
	t.Cleanup(shut)
	return store
}

func openSQLiteIn(t testing.TB, dir string) (store *sqlitestore.Store, shut func()) {
	t.Helper()
	store, err := sqlitestore.Open(context.Background(), sqlitestore.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	return store, func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	}
}

// With a store an engine does all that it does without: this package's tests, once more
// for each store. Those of the bounds of memory are skipped.
func TestEverythingWithAStore(t *testing.T) {
	t.Parallel()
	if os.Getenv(withStore) != "" {
		t.Skip("this is that")
	}
	if testing.Short() {
		t.Skip("it takes longer than all other tests together")
	}
	for _, store := range []string{"memstore", "sqlitestore"} {
		t.Run(store, func(t *testing.T) {
			t.Parallel()
			tests := exec.CommandContext(t.Context(), os.Args[0], "-test.count=1")
			tests.Env = append(os.Environ(), withStore+"="+store)
			if out, err := tests.CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}
