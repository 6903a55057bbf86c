package ws

import (
	"bufio"
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"github.com/activemessage/activemessage/engine"
	"github.com/activemessage/activemessage/internal/wire"
)

// maxAnswers bounds the bytes of answers that wait for a client; while it is
// reached, nothing more is read from that client.
const maxAnswers = 64 << 10

// connection is one WebSocket: a goroutine that reads, and a turn on a flusher's
// list whenever there is something to write.
type connection struct {
	server   *Server
	flusher  *flusher
	protocol string
	// frames has a frame for each notification; nil for ProtocolJSON, whose frames
	// have many. With it, the client only receives.
	frames *wire.Cache

	ws     *websocket.Conn // set by start
	socket *socket         // set by start
	reader *bufio.Reader   // set by start; ws reads from it

	// refs and submissions are of submit frames that were read and wait for those right
	// behind them. They are read's alone.
	refs        []string
	submissions []engine.Submission

	// listed: the connection is on its flusher's list, once.
	listed atomic.Bool
	// room is sent to when answers have been written; capacity 1, never closed.
	room chan struct{}
	// live is closed by start.
	live chan struct{}
	// drained is closed when everything there will ever be was written.
	drained chan struct{}
	// gone is closed when the connection is over.
	gone chan struct{}

	mu sync.Mutex
	// All below is guarded by mu, which also makes writing one turn at a time.
	subscription *engine.Subscription // nil until the first subscribe
	answers      []byte               // frames
	submitting   bool                 // notifications wait for a receipt
	announce     bool                 // the draining frame is to be written
	slow         bool                 // writeSlowly runs
	over         bool                 // the subscription has no more
	ended        bool                 // drained is closed
	closed       bool
	closing      bool // finish reads from now on
	aborted      bool // before start: the socket is to be closed at once
}

func newConnection(s *Server, protocol string) *connection {
	return &connection{
		server:   s,
		flusher:  s.flushers[int(s.next.Add(1))%len(s.flushers)],
		protocol: protocol,
		frames:   s.frames[protocol],
		room:     make(chan struct{}, 1),
		live:     make(chan struct{}),
		drained:  make(chan struct{}),
		gone:     make(chan struct{}),
	}
}

// subscribe adds a selector and returns the position.
func (c *connection) subscribe(sel engine.Selector, since engine.Cursor) (engine.Cursor, error) {
	c.mu.Lock()
	sub := c.subscription
	c.mu.Unlock()
	if sub != nil {
		err := sub.Add(sel, since)
		return sub.Cursor(), err
	}
	sub, err := c.server.engine.Subscribe(sel, since)
	if err != nil {
		return engine.Cursor{}, err
	}
	cursor := sub.Cursor()
	if !c.follow(sub) {
		return cursor, engine.ErrClosed
	}
	return cursor, nil
}

// follow takes the subscription over; it reports false, and closes it, if the
// connection is over.
func (c *connection) follow(sub *engine.Subscription) bool {
	sub.OnReady(c.list)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		sub.Close()
		return false
	}
	c.subscription = sub
	return true
}

// start makes the connection live. The caller then runs read.
func (c *connection) start(conn *websocket.Conn, socket *socket, reader *bufio.Reader) {
	socket.blocked = c.writeInOwnTime
	c.mu.Lock()
	c.ws, c.socket, c.reader = conn, socket, reader
	if c.aborted {
		c.cut()
	}
	close(c.live)
	if c.frames == nil {
		c.answers = append(c.answers, c.welcome()...)
	}
	c.mu.Unlock()
	c.list()
}

func (c *connection) welcome() []byte {
	cursor := c.server.engine.Cursor()
	if c.subscription != nil {
		cursor = c.subscription.Cursor()
	}
	return appendFrame(nil, []byte(`{"op":"welcome","protocol":"`+ProtocolJSON+`","cursor":"`+cursor.String()+`"}`))
}

// list puts the connection on its flusher's list. It does not block and may be
// called with any lock held.
func (c *connection) list() {
	if c.listed.CompareAndSwap(false, true) {
		c.flusher.push(c)
	}
}

// flush is the connection's turn: one batch of what there is, in one write that
// does not block.
func (c *connection) flush(b *batch) {
	c.listed.Store(false)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.slow || c.closed || c.socket == nil || c.socket.closing.Load() {
		return
	}
	out, more := c.gather(b)
	if len(out) == 0 {
		if c.over {
			c.end()
		}
		if more {
			c.list() // read, but nothing to write: the subscription has to be polled empty
		}
		return
	}
	full, err := c.socket.send(out)
	switch {
	case err != nil:
		c.cut()
	case full:
		c.startSlow()
	default:
		c.list() // there may be more
	}
}

// gather collects what is to be written now: answers, then notifications, unless
// those wait for the answer to a submit. It reports whether the subscription had
// something, which may have no form in the protocol. The caller holds mu.
func (c *connection) gather(b *batch) (out []byte, more bool) {
	b.out = b.out[:0]
	if len(c.answers) > 0 {
		b.out = append(b.out, c.answers...)
		c.answers = nil
		select {
		case c.room <- struct{}{}:
		default:
		}
	}
	if c.announce {
		c.announce = false
		b.out = appendFrame(b.out, []byte(`{"op":"draining"}`))
	}
	if c.subscription == nil || c.submitting {
		return b.out, false
	}
	d, err := c.subscription.Poll(b.notifications)
	if err != nil {
		c.over = true
		return b.out, false
	}
	if c.frames != nil {
		c.gatherFrames(b, &d)
	} else {
		c.gatherJSON(b, &d)
	}
	clear(d.Notifications)
	return b.out, !d.Empty()
}

func (c *connection) gatherFrames(b *batch, d *engine.Delivery) {
	switch {
	case d.Gap == nil:
	case c.protocol == ProtocolText:
		b.out = appendGapText(b.out, d.Gap)
	default:
		b.out = appendFrame(b.out, wire.AppendGapEvent(nil, d.Gap))
	}
	for i := range d.Notifications {
		b.out = append(b.out, c.frames.Get(&d.Notifications[i])...)
	}
}

func (c *connection) gatherJSON(b *batch, d *engine.Delivery) {
	if d.Gap != nil {
		b.out = appendGapJSON(b.out, d.Gap)
	}
	if n := len(d.Notifications); n > 0 {
		first, last := d.Notifications[0].Number, d.Notifications[n-1].Number
		consecutive := last-first == uint64(n-1)
		if shared := &b.frame; !consecutive || shared.first != first || shared.last != last || shared.cursor != d.Cursor {
			b.items = b.items[:0]
			for i := range d.Notifications {
				b.items = append(b.items, c.server.items.Get(&d.Notifications[i]))
			}
			shared.bytes = appendNotifications(shared.bytes[:0], d.Cursor, b.items)
			shared.first, shared.last, shared.cursor = first, last, d.Cursor
			if !consecutive {
				shared.first = 0 // names no run
			}
			clear(b.items)
		}
		b.out = append(b.out, b.frame.bytes...)
	}
	if len(d.Progress) > 0 {
		b.out = appendProgress(b.out, d.Progress)
	}
}

// writeInOwnTime gives the connection a goroutine to write what its socket does
// not take now, unless it has one.
func (c *connection) writeInOwnTime() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.slow && !c.closed {
		c.startSlow()
	}
}

func (c *connection) startSlow() {
	c.slow = true
	c.server.goroutines.Go(c.writeSlowly)
}

// writeSlowly writes until the connection has caught up with its subscription,
// then leaves it to the flusher again.
func (c *connection) writeSlowly() {
	b := newBatch()
	for {
		if err := c.socket.writeTail(); err != nil {
			c.mu.Lock()
			c.cut()
			c.mu.Unlock()
			return
		}
		c.mu.Lock()
		out, _ := c.gather(&b)
		if len(out) == 0 || c.closed || c.socket.closing.Load() {
			c.slow = false
			if c.over {
				c.end()
			}
			c.mu.Unlock()
			c.list() // what came between is the flusher's
			return
		}
		_, err := c.socket.send(out)
		if err != nil {
			c.cut()
		}
		c.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// cut ends the connection without a word: read then returns. The caller holds mu.
func (c *connection) cut() {
	c.slow = false
	_ = c.socket.Close()
}

// end tells Shutdown that nothing will follow. The caller holds mu.
func (c *connection) end() {
	if !c.ended {
		c.ended = true
		close(c.drained)
	}
}

// reply queues an answer, and waits while too many bytes of answers wait: a
// client that does not read is not read from.
func (c *connection) reply(payload []byte) {
	c.replyFrames(appendFrame(nil, payload))
}

func (c *connection) replyFrames(frames []byte) {
	c.mu.Lock()
	c.submitting = false
	c.answers = append(c.answers, frames...)
	waiting := len(c.answers)
	c.mu.Unlock()
	c.list()
	for waiting > maxAnswers {
		select {
		case <-c.room:
		case <-c.gone:
			return
		case <-c.server.stop:
			return
		}
		c.mu.Lock()
		waiting = len(c.answers)
		c.mu.Unlock()
	}
}

// beginSubmit keeps notifications back until the next reply: a receipt comes before
// its message's notification. The engine may take its time to accept a message, which
// the flusher, who has other connections too, must not wait for under mu.
func (c *connection) beginSubmit() {
	c.mu.Lock()
	c.submitting = true
	c.mu.Unlock()
}

// hasNext reports whether the client's next frame is here, so that read will not
// wait for it. Once finish reads too, nobody may look.
func (c *connection) hasNext() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.closing && holdsText(c.reader, c.socket.ahead)
}

// announceDraining queues the draining frame.
func (c *connection) announceDraining() {
	c.mu.Lock()
	c.announce = c.frames == nil && !c.closed
	c.mu.Unlock()
	c.list()
}

// ping pings the peer, or cuts it if it has been silent for too long.
func (c *connection) ping(now time.Time, interval time.Duration) {
	c.mu.Lock()
	socket := c.socket
	c.mu.Unlock()
	if socket == nil {
		return
	}
	if now.Sub(time.Unix(0, socket.heard.Load())) > interval*5/2 {
		c.mu.Lock()
		c.cut()
		c.mu.Unlock()
		return
	}
	_, err := socket.Write([]byte{opPing, 0})
	if err != nil {
		_ = socket.Close()
	}
}

// finish closes the connection at shutdown: after all was written, some time
// within the spread.
func (c *connection) finish(ctx context.Context, delay time.Duration) {
	c.mu.Lock()
	if c.subscription == nil {
		c.end()
	}
	c.mu.Unlock()
	c.list()
	spread, stopSpread := context.WithTimeout(context.Background(), delay)
	defer stopSpread()
	for _, wait := range []<-chan struct{}{c.live, c.drained, spread.Done()} {
		select {
		case <-wait:
		case <-c.gone:
			return
		case <-ctx.Done():
			c.abort()
			return
		}
	}
	stop := context.AfterFunc(ctx, c.abort)
	defer stop()
	c.mu.Lock()
	c.closing = true
	c.mu.Unlock()
	_ = c.ws.Close(websocket.StatusServiceRestart, "the server stops: connect again with your last cursor")
}

func (c *connection) abort() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.aborted = true
	if c.socket != nil {
		c.cut()
	}
}

// release frees what the connection holds. It may be called more than once.
func (c *connection) release() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	c.closed = true
	if c.subscription != nil {
		c.subscription.Close()
	}
	c.answers = nil
	close(c.gone)
}

// read is the connection's goroutine: it serves the client's frames until the
// connection ends, then frees it.
func (c *connection) read() {
	defer c.server.goroutines.Done() // added by admit
	defer c.release()
	defer c.server.remove(c)
	defer func() { _ = c.ws.CloseNow() }()
	for {
		kind, data, err := c.ws.Read(context.Background())
		if err != nil {
			if len(c.submissions) > 0 { // were read, only the frame behind them cannot be; nobody is there for the answers
				c.server.engine.SubmitAll(context.Background(), c.submissions)
			}
			c.logEnd(err)
			return
		}
		if kind != websocket.MessageText {
			c.refuse(websocket.StatusUnsupportedData, "frames here are text")
			return
		}
		if c.frames != nil {
			c.refuse(websocket.StatusUnsupportedData, "this protocol only receives: use "+ProtocolJSON+" to send")
			return
		}
		if !c.serve(data) {
			c.refuse(websocket.StatusInvalidFramePayloadData, "a frame has to be a JSON object in UTF-8")
			return
		}
	}
}

// refuse closes the connection for a frame, after the answers to those before it.
func (c *connection) refuse(code websocket.StatusCode, reason string) {
	c.mu.Lock()
	_, _ = c.socket.send(c.answers) // what is not taken now goes before the close frame
	c.answers = nil
	c.mu.Unlock()
	_ = c.ws.Close(code, reason)
}

func (c *connection) logEnd(err error) {
	if code := websocket.CloseStatus(err); code == websocket.StatusNormalClosure || code == websocket.StatusGoingAway {
		err = nil
	}
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	c.server.cfg.Logger.Debug("websocket closed", slog.Any("error", err))
}
