package ws

import (
	"bufio"
	"context"
	"errors"
	"io"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/coder/websocket"

	"github.com/activemessage/activemessage/engine"
	"github.com/activemessage/activemessage/engine/remote"
	"github.com/activemessage/activemessage/internal/wire"
)

// The codes with which a worker's connection is closed, beside those of RFC 6455.
const (
	// StatusWorkDead is the registered code for a timeout: nothing was heard for three beats.
	StatusWorkDead websocket.StatusCode = 3008
	// StatusWorkReplaced says that another connection of the instance took over.
	StatusWorkReplaced websocket.StatusCode = 4001
)

const (
	// maxBacklog is how many answers may wait for a worker that does not read; it is not
	// read from then.
	maxBacklog = 4096
	// keptBuffer is how large a buffer may be that is kept for the next frame.
	keptBuffer = 64 << 10
	// maxReason bounds a close frame's reason, in bytes (RFC 6455, section 5.5).
	maxReason = 123
)

// workConnection is one worker's WebSocket. It has a goroutine that reads, one that waits
// for what there is to tell, and another while its socket is full.
type workConnection struct {
	work *Work

	ws     *websocket.Conn // set by start
	socket *socket         // set by start
	reader *bufio.Reader   // set by start; ws reads from it

	frame []byte // run's alone

	// ctx ends with the connection, or with Shutdown's time.
	ctx    context.Context
	cancel context.CancelFunc
	// live is closed by start, greeted when there is a session, gone when run has ended.
	live, greeted, gone chan struct{}
	// room is sent to when the socket has taken all; capacity 1, never closed.
	room chan struct{}
	// session is set before greeted is closed.
	session *remote.Session

	mu sync.Mutex
	// All below is guarded by mu, which also makes writing one turn at a time.
	out     remote.Out
	buffer  []byte // frames
	payload []byte // of one
	welcome []byte // until it is written
	slow    bool   // writeSlowly runs
	closing bool   // the library reads for its close handshake from now on
	aborted bool   // before start: the socket is to be closed at once
}

func newWorkConnection(s *Work) *workConnection {
	c := &workConnection{
		work: s, live: make(chan struct{}), greeted: make(chan struct{}), gone: make(chan struct{}), room: make(chan struct{}, 1),
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c
}

// start makes the connection live. The caller then runs run.
func (c *workConnection) start(conn *websocket.Conn, h *hijacker) {
	h.socket.blocked = c.writeInOwnTime
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ws, c.socket, c.reader = conn, h.socket, h.reader
	if c.aborted {
		_ = c.socket.Close()
	}
	close(c.live)
}

// run is the connection's goroutine: it serves the worker's frames until the connection ends.
func (c *workConnection) run() {
	defer c.work.goroutines.Done() // added by admit
	defer c.work.remove(c)
	defer close(c.gone)
	var pumping sync.WaitGroup
	pumping.Go(c.pump)
	defer pumping.Wait()
	defer c.cancel()
	defer func() { _ = c.ws.CloseNow() }()
	if !c.greet() {
		return
	}
	defer c.session.Close()
	for {
		data, ok := c.read()
		if !ok {
			return
		}
		if err := c.serve(data); err != nil {
			c.malformed(err)
			return
		}
		if !c.hasNext() {
			c.flush()
			c.awaitRoom()
		}
	}
}

// greet serves the hello, which is the first frame.
func (c *workConnection) greet() bool {
	data, ok := c.read()
	if !ok {
		return false
	}
	f, err := wire.DecodeWorkFrame(data)
	if err == nil && f.Op != wire.OpHello {
		err = wire.NewProblem("invalid_work", "the first frame has to be a hello")
	}
	if err != nil {
		c.malformed(err)
		return false
	}
	session, err := c.work.workers.Open(c.ctx, f.Hello)
	if err != nil {
		c.refuse(err)
		return false
	}
	cfg := c.work.workers.Config()
	c.mu.Lock()
	c.session = session
	c.welcome = appendFrame(nil, wire.AppendWelcome(nil, session.ID(), &cfg, c.work.cfg.ReadLimit))
	c.mu.Unlock()
	close(c.greeted)
	c.flush()
	return true
}

// read reads a text frame into memory that is used again by the next read.
func (c *workConnection) read() (data []byte, ok bool) {
	kind, r, err := c.ws.Reader(context.Background())
	if err != nil {
		c.work.debug("closed", err)
		return nil, false
	}
	if kind != websocket.MessageText {
		c.work.workers.Malformed()
		c.close(websocket.StatusUnsupportedData, "frames here are text")
		return nil, false
	}
	if cap(c.frame) > keptBuffer || c.frame == nil {
		c.frame = make([]byte, 0, connectionBuffer)
	}
	b := c.frame[:0]
	for {
		n, err := r.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if err != nil {
			c.frame = b
			return b, errors.Is(err, io.EOF)
		}
		if c.session != nil {
			c.session.Receiving()
		}
		if len(b) == cap(b) {
			b = append(b, 0)[:len(b)]
		}
	}
}

// serve does what a frame says. The error is a *wire.Problem or a *remote.RefusedError.
func (c *workConnection) serve(data []byte) error {
	f, err := wire.DecodeWorkFrame(data)
	if err != nil {
		return err
	}
	s := c.session
	switch f.Op {
	case wire.OpAck:
		s.Ack(f.Lease)
	case wire.OpDone:
		s.Settle(f.Lease, engine.Result{Data: f.Data, ContentType: f.ContentType}, nil)
	case wire.OpFail:
		s.Settle(f.Lease, engine.Result{}, f.Failure)
	case wire.OpBeat:
		return s.Beat(f.Held, f.Window)
	case wire.OpProgress:
		s.Progress(f.Lease, f.Progress.Fraction, f.Progress.Note)
	case wire.OpSave:
		if err := s.Save(f.Lease, f.Data); errors.Is(err, engine.ErrTooLarge) {
			return wire.NewProblem("invalid_work", err.Error())
		}
	case wire.OpDrain:
		s.Drain()
	case wire.OpHello:
		return wire.NewProblem("invalid_work", "a hello is the first frame, and there is one")
	default:
		s.Heard() // of a newer protocol
	}
	return nil
}

// malformed counts what the worker sent, and closes the connection for it.
func (c *workConnection) malformed(err error) {
	c.work.workers.Malformed()
	c.refuse(err)
}

// refuse closes the connection for an error.
func (c *workConnection) refuse(err error) {
	problem := wire.ProblemFor(err)
	code := websocket.StatusPolicyViolation
	switch problem.Code {
	case "malformed_json":
		code = websocket.StatusInvalidFramePayloadData
	case "server_full":
		code = websocket.StatusTryAgainLater
	case "draining":
		code = websocket.StatusServiceRestart
	case "replaced":
		code = StatusWorkReplaced
	case "internal_error":
		code = websocket.StatusInternalError
	}
	c.close(code, problem.Detail)
}

// close closes the connection, after what is ready for it.
func (c *workConnection) close(code websocket.StatusCode, reason string) {
	c.flush()
	c.mu.Lock()
	c.closing = true
	c.mu.Unlock()
	_ = c.ws.Close(code, cutReason(reason))
}

// cutReason makes a reason fit into a close frame.
func cutReason(reason string) string {
	if len(reason) <= maxReason {
		return reason
	}
	end := maxReason
	for !utf8.RuneStart(reason[end]) {
		end--
	}
	return reason[:end]
}

// pump is the goroutine that tells the worker what there is, and closes when the session is
// over.
func (c *workConnection) pump() {
	patience := time.NewTimer(3 * c.work.workers.Config().Beat)
	defer patience.Stop()
	select {
	case <-c.greeted:
	case <-patience.C:
		c.close(StatusWorkDead, "no hello came")
		return
	case <-c.ctx.Done():
		return
	}
	for {
		switch err := c.session.Wait(c.ctx); {
		case err == nil:
			c.flush()
		case errors.Is(err, remote.ErrReplaced):
			c.refuse(err)
			return
		case errors.Is(err, remote.ErrDead):
			c.close(StatusWorkDead, err.Error()+": connect again")
			return
		case errors.Is(err, remote.ErrClosed):
			c.close(websocket.StatusServiceRestart, "the server stops: connect again")
			return
		default:
			return
		}
	}
}

// finish closes the connection at shutdown, some time within the spread, after its worker
// was told what was settled.
func (c *workConnection) finish(ctx context.Context, delay time.Duration) {
	spread, stopSpread := context.WithTimeout(context.Background(), delay)
	defer stopSpread()
	stop := context.AfterFunc(ctx, c.abort)
	defer stop()
	for _, wait := range []<-chan struct{}{c.live, spread.Done()} {
		select {
		case <-wait:
		case <-c.gone:
			return
		case <-ctx.Done():
			c.abort()
			return
		}
	}
	c.mu.Lock()
	session := c.session
	c.mu.Unlock()
	if session != nil {
		session.Confirmed(ctx)
		for c.flush() {
			select {
			case <-c.room:
			case <-c.gone:
				return
			case <-ctx.Done():
				return
			}
		}
	}
	c.close(websocket.StatusServiceRestart, "the server stops: connect again")
}

// abort ends the connection without a word.
func (c *workConnection) abort() {
	c.cancel()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.aborted = true
	if c.socket != nil {
		_ = c.socket.Close()
	}
}

// hasNext reports whether the worker's next frame is here, so that its answer may share a
// write with those before.
func (c *workConnection) hasNext() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.closing && holdsText(c.reader, c.socket.ahead)
}
