package worker_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
	"go.uber.org/goleak"

	"github.com/activemessage/activemessage/client/worker"
	"github.com/activemessage/activemessage/internal/pipes"
)

// TestMain fails the package if a test leaves a goroutine behind.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const beat = 5 * time.Second

// network is a listener in memory that counts who dials, and may be down.
type network struct {
	*pipes.Listener
	down  atomic.Bool // nobody answers
	dials atomic.Int32
}

func newNetwork() *network { return &network{Listener: pipes.Listen()} }

func (n *network) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	n.dials.Add(1)
	if n.down.Load() {
		return nil, errors.New("connection refused")
	}
	return n.Dial(ctx, "", "")
}

// server is a scripted server of the protocol, and the worker that connects to it.
type server struct {
	t        *testing.T
	network  *network
	sessions chan *peer
	// refuses answers the upgrade instead, if it is set.
	refuses atomic.Pointer[func(http.ResponseWriter) bool]

	gate *gate              // the handler of "work", unless the test's Config has one
	stop context.CancelFunc // ends the worker's context
	run  chan error         // what Run returned
}

// bubble runs a worker against a script in virtual time. The script has to leave the
// worker nothing to do; it is stopped afterwards and has to return what the script
// returns.
func bubble(t *testing.T, cfg worker.Config, script func(s *server) error) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &server{t: t, network: newNetwork(), sessions: make(chan *peer, 100), run: make(chan error, 1), gate: newGate()}
		web := &http.Server{Handler: s}
		serving := make(chan struct{})
		go func() { defer close(serving); _ = web.Serve(s.network) }()
		if cfg.Handlers == nil {
			cfg.Handlers = one(s.gate.handle)
		}
		cfg.URL = "http://server"
		cfg.DialContext = s.network.dial
		cfg.Logger = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
		ctx, stop := context.WithCancel(t.Context())
		s.stop = stop
		go func() { s.run <- worker.Run(ctx, cfg) }()
		want := script(s)
		stop()
		if err := <-s.run; fmt.Sprint(err) != fmt.Sprint(want) {
			t.Errorf("Run returned %v, expected %v", err, want)
		}
		_ = web.Close()
		<-serving
	})
}

// refuse sets what answers upgrades from now on, or may: it returns true if it did.
func (s *server) refuse(f func(http.ResponseWriter) bool) { s.refuses.Store(&f) }

// ServeHTTP takes a worker's connection until it ends.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if refuse := s.refuses.Load(); refuse != nil && *refuse != nil && (*refuse)(w) {
		return
	}
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"activemessage.worker.v1.json"}})
	if err != nil {
		s.t.Error(err)
		return
	}
	conn.SetReadLimit(-1)
	p := &peer{server: s, conn: conn, frames: make(chan frame, 10_000), ended: make(chan struct{})}
	s.sessions <- p
	p.read()
}

// frame is any frame of a worker.
type frame struct {
	Op, ID, Instance, Code, Message, Kind, Note string
	Lease                                       int
	Window                                      int
	Types                                       []struct {
		MessageType string `json:"message_type"`
		Policy      json.RawMessage
	}
	Held        []lease
	Data        []byte `json:"data_base64"`
	ContentType string `json:"content_type"`
	Fraction    float64
	AfterMS     *int64 `json:"after_ms"`
}

type lease struct {
	ID    string
	Lease int
}

// peer is the server's end of one connection.
type peer struct {
	*server
	conn   *websocket.Conn
	frames chan frame // all but beats
	ended  chan struct{}
	err    error // set before ended is closed
	beats  atomic.Int32
	mute   atomic.Bool // beats are not answered
	mu     sync.Mutex
	held   []lease // of the last beat; guarded by mu
}

func (p *peer) read() {
	defer close(p.ended)
	for {
		_, data, err := p.conn.Read(context.Background())
		if err != nil {
			p.err = err
			return
		}
		var f frame
		if err := json.Unmarshal(data, &f); err != nil {
			p.t.Errorf("%s: %v", data, err)
		}
		if f.Op != "beat" {
			p.frames <- f
			continue
		}
		p.mu.Lock()
		p.held = f.Held
		p.mu.Unlock()
		p.beats.Add(1)
		if !p.mute.Load() {
			p.send(`{"op":"beat"}`)
		}
	}
}

// accept returns the next connection, after its hello was answered.
func (s *server) accept() (*peer, frame) {
	s.t.Helper()
	p := <-s.sessions
	h := p.next("hello")
	p.send(`{"op":"welcome","session":"s","beat_ms":5000,"lease_ms":30000,"offer_ms":5000,"max_frame":1000,"new":[1]}`)
	return p, h
}

func (p *peer) send(format string, values ...any) {
	p.t.Helper()
	_ = p.conn.Write(context.Background(), websocket.MessageText, fmt.Appendf(nil, format, values...))
}

// next returns the next frame that is no beat; it has to be of the given op.
func (p *peer) next(op string) frame {
	p.t.Helper()
	f := <-p.frames
	if f.Op != op {
		p.t.Fatalf("got %+v, expected %s", f, op)
	}
	return f
}

// quiet fails if the worker sends a frame, but for beats, within d.
func (p *peer) quiet(d time.Duration) {
	p.t.Helper()
	select {
	case f := <-p.frames:
		p.t.Fatalf("got %+v, expected nothing", f)
	case <-time.After(d):
		synctest.Wait()
	}
}

// cut breaks the connection.
func (p *peer) cut() {
	_ = p.conn.CloseNow()
	<-p.ended
}

func (p *peer) job(id string, number int) {
	p.t.Helper()
	p.send(`{"op":"job","id":%q,"lease":%d,"message_type":"work","attempt":%d,"max_attempts":3,"message_data":{"n":1},"content_type":"application/json","key":"k","metadata":{"tenant":"acme"},"traceparent":"00-1"}`, id, number, number)
}

// settled answers an outcome.
func (p *peer) settled(f frame) { p.send(`{"op":"settled","id":%q,"lease":%d}`, f.ID, f.Lease) }

// listed returns the leases of the last beat, in order.
func (p *peer) listed() []lease {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := slices.Clone(p.held)
	slices.SortFunc(all, func(a, b lease) int { return slices.Compare([]byte(a.ID), []byte(b.ID)) })
	return all
}

func sorted(all []lease) string {
	set := make(map[string]bool)
	for _, l := range all {
		set[fmt.Sprintf("%s/%d", l.ID, l.Lease)] = true
	}
	return fmt.Sprint(slices.Sorted(maps.Keys(set)))
}

func one(h worker.Handler) map[string]worker.Handler {
	return map[string]worker.Handler{"work": h}
}

// gate is a handler that waits until it is let go, or until its context ends.
type gate struct {
	entered chan *worker.Job
	leave   chan struct{}
	causes  chan error
}

func newGate() *gate {
	return &gate{make(chan *worker.Job, 1000), make(chan struct{}), make(chan error, 1000)}
}

func (g *gate) handle(ctx context.Context, job *worker.Job) (worker.Result, error) {
	g.entered <- job
	select {
	case <-g.leave:
		return worker.Result{Data: []byte("done"), ContentType: "text/plain"}, nil
	case <-ctx.Done():
		g.causes <- context.Cause(ctx)
		return worker.Result{}, ctx.Err()
	}
}
