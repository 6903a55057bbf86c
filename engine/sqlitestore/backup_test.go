package sqlitestore_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/activemessage/activemessage/engine"
	"github.com/activemessage/activemessage/engine/sqlitestore"
)

// backUp backs up a directory in another process, as the command of a running server's
// neighbour does.
func backUp(ctx context.Context, dir, dest string) error {
	command := exec.CommandContext(ctx, os.Args[0])
	command.Env = append(os.Environ(), backupVariable+"="+dir+"\n"+dest)
	if output, err := command.CombinedOutput(); err != nil {
		return errors.New(string(output))
	}
	return nil
}

// TestBackupWhileWriting: the copy is of one moment, and becomes a store that goes on from
// there with another log.
func TestBackupWhileWriting(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, sqlitestore.Config{Dir: dir, Checkpoint: 100})
	var h history
	for range 50 {
		if err := h.commit(t, s); err != nil {
			t.Fatal(err)
		}
	}
	restored := t.TempDir()
	done := make(chan error, 1)
	go func() { done <- backUp(t.Context(), dir, filepath.Join(restored, "activemessage.db")) }()
	before := h.groups
	for waiting := true; waiting; {
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			waiting = false
		default:
			if err := h.commit(t, s); err != nil {
				t.Fatal(err)
			}
		}
	}
	after := h.groups
	if files, err := os.ReadDir(restored); err != nil || len(files) != 1 {
		t.Errorf("%v, %v", files, err)
	}
	copied := open(t, sqlitestore.Config{Dir: restored})
	h.acknowledged = make([]bool, h.groups) // any may be missing, from some on
	if err := h.check(t, copied); err != nil {
		t.Fatal(err)
	}
	if h.groups < before || h.groups > after {
		t.Errorf("%d groups are in it: it was made between %d and %d", h.groups, before, after)
	}
	if load(t, copied).Log == load(t, s).Log {
		t.Error("it has the same log")
	}
	if g := commit(t, copied, &engine.Group{Owner: 8, Reclaim: 100}); g.Reclaimed != groupSize {
		t.Errorf("%d of %d claims were reclaimed", g.Reclaimed, groupSize)
	}
	t.Logf("%d groups were committed during the backup", after-before)
}

func TestBackupRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	shut(t, open(t, sqlitestore.Config{Dir: dir}))
	taken := filepath.Join(t.TempDir(), "taken")
	if err := os.WriteFile(taken, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := sqlitestore.Backup(t.Context(), dir, taken); err == nil || !strings.Contains(err.Error(), "is there already") {
		t.Errorf("error is %v", err)
	}
	if content, err := os.ReadFile(taken); err != nil || string(content) != "mine" {
		t.Errorf("it is %q now, %v", content, err)
	}
	if err := sqlitestore.Backup(t.Context(), t.TempDir(), filepath.Join(t.TempDir(), "b")); err == nil || !strings.Contains(err.Error(), "there is no data in") {
		t.Errorf("error is %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	folder := t.TempDir()
	if err := sqlitestore.Backup(ctx, dir, filepath.Join(folder, "b")); !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v", err)
	}
	if files, err := os.ReadDir(folder); err != nil || len(files) != 0 {
		t.Errorf("left behind: %v, %v", files, err)
	}
}
