package ws

import (
	"runtime"
	"sync"

	"github.com/activemessage/activemessage/engine"
)

// batchItems is how many notifications a connection is given in one turn; the
// engine bounds their bytes.
const batchItems = 64

// flusher writes for the connections it is assigned: a goroutine, a list of those
// with something to read, and one set of buffers for all of them.
type flusher struct {
	// wake has room for one; sent to by push, never closed.
	wake chan struct{}

	mu    sync.Mutex
	ready []*connection // guarded by mu

	batch batch // run's alone
}

func newFlusher() *flusher {
	return &flusher{wake: make(chan struct{}, 1), batch: newBatch()}
}

// push appends a connection to the list. It does not block.
func (f *flusher) push(c *connection) {
	f.mu.Lock()
	f.ready = append(f.ready, c)
	first := len(f.ready) == 1
	f.mu.Unlock()
	if first {
		select {
		case f.wake <- struct{}{}:
		default:
		}
	}
}

// run is the flusher's goroutine, owned by the server. Before each round it
// yields once: whatever gets ready meanwhile goes out in the same write, so that
// batches grow with the load and no timer is needed.
func (f *flusher) run(stop <-chan struct{}) {
	var round []*connection
	for {
		select {
		case <-f.wake:
		case <-stop:
			return
		}
		for {
			runtime.Gosched()
			f.mu.Lock()
			round, f.ready = f.ready, round[:0]
			f.mu.Unlock()
			if len(round) == 0 {
				break
			}
			for i, c := range round {
				c.flush(&f.batch)
				round[i] = nil
			}
		}
	}
}

// batch is what one turn of a connection needs. It is reused from turn to turn.
type batch struct {
	notifications []engine.Notification
	items         [][]byte
	out           []byte
	frame         sharedFrame
}

func newBatch() batch { return batch{notifications: make([]engine.Notification, 0, batchItems)} }

// sharedFrame is the last notifications frame built: connections that are equally
// far, with a run of consecutive notifications to read, are sent the same bytes.
type sharedFrame struct {
	first, last uint64
	cursor      engine.Cursor
	bytes       []byte
}
