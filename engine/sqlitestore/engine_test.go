package sqlitestore_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/activemessage/activemessage/engine"
	"github.com/activemessage/activemessage/engine/sqlitestore"
	"github.com/activemessage/activemessage/engine/sqlitestore/faultvfs"
)

// witness knows what an engine has promised: what Submit returned for, and what
// subscribers were told.
type witness struct {
	mu       sync.Mutex
	accepted map[engine.ID]string // response notification
	told     []string             // by number, from 1 on
	next     int
}

// submit submits until the engine refuses.
func (w *witness) submit(e *engine.Engine) {
	for {
		w.mu.Lock()
		w.next++
		prefix := fmt.Sprintf("request_%d", w.next)
		w.mu.Unlock()
		receipt, err := e.Submit(context.Background(), engine.Submission{
			MessageType: greet, ResponseNotification: prefix, MessageData: make([]byte, rand.IntN(5000)),
		})
		if err != nil {
			return
		}
		w.mu.Lock()
		w.accepted[receipt.ID] = prefix
		w.mu.Unlock()
	}
}

// follow reads the log from its beginning until it fails, or until there is no more.
// What was told before must be there, as it was.
func (w *witness) follow(e *engine.Engine, toTheEnd bool) error {
	sub, err := e.Subscribe(engine.Selector{ResponseNotification: "*"}, engine.CursorAt(0))
	if err != nil {
		return err
	}
	defer sub.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	number := uint64(0)
	for end := e.Cursor().Number; !toTheEnd || number < end; {
		d, err := sub.Next(ctx)
		if err != nil {
			if toTheEnd {
				return fmt.Errorf("after %d of %d: %w", number, end, err)
			}
			return nil
		}
		if d.Gap != nil {
			return fmt.Errorf("a gap: %+v", *d.Gap)
		}
		for i := range d.Notifications {
			n := &d.Notifications[i]
			number++
			switch {
			case n.Number != number:
				return fmt.Errorf("number %d comes after %d", n.Number, number-1)
			case int(number) > len(w.told):
				w.told = append(w.told, n.String())
			case w.told[number-1] != n.String():
				return fmt.Errorf("%d was %s, and is now %s", number, w.told[number-1], n)
			}
		}
	}
	if int(number) < len(w.told) {
		return fmt.Errorf("%d were told, and %d are left", len(w.told), number)
	}
	return nil
}

// outage runs an engine under load until the power goes, and says what was wrong.
func (w *witness) outage(t *testing.T, disk *faultvfs.Disk, cfg sqlitestore.Config) error {
	t.Helper()
	store, err := sqlitestore.Open(t.Context(), cfg)
	if err != nil {
		return err
	}
	defer func() { _ = store.Close() }() // there is no power
	e, err := engine.New(engine.Config{Store: store, Concurrency: 4})
	if err != nil {
		return err
	}
	if err := e.Register(greet, engine.HandlerFunc(hello), engine.Policy{MaxLost: 1000}); err != nil {
		return err
	}
	var following error
	var working sync.WaitGroup
	working.Go(func() { following = w.follow(e, false) })
	disk.PowerOffIn(rand.IntN(150) + 10)
	for range 4 {
		working.Go(func() { w.submit(e) })
	}
	<-e.Failed()
	_ = e.Drain(t.Context()) // its error is that the store has failed
	working.Wait()
	return following
}

func hello(context.Context, *engine.Message) (engine.Result, error) {
	return engine.Result{Data: []byte("hello")}, nil
}

// outages lets the power fail again and again under an engine, and says what was wrong
// first.
func outages(t *testing.T, rounds int, unsafe bool) error {
	t.Helper()
	name := fmt.Sprintf("engine-%t", unsafe)
	disk := faultvfs.Register(name)
	defer disk.Close()
	w := &witness{accepted: make(map[engine.ID]string)}
	cfg := sqlitestore.Config{Dir: t.TempDir(), VFS: name, MinFree: -1, Unsafe: unsafe}
	for range rounds {
		if err := w.outage(t, disk, cfg); err != nil {
			return err
		}
		var torn *rand.Rand
		if rand.IntN(2) == 0 {
			torn = rand.New(rand.NewPCG(rand.Uint64(), 0))
		}
		if err := disk.Recover(torn); err != nil {
			return err
		}
	}
	return w.settle(t, cfg)
}

// settle lets an engine end what is left, and looks for all that was accepted.
func (w *witness) settle(t *testing.T, cfg sqlitestore.Config) error {
	t.Helper()
	store, err := sqlitestore.Open(t.Context(), cfg)
	if err != nil {
		return err
	}
	defer shut(t, store)
	e, err := engine.New(engine.Config{Store: store})
	if err != nil {
		return err
	}
	defer func() { _ = e.Drain(t.Context()) }()
	if err := e.Register(greet, engine.HandlerFunc(hello), engine.Policy{MaxLost: 1000}); err != nil {
		return err
	}
	for id := range w.accepted {
		if _, err := e.Wait(t.Context(), id); err != nil {
			return fmt.Errorf("%s was accepted: %w", w.accepted[id], err)
		}
	}
	if err := w.follow(e, true); err != nil {
		return err
	}
	times := make(map[string]int)
	for _, text := range w.told {
		times[text]++
	}
	for _, prefix := range w.accepted {
		if times[prefix+":ok"] != 1 {
			return fmt.Errorf("%s was told %d times", prefix, times[prefix+":ok"])
		}
	}
	t.Logf("%d messages were accepted", len(w.accepted))
	return nil
}

// A power cut takes all bytes with it that were not synced, or any of them. What Submit
// returned for is there after it, and what a subscriber was told stays true.
func TestAPowerCutTakesNothingBack(t *testing.T) {
	t.Parallel()
	if err := outages(t, 40, false); err != nil {
		t.Error(err)
	}
}

// Without syncs the same finds what is lost: the test above can fail.
func TestAPowerCutIsNoticed(t *testing.T) {
	t.Parallel()
	if err := outages(t, 40, true); err == nil {
		t.Error("nothing was lost although nothing was synced")
	} else {
		t.Log(err)
	}
}
