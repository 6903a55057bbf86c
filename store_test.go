package activemessage_test

import (
	"os"
	"os/exec"
	"testing"

	"github.com/activemessage/activemessage/engine"
	"github.com/activemessage/activemessage/engine/sqlitestore"
)

// withStore names, in the environment, the directory of the stores that all nodes of
// this package's tests get which do not say otherwise.
const withStore = "ACTIVEMESSAGE_TEST_STORES"

// storeOfAll returns such a store, nil for none.
func storeOfAll(t tester) engine.Store {
	t.Helper()
	folder := os.Getenv(withStore)
	if folder == "" {
		return nil
	}
	dir, err := os.MkdirTemp(folder, "")
	if err != nil {
		t.Fatal(err)
	}
	store, err := sqlitestore.Open(t.Context(), sqlitestore.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return store
}

// A server that keeps its data answers as one that does not: this package's tests of
// requests and of resuming, once more.
func TestEverythingWithAStore(t *testing.T) {
	t.Parallel()
	if os.Getenv(withStore) != "" {
		t.Skip("this is that")
	}
	tests := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "Contract|Resum|Example", "-test.count=1")
	tests.Env = append(os.Environ(), withStore+"="+t.TempDir())
	if out, err := tests.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
