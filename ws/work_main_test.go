package ws_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/activemessage/activemessage/engine"
	"github.com/activemessage/activemessage/engine/remote"
	"github.com/activemessage/activemessage/internal/pipes"
	"github.com/activemessage/activemessage/ws"
)

// hall is a server of workers in a bubble, over pipes.
type hall struct {
	t       *testing.T
	engine  *engine.Engine
	workers *remote.Workers
	sockets *ws.Work
	pipes   *pipes.Listener
	http    *http.Server
	serving sync.WaitGroup
	stopped bool
}

// inHall runs a test in a bubble with a server.
func inHall(t *testing.T, engineConfig engine.Config, cfg remote.Config, test func(h *hall)) {
	t.Helper()
	inBubble(t, func(t *testing.T) {
		h := open(t, engineConfig, cfg)
		defer h.stop()
		test(h)
	})
}

func inBubble(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, test)
}

// open starts a server in the bubble.
func open(t *testing.T, engineConfig engine.Config, cfg remote.Config) *hall {
	t.Helper()
	e, err := engine.New(engineConfig)
	if err != nil {
		t.Fatal(err)
	}
	workers := remote.New(e, cfg)
	h := &hall{t: t, engine: e, workers: workers, sockets: ws.NewWork(workers, ws.Config{CloseSpread: time.Millisecond}),
		pipes: pipes.Listen()}
	h.http = &http.Server{Handler: h.sockets, ReadHeaderTimeout: time.Minute}
	h.serving.Go(func() { _ = h.http.Serve(h.pipes) })
	return h
}

// stop takes the server down as a program does.
func (h *hall) stop() {
	if h.stopped {
		return
	}
	h.stopped = true
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	_ = h.engine.Drain(ctx)
	ctx, cancel = context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := h.sockets.Shutdown(ctx); err != nil {
		h.t.Errorf("shutdown: %v", err)
	}
	h.workers.Close()
	_ = h.http.Close()
	h.serving.Wait()
	if s := h.workers.Stats(); s.Sessions != 0 {
		h.t.Errorf("sessions are left: %+v", s)
	}
}

// submit submits a message of type work.
func (h *hall) submit(data string) engine.ID {
	h.t.Helper()
	receipt, err := h.engine.Submit(context.Background(), engine.Submission{
		MessageType: "work", MessageData: []byte(data), ContentType: "application/json",
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return receipt.ID
}

func (h *hall) register(messageType string, p engine.Policy) {
	h.t.Helper()
	if err := h.engine.Register(messageType, engine.Outside(), p); err != nil {
		h.t.Fatal(err)
	}
}

// status returns a message's, when everything there was to do is done.
func (h *hall) status(id engine.ID) engine.Status {
	h.t.Helper()
	synctest.Wait()
	s, err := h.engine.Get(id)
	if err != nil {
		h.t.Fatal(err)
	}
	return s
}

func (h *hall) expect(id engine.ID, state engine.State, attempt, lost int) {
	h.t.Helper()
	if s := h.status(id); s.State != state || s.Attempt != attempt || s.Lost != lost {
		h.t.Errorf("%s is %s, attempt %d, lost %d (%v); expected %s, %d, %d", id, s.State, s.Attempt, s.Lost, s.Error, state, attempt, lost)
	}
}

// worker is a client that speaks the protocol, and lies if it is told to.
type worker struct {
	h    *hall
	conn *websocket.Conn
	raw  net.Conn
}

// workFrame is any frame of the server.
type workFrame struct {
	Op, ID, Session, Reason, Key string
	Lease, Attempt               int
	MaxFrame                     int64           `json:"max_frame"`
	BeatMS                       int64           `json:"beat_ms"`
	WithinMS                     int64           `json:"within_ms"`
	MessageType                  string          `json:"message_type"`
	MessageData                  json.RawMessage `json:"message_data"`
	Checkpoint                   json.RawMessage `json:"checkpoint"`
	Stale                        bool
	Stop                         []struct {
		ID, Reason string
		Lease      int
	}
}

func (f workFrame) ref() string { return fmt.Sprintf(`{"id":%q,"lease":%d}`, f.ID, f.Lease) }

// connect opens a socket without a hello.
func (h *hall) connect() *worker {
	h.t.Helper()
	var ours net.Conn
	client := &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (conn net.Conn, err error) {
			ours, err = h.pipes.Dial(ctx, network, address)
			return ours, err
		},
		DisableKeepAlives: true,
	}}
	conn, _, err := websocket.Dial(h.t.Context(), "http://server/v1/work", &websocket.DialOptions{
		HTTPClient: client, Subprotocols: []string{ws.ProtocolWork},
	})
	if err != nil {
		h.t.Fatal(err)
	}
	conn.SetReadLimit(-1)
	w := &worker{h, conn, ours}
	h.t.Cleanup(func() { _ = conn.CloseNow() })
	return w
}

// hello opens a socket and says so.
func (h *hall) hello(instance string, window int, held string) *worker {
	h.t.Helper()
	w := h.connect()
	w.send(`{"op":"hello","instance":%q,"types":[{"message_type":"work"}],"window":%d,"held":[%s]}`, instance, window, held)
	w.next("welcome")
	return w
}

func (w *worker) send(format string, args ...any) {
	w.h.t.Helper()
	if err := w.conn.Write(w.h.t.Context(), websocket.MessageText, fmt.Appendf(nil, format, args...)); err != nil {
		w.h.t.Fatal(err)
	}
}

// next returns the next frame, which has to be of the op, if one is given.
func (w *worker) next(op string) workFrame {
	w.h.t.Helper()
	ctx, cancel := context.WithTimeout(w.h.t.Context(), time.Hour)
	defer cancel()
	_, data, err := w.conn.Read(ctx)
	if err != nil {
		w.h.t.Fatalf("awaiting %s: %v", op, err)
	}
	var f workFrame
	if err := json.Unmarshal(data, &f); err != nil {
		w.h.t.Fatalf("%s: %v", data, err)
	}
	if op != "" && f.Op != op {
		w.h.t.Fatalf("got %s, expected %s", data, op)
	}
	return f
}

// take receives a job and acks it.
func (w *worker) take() workFrame {
	w.h.t.Helper()
	job := w.next("job")
	w.send(`{"op":"ack","id":%q,"lease":%d}`, job.ID, job.Lease)
	return job
}

func (w *worker) done(job workFrame) {
	w.h.t.Helper()
	w.send(`{"op":"done","id":%q,"lease":%d,"data":{"ok":true}}`, job.ID, job.Lease)
}

// settled expects the answer to a report.
func (w *worker) settled(job workFrame, stale bool) {
	w.h.t.Helper()
	if f := w.next("settled"); f.ID != job.ID || f.Lease != job.Lease || f.Stale != stale {
		w.h.t.Errorf("settled %+v, expected %s, stale %t", f, job.ref(), stale)
	}
}

// stopped expects to be told to end a job.
func (w *worker) stopped(job workFrame, reason string) {
	w.h.t.Helper()
	if f := w.next("stop"); f.ID != job.ID || f.Lease != job.Lease || f.Reason != reason {
		w.h.t.Errorf("stop %+v, expected %s, %s", f, job.ref(), reason)
	}
}

// beat says what the worker holds, and returns the answer.
func (w *worker) beat(held string) workFrame {
	w.h.t.Helper()
	w.send(`{"op":"beat","held":[%s]}`, held)
	return w.next("beat")
}

// dropAll says that the worker holds nothing any more, and takes the job that it gets in its
// place, which may come before the answer to the beat.
func (w *worker) dropAll() (job workFrame) {
	w.h.t.Helper()
	w.send(`{"op":"beat","held":[]}`)
	for range 2 {
		if f := w.next(""); f.Op == "job" {
			job = f
		}
	}
	w.send(`{"op":"ack","id":%q,"lease":%d}`, job.ID, job.Lease)
	return job
}

// closed reads until the server closes, and checks with which code.
func (w *worker) closed(code websocket.StatusCode) {
	w.h.t.Helper()
	for {
		_, _, err := w.conn.Read(w.h.t.Context())
		if err == nil {
			continue
		}
		if got := websocket.CloseStatus(err); got != code {
			w.h.t.Errorf("closed with %v, expected %v", err, code)
		}
		return
	}
}

// cut ends the connection without a word.
func (w *worker) cut() {
	_ = w.raw.Close()
	if _, _, err := w.conn.Read(context.Background()); err == nil || errors.Is(err, io.ErrNoProgress) {
		w.h.t.Error("it goes on after it was cut")
	}
	synctest.Wait()
}
