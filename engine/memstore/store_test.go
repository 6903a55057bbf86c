package memstore_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/activemessage/activemessage/engine"
	"github.com/activemessage/activemessage/engine/memstore"
	"github.com/activemessage/activemessage/engine/storetest"
)

func TestStore(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(*testing.T) engine.Store { return memstore.New() })
}

func Example() {
	store := memstore.New()
	group := &engine.Group{
		Owner: 1,
		Now:   time.Now(),
		Submits: []*engine.SubmitChange{{Message: engine.StoredMessage{
			Message: engine.Message{ID: engine.ID{1}, MessageType: "greet"},
			State:   engine.StateQueued,
		}}},
		Claims: []*engine.ClaimChange{{MessageType: "greet", Limit: 10}},
	}
	err := store.Commit(context.Background(), group)
	fmt.Println(len(group.Claims[0].Messages), group.Counts["greet"].Running, err)
	// Output: 1 1 <nil>
}

// TestBubble shows that nothing parks the clock of a bubble.
func TestBubble(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New()
		commit := func(g *engine.Group) *engine.Group {
			g.Owner, g.Now = 1, time.Now()
			if err := store.Commit(t.Context(), g); err != nil {
				t.Error(err)
			}
			return g
		}
		due := time.Now().Add(24 * time.Hour)
		for n := range byte(10) {
			go commit(&engine.Group{Submits: []*engine.SubmitChange{{Message: engine.StoredMessage{
				Message: engine.Message{ID: engine.ID{n}, MessageType: "t"}, State: engine.StateScheduled, DueAt: due,
			}}}})
		}
		synctest.Wait()
		time.Sleep(time.Until(commit(&engine.Group{}).NextDue))
		g := commit(&engine.Group{Due: 100, Claims: []*engine.ClaimChange{{MessageType: "t", Limit: 100}}})
		if len(g.Claims[0].Messages) != 10 {
			t.Errorf("%d of 10 messages were due", len(g.Claims[0].Messages))
		}
	})
}

// BenchmarkCommit shows that a change costs the same whatever else is there.
func BenchmarkCommit(b *testing.B) {
	for _, there := range []int{100, 100_000} {
		b.Run(fmt.Sprintf("%d waiting", there), func(b *testing.B) {
			store := memstore.New()
			sequence := uint32(0)
			commit := func(claim bool) *engine.Group {
				sequence++
				id := engine.ID{byte(sequence >> 24), byte(sequence >> 16), byte(sequence >> 8), byte(sequence)}
				g := &engine.Group{Owner: 1, Now: time.Unix(int64(sequence), 0)}
				g.Submits = []*engine.SubmitChange{{Message: engine.StoredMessage{
					Message: engine.Message{ID: id, MessageType: "t", Key: fmt.Sprint(sequence % 7), ResponseNotification: "r"},
					State:   engine.StateQueued, ExpiresAt: g.Now.Add(time.Hour * 1000),
				}}}
				if claim {
					g.Claims = []*engine.ClaimChange{{MessageType: "t", Limit: 1}}
				}
				if err := store.Commit(b.Context(), g); err != nil {
					b.Fatal(err)
				}
				return g
			}
			for range there {
				commit(false)
			}
			for b.Loop() {
				m := commit(true).Claims[0].Messages[0]
				settle := &engine.SettleChange{ID: m.ID, Attempt: 1, State: engine.StateSucceeded, FinishedAt: time.Unix(int64(sequence), 0)}
				if err := store.Commit(b.Context(), &engine.Group{Owner: 1, Now: settle.FinishedAt, Settles: []*engine.SettleChange{settle}}); err != nil || settle.Err != nil {
					b.Fatal(err, settle.Err)
				}
			}
		})
	}
}
