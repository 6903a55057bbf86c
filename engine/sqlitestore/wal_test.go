package sqlitestore_test

import (
	"math"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/activemessage/activemessage/engine"
	"github.com/activemessage/activemessage/engine/sqlitestore"
)

// However many read all the time, the write-ahead log begins anew now and then.
func TestReadersDoNotKeepTheLogFromEnding(t *testing.T) {
	t.Parallel()
	const checkpoint = 200
	dir := t.TempDir()
	s := open(t, sqlitestore.Config{Dir: dir, Unsafe: true, Checkpoint: checkpoint})
	n := 0
	submit := func(messages int) {
		g := &engine.Group{Owner: owner, Now: now()}
		for range messages {
			n++
			g.Submits = append(g.Submits, submission(n, func(c *engine.SubmitChange) { c.Message.MessageData = make([]byte, 1000) }))
		}
		commit(t, s, g)
	}
	for range 10 {
		submit(1000)
	}
	stop := make(chan struct{})
	var reading sync.WaitGroup
	for range 3 {
		reading.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if _, _, err := s.List(t.Context(), engine.ListOptions{Limit: 100, Before: math.MaxUint64, Key: "none"}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range 200 {
		submit(50)
	}
	close(stop)
	reading.Wait()
	info, err := os.Stat(filepath.Join(dir, "activemessage.db-wal"))
	if err != nil {
		t.Fatal(err)
	}
	if pages := info.Size() / 4096; pages > 10*checkpoint {
		t.Errorf("the write-ahead log has %d pages, and shall have about %d", pages, checkpoint)
	}
}

// A list is complete although it is read in steps, and a bound may be beyond what a row
// can hold.
func TestListInSteps(t *testing.T) {
	t.Parallel()
	s := open(t, sqlitestore.Config{Unsafe: true})
	const messages = 10_000
	g := &engine.Group{Owner: owner, Now: now()}
	for n := 1; n <= messages; n++ {
		g.Submits = append(g.Submits, submission(n, func(c *engine.SubmitChange) {
			if n == 1 || n == messages {
				c.Message.Key = "rare"
			}
		}))
	}
	commit(t, s, g)
	for name, o := range map[string]engine.ListOptions{
		"by key":           {Key: "rare"},
		"before year 9999": {Key: "rare", AcceptedBefore: time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)},
		"after year 1500":  {Key: "rare", AcceptedAfter: time.Date(1500, 1, 1, 0, 0, 0, 0, time.UTC)},
	} {
		o.Before, o.Limit = math.MaxUint64, 1
		first, next, err := s.List(t.Context(), o)
		if err != nil || len(first) != 1 || first[0].ID != id(messages) || next == 0 {
			t.Fatalf("%s: %v, %d, %v", name, first, next, err)
		}
		o.Before = next
		if second, _, err := s.List(t.Context(), o); err != nil || len(second) != 1 || second[0].ID != id(1) {
			t.Errorf("%s: the second page: %v, %v", name, second, err)
		}
	}
	all, before := 0, uint64(math.MaxUint64)
	for before != 0 {
		page, next, err := s.List(t.Context(), engine.ListOptions{Before: before, Limit: 999})
		if err != nil {
			t.Fatal(err)
		}
		all, before = all+len(page), next
	}
	if all != messages {
		t.Errorf("%d of %d messages", all, messages)
	}
}
