package sqlitestore_test

import (
	"errors"
	"testing"

	"github.com/activemessage/activemessage/engine"
	"github.com/activemessage/activemessage/engine/sqlitestore"
)

// TestLongCommit: a commit that does not fit into the memory that SQLite has for it is
// written before its end, and read and written again in the log before it is synced. It
// is still all or nothing, also when the room ends in its middle.
func TestLongCommit(t *testing.T) {
	t.Parallel()
	s, disk, dir := openOn(t)
	const count, size = 60, 1 << 20
	g := &engine.Group{}
	for n := range count {
		g.Submits = append(g.Submits, submission(n+1, func(c *engine.SubmitChange) {
			c.IdempotencyKey = string(rune('a' + n*7919%count)) // all over its table
			c.Message.MessageData = make([]byte, size)
		}))
	}
	for room := int64(0); room < count*size; room += 7_300_000 {
		disk.Fill(room)
		if err := s.Commit(t.Context(), g); !errors.Is(err, engine.ErrStorageFull) {
			t.Fatalf("with %d bytes: error is %v", room, err)
		}
		disk.Fill(-1)
		if got := load(t, s); len(got.Counts) != 0 || got.LastSequence != 0 {
			t.Fatalf("with %d bytes: it failed, and there is %+v", room, got)
		}
	}
	commit(t, s, g)
	commit(t, s, &engine.Group{Submits: []*engine.SubmitChange{submission(count + 1)}})
	disk.PowerOff()
	shut(t, s)
	if err := disk.Recover(nil); err != nil {
		t.Fatal(err)
	}
	s = open(t, sqlitestore.Config{Dir: dir})
	if got := load(t, s).Counts[greet]; got.Queued != count+1 {
		t.Errorf("%+v", got)
	}
	claim := &engine.ClaimChange{MessageType: greet, Limit: count + 1}
	commit(t, s, &engine.Group{Claims: []*engine.ClaimChange{claim}})
	for _, m := range claim.Messages[:count] {
		if len(m.MessageData) != size {
			t.Errorf("%s has %d bytes", m.ID, len(m.MessageData))
		}
	}
	if broken := integer(t, dir, "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check <> 'ok'"); broken != 0 {
		t.Error("the database is damaged")
	}
}
