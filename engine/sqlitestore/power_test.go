package sqlitestore_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/activemessage/activemessage/engine"
	"github.com/activemessage/activemessage/engine/sqlitestore"
	"github.com/activemessage/activemessage/engine/sqlitestore/faultvfs"
)

// history is the groups that were committed to a store with a bad life, and which of
// them were acknowledged. Group n submits messages n*size+1 to (n+1)*size, born claimed,
// and ends those of the group before.
type history struct {
	groups       int
	acknowledged []bool
}

const groupSize = 5

func (h *history) next() *engine.Group {
	g := &engine.Group{Owner: owner, Now: now()}
	for i := range groupSize {
		n := h.groups*groupSize + i + 1
		g.Submits = append(g.Submits, submission(n, claimed, func(c *engine.SubmitChange) {
			c.IdempotencyKey = fmt.Sprint(n)
			c.Message.MessageData = make([]byte, n%3*1500)
			c.Message.Size = 512 + int64(len(c.Message.MessageData))
		}))
		if h.groups > 0 {
			g.Settles = append(g.Settles, success(n-groupSize, "done"))
		}
	}
	return g
}

func (h *history) commit(t *testing.T, s *sqlitestore.Store) error {
	t.Helper()
	g := h.next()
	err := s.Commit(t.Context(), g)
	h.acknowledged = append(h.acknowledged, err == nil)
	if h.groups++; err == nil && h.groups > 1 && g.Settles[0].Err != nil {
		t.Fatal(g.Settles[0].Err)
	}
	return err
}

// check returns what is wrong with a store that was opened after the last failure: the
// groups that are there must be the acknowledged ones and at most one more, each with all
// that it changed. It forgets the groups that are not there.
func (h *history) check(t *testing.T, s *sqlitestore.Store) error {
	t.Helper()
	messages, err := allOf(t, s)
	if err != nil {
		return err
	}
	present := 0
	for n := range h.groups {
		have := 0
		for i := range groupSize {
			if _, is := messages[id(n*groupSize+i+1)]; is {
				have++
			}
		}
		switch {
		case have != 0 && have != groupSize:
			return fmt.Errorf("of group %d there are %d messages of %d", n, have, groupSize)
		case have == 0 && h.acknowledged[n]:
			return fmt.Errorf("group %d was acknowledged, and is gone", n)
		case have == 0:
			continue
		case present != n:
			return fmt.Errorf("group %d is there, one before is not", n)
		}
		present++
	}
	if err := h.checkEnds(t, s, messages, present); err != nil {
		return err
	}
	h.groups, h.acknowledged = present, h.acknowledged[:present]
	return nil
}

// allOf returns all messages.
func allOf(t *testing.T, s *sqlitestore.Store) (map[engine.ID]engine.StoredMessage, error) {
	t.Helper()
	page, _, err := s.List(t.Context(), engine.ListOptions{Before: math.MaxUint64, Limit: 1 << 30})
	all := make(map[engine.ID]engine.StoredMessage)
	for _, m := range page {
		all[m.ID] = m
	}
	return all, err
}

// checkEnds: the messages of all groups but the last have ended, with notifications; counts
// and log say the same.
func (h *history) checkEnds(t *testing.T, s *sqlitestore.Store, messages map[engine.ID]engine.StoredMessage, present int) error {
	t.Helper()
	ends := max(0, present-1) * groupSize
	log, first := logOf(t, s)
	if len(log) != ends || first != 1 {
		return fmt.Errorf("%d groups are there with %d notifications from %d on", present, len(log), first)
	}
	for i, n := range log {
		if n.Number != uint64(i+1) || n.ID != id(i+1) {
			return fmt.Errorf("notification %d is %d of %s", i+1, n.Number, n.ID)
		}
	}
	for n := range present * groupSize {
		if m := messages[id(n+1)]; m.State.Terminal() != (n < ends) {
			return fmt.Errorf("of %d groups, message %d is %s", present, n+1, m.State)
		}
	}
	got := load(t, s)
	want := engine.Counts{Running: present*groupSize - ends}
	if got.Last != uint64(ends) || got.Counts[greet] != want || got.LastSequence != uint64(present*groupSize) {
		return fmt.Errorf("%d groups are there with %+v", present, got)
	}
	return nil
}

// survive lets the power fail again and again while groups are committed, and returns
// what was wrong first, and how many groups were acknowledged.
func survive(t *testing.T, seed uint64, rounds int, unsafe bool) (acknowledged int, err error) {
	t.Helper()
	name := fmt.Sprintf("power-%d-%t", seed, unsafe)
	disk := faultvfs.Register(name)
	defer disk.Close()
	random := rand.New(rand.NewPCG(seed, 1))
	dir := t.TempDir()
	var h history
	for range rounds {
		s, err := sqlitestore.Open(t.Context(), sqlitestore.Config{Dir: dir, VFS: name, Unsafe: unsafe, MinFree: -1, Checkpoint: 40, Readers: 1})
		if err != nil {
			return acknowledged, err
		}
		if err := h.check(t, s); err != nil {
			shut(t, s)
			return acknowledged, err
		}
		disk.PowerOffIn(1 + random.IntN(250))
		for range 1000 {
			if h.commit(t, s) != nil {
				break
			}
			acknowledged++
		}
		disk.PowerOff()
		shut(t, s)
		torn := random
		if random.IntN(3) == 0 {
			torn = nil
		}
		if err := disk.Recover(torn); err != nil {
			t.Fatal(err)
		}
	}
	return acknowledged, nil
}

// TestPowerCuts: what was acknowledged is there after the power fails at any time, all or
// nothing of the rest.
func TestPowerCuts(t *testing.T) {
	t.Parallel()
	total := 0
	for seed := range uint64(20) {
		acknowledged, err := survive(t, seed, 9, false)
		if err != nil {
			t.Fatalf("seed %d, after %d groups: %v", seed, acknowledged, err)
		}
		total += acknowledged
	}
	t.Logf("%d groups were acknowledged", total)
	if total < 1500 {
		t.Errorf("only %d groups were acknowledged", total)
	}
}

// TestPowerCutsAreFelt: a store that does not wait for the disk loses what it
// acknowledged; if this did not show it, the test above would show nothing.
func TestPowerCutsAreFelt(t *testing.T) {
	t.Parallel()
	acknowledged, err := survive(t, 99, 60, true)
	if err == nil || acknowledged == 0 {
		t.Fatalf("%d groups were acknowledged without a sync, and none is gone: %v", acknowledged, err)
	}
	t.Logf("after %d groups: %v", acknowledged, err)
}
