package sqlitestore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/activemessage/activemessage/engine"
	"github.com/activemessage/activemessage/engine/sqlitestore/faultvfs"
)

// TestLedgerIsWhatTheDiskSays: whatever three owners do, also when there is no room for
// it, the ledger is what a crash at that moment would leave to be read, there are no more
// rows than claims, and what waits is where it is looked for.
func TestLedgerIsWhatTheDiskSays(t *testing.T) {
	t.Parallel()
	disk := faultvfs.Register(t.Name())
	t.Cleanup(disk.Close)
	l := owners{random: rand.New(rand.NewPCG(1, 2)), now: time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)}
	cfg := Config{Dir: t.TempDir(), VFS: t.Name(), MinFree: -1}
	s := openOwned(t, cfg)
	refused, most := 0, 0
	for n := range 500 {
		g := l.group(s)
		if full := l.random.IntN(4) == 0; full {
			disk.Fill(int64(l.random.IntN(60 << 10)))
		}
		err := s.Commit(t.Context(), g)
		disk.Fill(-1)
		switch {
		case errors.Is(err, engine.ErrStorageFull):
			refused++
		case err != nil:
			t.Fatal(err)
		}
		checkLedger(t, s)
		checkWaiting(t, s)
		checkEnded(t, s)
		checkSaved(t, s)
		if l.random.IntN(3) == 0 {
			l.retain(t, s, disk)
		}
		most = max(most, len(s.ledger.claims))
		if n%100 == 99 {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = openOwned(t, cfg)
			checkLedger(t, s)
		}
	}
	if refused < 20 || most < 10 {
		t.Errorf("only %d commits were refused, and only %d messages claimed at once", refused, most)
	}
	for owner := engine.Owner(1); owner <= 3; owner++ {
		g := &engine.Group{Owner: owner, Now: l.now}
		for _, h := range s.ledger.claims {
			if h.owner == owner {
				g.Settles = append(g.Settles, l.settle(h))
			}
		}
		if err := s.Commit(t.Context(), g); err != nil {
			t.Fatal(err)
		}
	}
	for more := true; more; {
		all := engine.Keep{Age: time.Nanosecond}
		step, err := s.Retain(t.Context(), engine.Retention{Succeeded: all, Failed: all, Cancelled: all, Expired: all}, l.now.Add(time.Hour), 7)
		if err != nil {
			t.Fatal(err)
		}
		more = step.More
	}
	if rows, err := s.writer.integer("SELECT count(*) FROM message WHERE state > 5"); err != nil || rows != 0 {
		t.Errorf("%d messages were not forgotten; %v", rows, err)
	}
	if rows, err := s.writer.integer("SELECT count(*) FROM ended"); err != nil || rows != 0 {
		t.Errorf("nothing has ended, and %d rows are left; %v", rows, err)
	}
	if rows, err := s.writer.integer("SELECT count(*) FROM claim"); err != nil || rows != 0 || len(s.ledger.claims) != 0 {
		t.Errorf("nothing is claimed, and %d rows are left; %v", rows, err)
	}
}

func openOwned(t *testing.T, cfg Config) *Store {
	t.Helper()
	s, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// owners are three that use a store at random.
type owners struct {
	random *rand.Rand
	now    time.Time
	last   uint64 // sequence
	failed []*engine.SettleChange
}

func (l *owners) group(s *Store) *engine.Group {
	l.now = l.now.Add(time.Second)
	g := &engine.Group{Owner: engine.Owner(1 + l.random.IntN(3)), Now: l.now, Due: 10}
	if l.random.IntN(10) > 0 {
		g.Lease = l.now.Add(time.Duration(l.random.IntN(30)) * time.Second)
	}
	for _, h := range s.ledger.claims {
		if l.random.IntN(3) == 0 { // of another owner too
			g.Settles = append(g.Settles, l.settle(h))
		}
		if l.random.IntN(3) == 0 {
			data := make([]byte, l.random.IntN(6000))
			g.Saves = append(g.Saves, &engine.SaveChange{ID: idOf(h.seq, h.rest), Attempt: h.attempt, Data: data})
		}
	}
	for range l.random.IntN(5) {
		g.Submits = append(g.Submits, l.submission())
	}
	if len(l.failed) > 0 && l.random.IntN(3) == 0 {
		again := l.failed[l.random.IntN(len(l.failed))]
		g.Retries = append(g.Retries, &engine.RetryChange{ID: again.ID, Attempt: again.Attempt})
	}
	if l.random.IntN(3) == 0 {
		g.Reclaim = 1 + l.random.IntN(3)
		for _, h := range s.ledger.claims {
			if h.owner != g.Owner && l.random.IntN(3) == 0 {
				g.Resumes = append(g.Resumes, &engine.ResumeChange{ID: idOf(h.seq, h.rest), Attempt: h.attempt})
			}
		}
	}
	if l.random.IntN(2) == 0 {
		g.Claims = []*engine.ClaimChange{{MessageType: "greet", Limit: 1 + l.random.IntN(4)}}
	}
	return g
}

// retain takes a step, which forgets those that ended first.
func (l *owners) retain(t *testing.T, s *Store, disk *faultvfs.Disk) {
	t.Helper()
	const oldest = "SELECT coalesce(min(finished), 0) FROM message WHERE state = 6"
	before, err := s.writer.integer("SELECT coalesce(max(finished), 0) FROM (SELECT finished FROM message WHERE state = 6 ORDER BY finished LIMIT 5)")
	if err != nil {
		t.Fatal(err)
	}
	if l.random.IntN(4) == 0 {
		disk.Fill(int64(l.random.IntN(20 << 10)))
	}
	done, err := s.Retain(t.Context(), engine.Retention{Succeeded: engine.Keep{Bytes: 1}}, l.now, 5)
	disk.Fill(-1)
	if err != nil && !errors.Is(err, engine.ErrStorageFull) {
		t.Fatal(err)
	}
	after, queryErr := s.writer.integer(oldest)
	if queryErr != nil || done.Messages == 5 && after != 0 && after < before {
		t.Fatalf("%d messages were forgotten, but not the first; %v", done.Messages, queryErr)
	}
	checkEnded(t, s)
}

func (l *owners) submission() *engine.SubmitChange {
	l.last++
	m := engine.StoredMessage{State: engine.StateQueued, Size: 100}
	binary.BigEndian.PutUint64(m.ID[:8], l.last)
	m.ID[15] = byte(l.random.IntN(256))
	m.MessageType, m.AcceptedAt, m.MessageData = "greet", l.now, make([]byte, l.random.IntN(4000))
	m.MessageBytes, m.ResponseNotification = len(m.MessageData), "request_1"
	if l.random.IntN(3) == 0 {
		m.Key = fmt.Sprint(l.random.IntN(5))
	}
	m.Priority = l.random.IntN(3) - 1
	if l.random.IntN(3) == 0 {
		m.ExpiresAt = l.now.Add(time.Duration(l.random.IntN(60)) * time.Second)
	}
	if l.random.IntN(3) == 0 {
		m.Origin = &engine.Origin{Traceparent: "00-1"}
	}
	return &engine.SubmitChange{Message: m, Claim: l.random.IntN(3) > 0}
}

func (l *owners) settle(h *claim) *engine.SettleChange {
	change := &engine.SettleChange{
		ID: idOf(h.seq, h.rest), Attempt: h.attempt, State: engine.StateSucceeded, StartedAt: l.now,
		FinishedAt: l.now.Add(-time.Duration(l.random.IntN(3)) * time.Second),
	}
	switch l.random.IntN(6) {
	case 2:
		change.State, change.Error = engine.StateFailed, &engine.Error{Message: "no"}
		l.failed = append(l.failed, change)
	case 0:
		change.State, change.Unstarted = engine.StateQueued, l.random.IntN(2) == 0
	case 1:
		change.State, change.DueAt = engine.StateRetrying, l.now.Add(5*time.Second)
	}
	return change
}

// checkLedger compares the ledger with what the rows say.
func checkLedger(t *testing.T, s *Store) {
	t.Helper()
	read, err := readLedger(s.writer)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := inOrder(&s.ledger), inOrder(&read); !slices.Equal(got, want) {
		t.Fatalf("the ledger has\n%q\nand the disk\n%q", got, want)
	}
	running := 0
	for _, m := range s.types.byName {
		running += m.counts.Running
	}
	rows, err := s.writer.integer("SELECT count(*) FROM claim")
	if err != nil || running != len(s.ledger.claims) || int(rows) > running {
		t.Fatalf("%d messages run, %d are claimed, in %d rows; %v", running, len(s.ledger.claims), rows, err)
	}
}

// checkWaiting compares the tables of what waits with the messages.
func checkWaiting(t *testing.T, s *Store) {
	t.Helper()
	for table, want := range map[string]string{
		"ready":   "SELECT type, -priority, place, seq FROM message WHERE state = 4",
		"blocked": "SELECT type, key, place, seq FROM message WHERE state = 3",
		"wake": `SELECT min(ifnull(due, expires), ifnull(expires, due)), seq FROM message
			WHERE state <= 4 AND (due IS NOT NULL OR expires IS NOT NULL)`,
	} {
		for _, sql := range []string{
			"SELECT count(*) FROM (" + want + " EXCEPT SELECT * FROM " + table + ")",
			"SELECT count(*) FROM (SELECT * FROM " + table + " EXCEPT " + want + ")",
		} {
			if wrong, err := s.writer.integer(sql); err != nil || wrong != 0 {
				t.Fatalf("%d rows: %s; %v", wrong, sql, err)
			}
		}
	}
}

// checkSaved: what has a checkpoint says so, and has not ended.
func checkSaved(t *testing.T, s *Store) {
	t.Helper()
	const wrong = `SELECT (SELECT count(*) FROM message WHERE saved AND (state > 5 OR seq NOT IN (SELECT seq FROM checkpoint)))
		+ (SELECT count(*) FROM checkpoint WHERE seq NOT IN (SELECT seq FROM message WHERE saved))`
	if n, err := s.writer.integer(wrong); err != nil || n != 0 {
		t.Fatalf("%d checkpoints are wrong; %v", n, err)
	}
}

// checkEnded: every message that ended is in a row of its state, and the rows are in order.
func checkEnded(t *testing.T, s *Store) {
	t.Helper()
	rows, err := s.writer.prepare("SELECT state, at, seq, messages FROM ended")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.s.Close() }()
	found := make(map[string]bool)
	for rows.with(); rows.next(); {
		state, last := rows.column(), end{}
		first := end{rows.column(), rows.column()}
		for text := rows.bytesColumn(); len(text) > 0; text = text[endSize:] {
			e := end{int64(binary.BigEndian.Uint64(text)), int64(binary.BigEndian.Uint64(text[8:]))}
			if last == (end{}) && e != first || last.after(e) {
				t.Fatalf("after %v comes %v in the row of %v", last, e, first)
			}
			found[fmt.Sprint(state, e)], last = true, e
		}
	}
	messages, err := s.writer.prepare("SELECT state, finished, seq FROM message WHERE state > 5")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = messages.s.Close() }()
	for messages.with(); messages.next(); {
		state, e := messages.column(), end{messages.column(), messages.column()}
		if !found[fmt.Sprint(state, e)] {
			t.Fatalf("%d ended at %d in %d, and is not found", e.seq, e.at, state)
		}
	}
	if err := errors.Join(rows.done(), messages.done()); err != nil {
		t.Fatal(err)
	}
}

func inOrder(l *ledger) (all []string) {
	for _, h := range l.claims {
		c := *h
		c.row = nil
		all = append(all, fmt.Sprintf("%+v in %+v", c, *h.row))
	}
	slices.Sort(all)
	return all
}
