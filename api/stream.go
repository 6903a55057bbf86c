package api

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"runtime"
	"strconv"
	"time"

	"github.com/activemessage/activemessage/engine"
	"github.com/activemessage/activemessage/internal/wire"
)

// The events of a stream (WHATWG HTML, section 9.2). A notification has no name of
// its own, so that EventSource.onmessage gets it.
const (
	eventProgress = "event: progress\ndata: "
	eventGap      = "event: gap\n"
	eventDraining = "event: draining\ndata: {}\n\n"
)

// retryMin and retrySpread are after what time a client comes back, at random, so
// that those who were cut together do not come back together.
const (
	retryMin    = time.Second
	retrySpread = 2 * time.Second
)

// streamItems is how many notifications a stream is given in one turn; the engine
// bounds their bytes.
const streamItems = 64

// streamBatch is what one turn of a stream needs. An idle stream has none.
type streamBatch struct {
	notifications []engine.Notification
	out           []byte
}

func newStreamBatch() *streamBatch {
	return &streamBatch{notifications: make([]engine.Notification, 0, streamItems)}
}

// encodeEvent is a notification as an event. Its id is the cursor to go on from, on
// any transport.
func encodeEvent(n *engine.Notification) []byte {
	b := appendEventID(make([]byte, 0, 448), n.Cursor())
	b = wire.AppendNotification(append(b, "data: "...), n)
	return append(b, '\n', '\n')
}

func appendEventID(b []byte, cursor engine.Cursor) []byte {
	b, _ = cursor.AppendText(append(b, "id: "...))
	return append(b, '\n')
}

// stream is one open event stream; its goroutine is the request's.
type stream struct {
	server  *server
	w       http.ResponseWriter
	control *http.ResponseController
	sub     *engine.Subscription
	// ready has room for one wake; sent to by the subscription, never closed.
	ready chan struct{}
}

// streamNotifications answers with an event stream that ends when the client goes,
// or when the server has drained and everything was told. A server that drains
// still accepts one: an EventSource that is refused would never come back.
func (s *server) streamNotifications(w http.ResponseWriter, r *http.Request) error {
	sub, err := s.subscribe(r)
	if err != nil {
		return err
	}
	defer sub.Close()
	if s.streams.Add(1) > int64(s.cfg.MaxStreams) {
		s.streams.Add(-1)
		p := wire.NewProblem("server_full", fmt.Sprintf("%d event streams are open, more are not allowed: try again later", s.cfg.MaxStreams))
		p.RetryAfter = s.cfg.Heartbeat
		return p
	}
	defer s.streams.Add(-1)

	setHeader(w, "Content-Type", typeEventStream)
	setHeader(w, "Cache-Control", "no-store")
	setHeader(w, "X-Accel-Buffering", "no")
	w.WriteHeader(http.StatusOK)
	t := &stream{server: s, w: w, control: http.NewResponseController(w), sub: sub, ready: make(chan struct{}, 1)}
	sub.OnReady(func() {
		select {
		case t.ready <- struct{}{}:
		default:
		}
	})
	t.run(r)
	_ = t.control.SetWriteDeadline(time.Time{}) // for the connection's next request
	return nil
}

// subscribe reads what to follow from the query, and from where: Last-Event-ID is
// what an EventSource that comes back has seen, since where it first began.
func (s *server) subscribe(r *http.Request) (*engine.Subscription, error) {
	query, err := wire.ParseQuery(r.URL)
	if err != nil {
		return nil, err
	}
	if query.Has("limit") {
		return nil, wire.BadParameter("limit", "is for pages: send Accept: application/json")
	}
	selectors, since, err := wire.ReadSelectors(query)
	if err != nil {
		return nil, err
	}
	if last := r.Header.Get("Last-Event-ID"); last != "" {
		if since, err = engine.ParseCursor(last); err != nil {
			return nil, wire.NewProblem("malformed_request", fmt.Sprintf("the Last-Event-ID %.40q is not one this server gave", last))
		}
	}
	return wire.SubscribeAll(s.engine, selectors, since)
}

// run tells what there is until there is nothing more to tell or nobody to tell.
func (t *stream) run(r *http.Request) {
	retry := retryMin + rand.N(retrySpread)
	hello := append(strconv.AppendInt([]byte("retry: "), retry.Milliseconds(), 10), '\n')
	if !t.write(append(appendEventID(hello, t.sub.Cursor()), '\n')) {
		return
	}
	heartbeat := time.NewTicker(t.server.cfg.Heartbeat)
	defer heartbeat.Stop()
	draining := t.server.engine.Draining()
	for {
		// Whatever gets ready meanwhile goes out in the same write.
		runtime.Gosched()
		if !t.flush() {
			return
		}
		select {
		case <-t.ready:
		case <-heartbeat.C:
			// The position moves over what was not for this client, too.
			if !t.write(append(appendEventID([]byte(": nothing new\n"), t.sub.Cursor()), '\n')) {
				return
			}
		case <-draining:
			draining = nil
			if !t.write([]byte(eventDraining)) {
				return
			}
		case <-r.Context().Done():
			return
		}
	}
}

// flush writes all that can be read; it reports whether the stream goes on.
func (t *stream) flush() bool {
	b := t.server.batches.Get().(*streamBatch)
	defer t.server.batches.Put(b)
	for {
		d, err := t.sub.Poll(b.notifications)
		if err != nil {
			return false
		}
		if d.Empty() {
			return true
		}
		b.out = t.server.appendDelivery(b.out[:0], &d)
		clear(d.Notifications)
		if !t.write(b.out) {
			return false
		}
	}
}

func (s *server) appendDelivery(b []byte, d *engine.Delivery) []byte {
	if d.Gap != nil {
		b = appendEventID(append(b, eventGap...), d.Gap.Cursor)
		b = wire.AppendGap(append(b, "data: "...), d.Gap)
		b = append(b, '\n', '\n')
	}
	for i := range d.Notifications {
		b = append(b, s.events.Get(&d.Notifications[i])...)
	}
	for i := range d.Progress {
		b = wire.AppendProgress(append(b, eventProgress...), &d.Progress[i])
		b = append(b, '\n', '\n')
	}
	return b
}

// write sends b at once, within the timeout.
func (t *stream) write(b []byte) bool {
	_ = t.control.SetWriteDeadline(time.Now().Add(t.server.cfg.WriteTimeout)) // not every writer has one
	if _, err := t.w.Write(b); err != nil {
		return false
	}
	return t.control.Flush() == nil
}
