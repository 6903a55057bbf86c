package engine_test

import (
	"errors"
	"os"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/activemessage/activemessage/engine"
	"github.com/activemessage/activemessage/engine/memstore"
)

// What has ended is forgotten when it is too old or too much, by itself; who asks for it
// later is told so.
func TestRetention(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := start(t, engine.Config{Store: memstore.New(), LogLimit: 1, Retention: engine.Retention{
			Succeeded: engine.Keep{Age: time.Hour, Bytes: 5000},
			Failed:    engine.Keep{Age: 2 * time.Hour},
			Log:       engine.Keep{Age: time.Hour},
		}})
		register(t, e, "work", engine.Policy{}, echo)
		register(t, e, "broken", engine.Policy{}, failing(99, errors.New("no")))
		sub := subscribe(t, e, "*", engine.Cursor{})
		work := submit(t, e, engine.Submission{MessageType: "work", ResponseNotification: "a"})
		broken := submit(t, e, engine.Submission{MessageType: "broken", ResponseNotification: "b"})
		read(t, sub, 2)
		time.Sleep(time.Hour + retentionLag)
		_, err := e.Get(work.ID)
		mustBe(t, err, engine.ErrNotFound)
		status(t, e, broken.ID)
		late := subscribe(t, e, "*", work.Cursor)
		if d, err := late.Next(t.Context()); err != nil || d.Gap == nil || d.Gap.From != 1 || d.Gap.To != 2 {
			t.Errorf("%+v, %v", d, err)
		}
		time.Sleep(time.Hour)
		_, err = e.Get(broken.ID)
		mustBe(t, err, engine.ErrNotFound)

		var ids []engine.ID
		for i := range 10 {
			ids = append(ids, submit(t, e, engine.Submission{MessageType: "work", MessageData: make([]byte, 1000), ResponseNotification: name(i)}).ID)
		}
		read(t, sub, 10)
		time.Sleep(retentionLag)
		_, err = e.Get(ids[0])
		mustBe(t, err, engine.ErrNotFound)
		status(t, e, ids[9])
		if stats := e.Stats().Store; stats.Forgotten < 3 || stats.ForgottenNotifications != 2 {
			t.Errorf("%+v", stats)
		}
	})
}

// Retention keeps its bounds while messages end without a pause.
func TestRetentionUnderLoad(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := start(t, engine.Config{Store: memstore.New(), Retention: engine.Retention{Succeeded: engine.Keep{Bytes: 5000}}})
		register(t, e, "work", engine.Policy{}, echo)
		for range 1000 {
			submit(t, e, engine.Submission{MessageType: "work"})
			time.Sleep(10 * time.Millisecond)
		}
		if page, err := e.List(engine.ListOptions{Limit: 1000}); err != nil || len(page.Messages) > 300 {
			t.Errorf("%d of 1000 messages are kept, %v", len(page.Messages), err)
		}
	})
}

// retentionLag is how long what is to be forgotten may be there still.
const retentionLag = 2 * time.Second

// What waits is in the store, not in memory.
func TestWhatWaitsIsNotInMemory(t *testing.T) {
	if os.Getenv(withStore) != "" {
		t.Skip("it has a store of its own")
	}
	const messages, size = 2000, 64 << 10
	e := start(t, engine.Config{Store: openSQLite(t)})
	register(t, e, "work", engine.Policy{Paused: true}, echo)
	before := heapInUse()
	for range messages / 100 {
		for _, answer := range e.SubmitAll(t.Context(), slices.Repeat([]engine.Submission{{MessageType: "work", MessageData: make([]byte, size)}}, 100)) {
			if answer.Err != nil {
				t.Fatal(answer.Err)
			}
		}
	}
	if grown := heapInUse() - before; grown > messages*size/8 {
		t.Errorf("%d MiB wait, and the heap has grown by %d MiB", messages*size>>20, grown>>20)
	}
	if stats := e.Stats(); stats.Queued != messages || stats.QueuedBytes < messages*size {
		t.Errorf("%+v", stats)
	}
}

func heapInUse() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
