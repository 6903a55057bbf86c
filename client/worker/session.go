package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
)

const (
	// handshakeTimeout is for everything from the dial to the welcome.
	handshakeTimeout = 15 * time.Second
	// closeTimeout is for a close handshake.
	closeTimeout = 2 * time.Second
	// firstReadLimit bounds frames until the welcome says how large they get.
	firstReadLimit = 1 << 20
	// deadBeats is how many beats without a byte mean that the other side is gone.
	deadBeats = 3
	// maxSkew is how far the clocks may be apart before deadlines are corrected: the
	// server's Date has whole seconds.
	maxSkew = 2 * time.Second
)

// errMoved: the server drains, and has everything that this worker held.
var errMoved = errors.New("the server drains, and everything is settled")

// errOtherProtocol: what answers is no server of ours, or an old one.
var errOtherProtocol = errors.New("the server does not speak " + protocol)

// session is one connection, from its hello to its end. The goroutine that calls run
// reads; run owns another that writes and beats, and one that closes.
type session struct {
	worker *worker
	conn   *websocket.Conn
	link   *link
	skew   time.Duration // how far this machine's clock is ahead

	// beat is the time between two beats; set by the welcome.
	beat time.Duration
	// draining: the server said so. settled: it has settled something. They are the
	// reader's alone.
	draining, settled bool
	// over is closed by run when reading has ended.
	over chan struct{}
}

// dial connects. The error may come with the server's answer.
func (w *worker) dial(ctx context.Context) (*session, *http.Response, error) {
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	var last atomic.Pointer[link]
	transport := &http.Transport{
		Proxy:           http.ProxyFromEnvironment,
		TLSClientConfig: w.cfg.TLS,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := w.cfg.DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			l := newLink(conn, handshakeTimeout)
			last.Store(l)
			return l, nil
		},
	}
	defer transport.CloseIdleConnections()
	conn, answer, err := websocket.Dial(ctx, w.address, &websocket.DialOptions{
		HTTPClient:   &http.Client{Transport: transport},
		HTTPHeader:   w.cfg.Header.Clone(),
		Subprotocols: []string{protocol},
	})
	if err != nil {
		return nil, answer, err
	}
	s := &session{worker: w, conn: conn, link: last.Load(), over: make(chan struct{})}
	if conn.Subprotocol() != protocol {
		_ = conn.CloseNow()
		return nil, nil, errOtherProtocol
	}
	if date, err := http.ParseTime(answer.Header.Get("Date")); err == nil {
		if skew := time.Since(date); skew.Abs() > maxSkew {
			s.skew = skew
		}
	}
	return s, nil, nil
}

// run says hello and serves the server's frames until the connection ends, or ctx
// does. It returns why, and whether the server had welcomed the worker.
func (s *session) run(ctx context.Context) (welcomed bool, err error) {
	defer func() { _ = s.conn.CloseNow() }()
	var owned sync.WaitGroup
	defer owned.Wait()
	defer func() { _ = s.link.Close() }()
	defer close(s.over)
	owned.Go(func() {
		select {
		case <-ctx.Done():
			s.close()
		case <-s.over:
		}
	})
	if err := s.greet(); err != nil {
		return false, err
	}
	owned.Go(s.write)
	for {
		f, err := s.read()
		if err == nil {
			err = s.serve(f)
		}
		if err != nil {
			return true, err
		}
	}
}

// greet sends hello and awaits welcome.
func (s *session) greet() error {
	s.conn.SetReadLimit(firstReadLimit)
	w := s.worker
	h := hello{Op: "hello", Instance: w.instance, Window: w.cfg.Window, Held: []held{}}
	for messageType := range w.cfg.Handlers {
		t := helloType{MessageType: messageType}
		if p, has := w.cfg.Policies[messageType]; has {
			policy := p.wire()
			t.Policy = &policy
		}
		h.Types = append(h.Types, t)
	}
	for _, l := range w.leases.reconnect() {
		h.Held = append(h.Held, held{l.id, l.lease})
	}
	frame, err := json.Marshal(h)
	if err != nil {
		return err
	}
	if err := s.conn.Write(context.Background(), websocket.MessageText, frame); err != nil {
		return err
	}
	f, err := s.read()
	if err != nil {
		return err
	}
	if f.Op != "welcome" || f.BeatMS <= 0 {
		return fmt.Errorf("expected welcome with beat_ms, got %q with %d", f.Op, f.BeatMS)
	}
	s.beat = time.Duration(f.BeatMS) * time.Millisecond
	s.link.timeout.Store(int64(deadBeats * s.beat))
	w.lease = time.Duration(f.LeaseMS) * time.Millisecond
	// A job is data, which was in a frame, and what the server adds.
	s.conn.SetReadLimit(max(firstReadLimit, 2*f.MaxFrame))
	w.leases.welcome(f.MaxFrame)
	w.log.Debug("connected", "url", w.address, "session", f.Session, "held", len(h.Held))
	return nil
}

// read returns the server's next frame.
func (s *session) read() (*inbound, error) {
	for {
		kind, data, err := s.conn.Read(context.Background()) // ends with the link
		if err != nil {
			return nil, err
		}
		f, quick := quickSettled(data)
		if !quick {
			err = json.Unmarshal(data, f)
		}
		if _, syntax := errors.AsType[*json.SyntaxError](err); syntax || kind != websocket.MessageText {
			_ = s.conn.Close(websocket.StatusInvalidFramePayloadData, "a frame has to be a JSON object in a text message")
			return nil, fmt.Errorf("a frame that is not JSON: %.100q", data)
		}
		if err == nil {
			return f, nil
		}
		s.worker.log.Error("a frame that does not fit", "error", err, "frame", fmt.Sprintf("%.200s", data))
	}
}

// serve does what a frame says. Ops that are not known are ignored. The error is
// errMoved.
func (s *session) serve(f *inbound) error {
	w := s.worker
	switch f.Op {
	case "job":
		s.serveJob(f)
	case "settled":
		known := w.leases.settle(lease{f.ID, f.Lease})
		s.settled = s.settled || known
		if known && f.Stale {
			w.log.Warn("the outcome is not wanted any more", "id", f.ID, "lease", f.Lease)
		}
	case "stop":
		s.stop(stop{f.ID, f.Lease, f.Reason})
	case "beat":
		for _, item := range f.Stop {
			s.stop(item)
		}
	case "drain":
		w.log.Info("the server drains", "within", time.Duration(f.WithinMS)*time.Millisecond)
		s.draining = true
	}
	if s.draining && w.leases.empty() {
		s.close()
		return errMoved
	}
	return nil
}

func (s *session) serveJob(f *inbound) {
	w := s.worker
	job, err := f.job(s.skew)
	if err == nil && w.cfg.Handlers[job.MessageType] == nil {
		err = fmt.Errorf("no handler for %q here", job.MessageType)
	}
	if err == nil && !w.offer(job) {
		err = fmt.Errorf("more jobs than the window of %d", w.cfg.Window)
	}
	if err != nil { // without an ack the server takes it back
		w.log.Error("a job is not taken", "id", f.ID, "lease", f.Lease, "error", err)
	}
}

// offer gives a job to the leases.
func (w *worker) offer(job *Job) bool {
	a := &attempt{lease: lease{job.ID, job.Lease}, job: job}
	a.ctx, a.stop = context.WithCancelCause(w.base)
	job.worker, job.attempt = w, a
	return w.leases.offer(a)
}

func (s *session) stop(item stop) {
	cause := item.cause()
	if errors.Is(cause, ErrStale) {
		s.worker.log.Warn("a lease is not this worker's any more", "id", item.ID, "lease", item.Lease)
	}
	s.worker.leases.cancel(lease{item.ID, item.Lease}, cause)
}

// write sends what is owed, and beats, until the session is over. A beat waits for no
// handler, and for no frame longer than its link's timeout.
func (s *session) write() {
	beats := time.NewTicker(s.beat)
	defer beats.Stop()
	var b batch
	for {
		beat := false
		select {
		case <-s.over:
			return
		case <-beats.C:
			beat = true
		case <-s.worker.leases.wake:
		}
		for more := true; more; {
			select {
			case <-beats.C:
				beat = true
			default:
			}
			var tooLarge []*attempt
			more, tooLarge = s.worker.leases.next(&b, beat)
			beat = false
			for _, a := range tooLarge {
				s.worker.log.Error("a result or checkpoint is too large for the server", "type", a.job.MessageType, "id", a.id, "lease", a.lease)
			}
			if err := s.send(&b); err != nil {
				_ = s.link.Close() // ends the reader
				return
			}
		}
	}
}

// send writes a batch, each frame in a message of its own.
func (s *session) send(b *batch) error {
	s.link.cork()
	start := 0
	for _, end := range b.ends {
		if err := s.conn.Write(context.Background(), websocket.MessageText, b.bytes[start:end]); err != nil {
			return err
		}
		start = end
	}
	return s.link.uncork()
}

// close ends the connection with a handshake, or without if that takes too long.
func (s *session) close() {
	cut := time.AfterFunc(closeTimeout, func() { _ = s.link.Close() })
	defer cut.Stop()
	_ = s.conn.Close(websocket.StatusNormalClosure, "")
}
