package sqlitestore_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/activemessage/activemessage/engine"
	"github.com/activemessage/activemessage/engine/sqlitestore"
	"github.com/activemessage/activemessage/engine/sqlitestore/faultvfs"
)

// openOn opens a store on a disk of its own.
func openOn(t *testing.T) (*sqlitestore.Store, *faultvfs.Disk, string) {
	t.Helper()
	disk, dir := faultvfs.Register(t.Name()), t.TempDir()
	t.Cleanup(disk.Close)
	return open(t, sqlitestore.Config{Dir: dir, VFS: t.Name()}), disk, dir
}

// TestDiskFull: a commit that finds no room changes nothing, on the disk and in memory,
// and the store goes on when there is room.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	s, disk, _ := openOn(t)
	var h history
	for range 3 {
		if err := h.commit(t, s); err != nil {
			t.Fatal(err)
		}
	}
	for room := int64(0); room < 12<<10; room += 1000 {
		before := fmt.Sprint(load(t, s))
		disk.Fill(room)
		g := h.next()
		g.Submits[0].Message.MessageType = fmt.Sprint("new ", room)
		if err := s.Commit(t.Context(), g); !errors.Is(err, engine.ErrStorageFull) {
			t.Fatalf("with %d bytes: error is %v", room, err)
		}
		if g.Published != nil || g.Submits[0].Claimed || g.Counts != nil {
			t.Errorf("with %d bytes: the group says what did not happen: %+v", room, g)
		}
		if _, err := s.Usage(); !errors.Is(err, engine.ErrStorageFull) {
			t.Errorf("with %d bytes: usage's error is %v", room, err)
		}
		if after := fmt.Sprint(load(t, s)); after != before {
			t.Errorf("with %d bytes: it was %s, and is %s", room, before, after)
		}
		disk.Fill(-1)
		if err := h.commit(t, s); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Usage(); err != nil {
			t.Errorf("with %d bytes: there is room again, and usage's error is %v", room, err)
		}
	}
	if err := h.check(t, s); err != nil {
		t.Error(err)
	}
}

// TestRetainOnFullDisk: forgetting needs room too.
func TestRetainOnFullDisk(t *testing.T) {
	t.Parallel()
	s, disk, _ := openOn(t)
	var h history
	for range 3 {
		if err := h.commit(t, s); err != nil {
			t.Fatal(err)
		}
	}
	before := fmt.Sprint(load(t, s))
	disk.Fill(100)
	r := engine.Retention{Succeeded: engine.Keep{Bytes: 1}, Log: engine.Keep{Bytes: 1}}
	if _, err := s.Retain(t.Context(), r, now(), 100); !errors.Is(err, engine.ErrStorageFull) {
		t.Errorf("error is %v", err)
	}
	if after := fmt.Sprint(load(t, s)); after != before {
		t.Errorf("it was %s, and is %s", before, after)
	}
	disk.Fill(-1)
	if done := retain(t, s, r); done.Messages != 2*groupSize || done.Notifications != 2*groupSize {
		t.Errorf("%+v", done)
	}
}

// TestSyncFails: nobody knows what a disk has that failed to sync, and it may say
// nothing of it when asked again. So that was the last commit.
func TestSyncFails(t *testing.T) {
	t.Parallel()
	s, disk, dir := openOn(t)
	var h history
	if err := h.commit(t, s); err != nil {
		t.Fatal(err)
	}
	disk.FailSyncs(true)
	err := h.commit(t, s)
	if err == nil || errors.Is(err, engine.ErrStorageFull) {
		t.Fatalf("error is %v", err)
	}
	disk.FailSyncs(false)
	if again := h.commit(t, s); again == nil || again.Error() != err.Error() {
		t.Errorf("error is %v, and was %v", again, err)
	}
	h.groups, h.acknowledged = 2, h.acknowledged[:2]
	if err := h.check(t, reopen(t, s, dir)); err != nil {
		t.Error(err)
	}
}

// TestCommitSyncsOnce: more would be slower, less would lose.
func TestCommitSyncsOnce(t *testing.T) {
	t.Parallel()
	s, disk, _ := openOn(t)
	var h history
	for n := range 20 {
		before := disk.Syncs()
		if err := h.commit(t, s); err != nil {
			t.Fatal(err)
		}
		if syncs := disk.Syncs() - before; n > 0 && syncs != 1 {
			t.Errorf("commit %d synced %d times", n, syncs)
		}
	}
}

// TestMinFree: new messages are refused while less is left than there should be.
func TestMinFree(t *testing.T) {
	t.Parallel()
	s := open(t, sqlitestore.Config{MinFree: 1 << 60})
	u, err := s.Usage()
	if u.Free == 0 {
		t.Skip("nobody knows how much is left here")
	}
	if !errors.Is(err, engine.ErrStorageFull) || u.Used == 0 {
		t.Errorf("%+v, %v", u, err)
	}
	if _, err := open(t, sqlitestore.Config{MinFree: 1}).Usage(); err != nil {
		t.Error(err)
	}
}

// notes is what a logger was told.
type notes struct {
	mu   sync.Mutex
	text bytes.Buffer // guarded by mu
}

func (n *notes) Write(p []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.text.Write(p)
}

func (n *notes) has(text string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return strings.Contains(n.text.String(), text)
}

// TestDamagedWAL: whatever becomes of the end of the write-ahead log, a store opens with
// the groups before, each whole, and says that something is missing.
func TestDamagedWAL(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, sqlitestore.Config{Dir: dir})
	var h history
	for range 10 {
		if err := h.commit(t, s); err != nil {
			t.Fatal(err)
		}
	}
	database, wal := readFile(t, dir, ""), readFile(t, dir, "-wal")
	random := rand.New(rand.NewPCG(1, 2))
	for try := range 60 {
		damaged := bytes.Clone(wal)
		from := len(wal) * 2 / 3
		at := from + random.IntN(len(wal)-from)
		if try%2 == 0 {
			damaged = damaged[:at]
		} else {
			damaged[at] ^= 1 << random.IntN(8)
		}
		t.Run(fmt.Sprint(try), func(t *testing.T) {
			t.Parallel()
			openDamaged(t, database, damaged, h)
		})
	}
}

func openDamaged(t *testing.T, database, wal []byte, h history) {
	t.Helper()
	dir := t.TempDir()
	for suffix, content := range map[string][]byte{"": database, "-wal": wal} {
		if err := os.WriteFile(filepath.Join(dir, "activemessage.db"+suffix), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var told notes
	s := open(t, sqlitestore.Config{Dir: dir, Logger: slog.New(slog.NewTextHandler(&told, nil))})
	all := h.groups
	h.acknowledged = make([]bool, all) // they were, but the disk did not keep its word
	if err := h.check(t, s); err != nil {
		t.Fatal(err)
	}
	if h.groups < all/3 {
		t.Errorf("%d of %d groups are there", h.groups, all)
	}
	if !told.has("recovered") {
		t.Errorf("it says nothing of what it recovered: %s", told.text.String())
	}
	if err := h.commit(t, s); err != nil {
		t.Error(err)
	}
}

func readFile(t *testing.T, dir, suffix string) []byte {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(dir, "activemessage.db"+suffix))
	if err != nil {
		t.Fatal(err)
	}
	return content
}
