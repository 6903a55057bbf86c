package activemessage_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/activemessage/activemessage/client/worker"
	"github.com/activemessage/activemessage/engine"
	"github.com/activemessage/activemessage/engine/memstore"
	"github.com/activemessage/activemessage/engine/remote"
	"github.com/activemessage/activemessage/engine/storetest"
	"github.com/activemessage/activemessage/internal/pipes"
	"github.com/activemessage/activemessage/ws"
)

// The whole of what is between a message and its worker in another process, server and
// SDK, over a network that is cut and stalls, with workers and servers that die, in
// virtual time. Whatever happens, each message gets one outcome, no slot is lost, and no
// worker is left with a result.
func TestWorkersInABadWorld(t *testing.T) {
	t.Parallel()
	seeds := uint64(20)
	if testing.Short() {
		seeds = 2
	}
	for name, faults := range map[string]faults{
		"nothing":         {mostRuns: 1},
		"cuts":            {cut: 0.01, mostRuns: 1.01},
		"many cuts":       {cut: 0.1, mostRuns: 1.02},
		"stalls":          {stall: 0.02, mostRuns: 1.3},
		"workers die":     {cut: 0.01, workerDies: 40 * time.Second, mostRuns: 1.3},
		"the server dies": {serverDies: 50 * time.Second, mostRuns: 1.02},
		"everything":      {cut: 0.02, stall: 0.01, workerDies: time.Minute, serverDies: 90 * time.Second, mostRuns: 1.5},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			messages, runs := 0, 0
			for seed := range seeds {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, seed, faults)
					w.live()
					messages += worldMessages
					runs += int(w.runs.Load())
				})
			}
			ratio := float64(runs) / float64(messages)
			t.Logf("%d messages, %.3f runs each", messages, ratio)
			if ratio > faults.mostRuns {
				t.Errorf("%.3f runs for each message, expected at most %g", ratio, faults.mostRuns)
			}
		})
	}
}

// faults is what goes wrong: with every write with a chance, or every so often.
type faults struct {
	cut, stall             float64
	workerDies, serverDies time.Duration
	// mostRuns is how often a message may run on average.
	mostRuns float64
}

const (
	worldMessages = 80
	worldWorkers  = 3
	worldWindow   = 4
	worldType     = "far"
)

// world is a server that may die and come back, its network, and its workers.
type world struct {
	t      *testing.T
	faults faults
	store  *storetest.Mortal

	mu     sync.Mutex
	rng    *rand.Rand    // guarded by mu
	server *mortalServer // guarded by mu; nil while it is down

	peace    atomic.Bool // nothing goes wrong any more
	runs     atomic.Int64
	outcomes map[string]string // by response notification
	crowd    chan struct{}     // what runs in the end waits here together
	inCrowd  atomic.Int64
}

func newWorld(t *testing.T, seed uint64, f faults) *world {
	w := &world{
		t: t, faults: f, store: storetest.NewMortal(memstore.New()), rng: rand.New(rand.NewPCG(seed, 5)),
		outcomes: make(map[string]string), crowd: make(chan struct{}),
	}
	w.server = w.startServer()
	return w
}

func (w *world) chance(p float64) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.rng.Float64() < p
}

func (w *world) upTo(d time.Duration) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Duration(w.rng.Int64N(int64(d)))
}

// live runs all messages through the world, and then looks whether it is whole.
func (w *world) live() {
	ctx, end := context.WithCancel(w.t.Context())
	var living sync.WaitGroup
	for range worldWorkers {
		living.Go(func() { w.employ(ctx) })
	}
	if w.faults.serverDies > 0 {
		living.Go(func() { w.killServers(ctx) })
	}
	for i := range worldMessages {
		w.submit(fmt.Sprintf("request_%d", i))
		time.Sleep(w.upTo(2 * time.Second))
	}
	w.follow(worldMessages)
	w.peace.Store(true)
	time.Sleep(5 * time.Minute) // in which everybody is told what has happened
	end()
	living.Wait()
	w.fillAllSlots()
	w.current().stop()
}

// submit repeats until the message is accepted; its key sees to that it is so once.
func (w *world) submit(prefix string) {
	for {
		if s := w.current(); s != nil {
			_, err := s.engine.Submit(w.t.Context(), engine.Submission{
				MessageType: worldType, ResponseNotification: prefix, IdempotencyKey: prefix, MessageData: []byte(`"` + prefix + `"`),
			})
			if err == nil {
				return
			}
		}
		time.Sleep(time.Second)
	}
}

// follow reads outcomes until there are n, over the deaths of servers.
func (w *world) follow(n int) {
	last := uint64(len(w.outcomes))
	for len(w.outcomes) < n {
		s := w.current()
		if s == nil {
			time.Sleep(time.Second)
			continue
		}
		last = w.followOne(s, last, n)
	}
}

// followOne reads the log of one server from after a number, and returns the last it read.
func (w *world) followOne(s *mortalServer, last uint64, n int) uint64 {
	sub, err := s.engine.Subscribe(engine.Selector{ResponseNotification: "*"}, engine.CursorAt(last))
	if err != nil {
		w.t.Fatal(err)
	}
	defer sub.Close()
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Hour)
	defer cancel()
	for len(w.outcomes) < n {
		d, err := sub.Next(ctx)
		if errors.Is(err, context.DeadlineExceeded) {
			w.t.Fatalf("%d of %d messages have an outcome, and in an hour there was no other", len(w.outcomes), n)
		}
		if err != nil || d.Gap != nil {
			return last // it died
		}
		for _, o := range d.Notifications {
			if before, twice := w.outcomes[o.ResponseNotification]; twice || o.Number != last+1 {
				w.t.Errorf("%d: %s, after %d and %s", o.Number, &o, last, before)
			}
			if !w.isTrue(&o) {
				w.t.Errorf("no worker said this: %s, %q", &o, o.Result.Data)
			}
			w.outcomes[o.ResponseNotification], last = o.String(), o.Number
		}
	}
	return last
}

// isTrue reports whether an outcome is one of those that work returns.
func (w *world) isTrue(o *engine.Notification) bool {
	switch {
	case strings.HasPrefix(o.ResponseNotification, "crowd"):
		return o.State == engine.StateSucceeded
	case o.State == engine.StateFailed:
		return o.Error.Code == "no"
	}
	return o.State == engine.StateSucceeded && string(o.Result.Data) == `"`+o.ResponseNotification+`"`
}

// employ lets one worker after the other live, and die if that is among the faults. The
// last one, when ctx ends, leaves nothing behind.
func (w *world) employ(ctx context.Context) {
	for ctx.Err() == nil {
		life, die := context.WithCancel(ctx)
		line := &line{world: w, conns: make(map[*badConn]struct{})}
		cfg := w.workerConfig(line)
		if w.faults.workerDies > 0 {
			cfg.DrainTimeout = -1
			death := time.AfterFunc(w.upTo(w.faults.workerDies), func() {
				if !w.peace.Load() {
					line.cut()
					die()
				}
			})
			defer death.Stop()
		}
		err := worker.Run(life, cfg)
		die()
		if err != nil && !line.dead() {
			w.t.Errorf("a worker was left with results: %v", err)
		}
	}
}

func (w *world) workerConfig(l *line) worker.Config {
	return worker.Config{
		URL:         "http://world",
		Window:      worldWindow,
		Handlers:    map[string]worker.Handler{worldType: w.work},
		DialContext: l.dial,
		Logger:      slog.New(slog.DiscardHandler),
	}
}

// work takes a moment; in the end it takes until all slots are taken.
func (w *world) work(ctx context.Context, job *worker.Job) (worker.Result, error) {
	if strings.Contains(string(job.Data), "crowd") {
		w.inCrowd.Add(1)
		<-w.crowd
		return worker.Result{}, nil
	}
	w.runs.Add(1)
	job.Progress(0.5, "half way")
	longest := 3 * time.Second
	if w.chance(0.03) {
		longest = 2 * time.Minute // some take longer than a lease
	}
	select {
	case <-ctx.Done():
		return worker.Result{}, ctx.Err()
	case <-time.After(w.upTo(longest)):
	}
	if w.chance(0.1) {
		return worker.Result{}, &worker.Error{Code: "no", Message: "no"}
	}
	return worker.Result{Data: job.Data, ContentType: "application/json"}, nil
}

// fillAllSlots shows that none is lost: fresh workers run as many messages at once as they
// have windows.
func (w *world) fillAllSlots() {
	ctx, end := context.WithCancel(w.t.Context())
	var living sync.WaitGroup
	for range worldWorkers {
		living.Go(func() { w.employ(ctx) })
	}
	const all = worldWorkers * worldWindow
	for i := range all {
		w.submit(fmt.Sprintf("crowd_%d", i))
	}
	time.Sleep(time.Minute)
	synctest.Wait()
	if n := w.inCrowd.Load(); n != all {
		w.t.Errorf("%d of %d slots are taken", n, all)
	}
	close(w.crowd)
	w.follow(worldMessages + all)
	end()
	living.Wait()
	synctest.Wait()
	if s := w.current().engine.Stats(); s.Running+s.Queued+s.Retrying+s.Scheduled > 0 {
		w.t.Errorf("left: %+v", s)
	}
	if s := w.current().workers.Stats(); s.Leases > 0 {
		w.t.Errorf("leases are left: %+v", s)
	}
}

// killServers lets servers die and come back until ctx ends.
func (w *world) killServers(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(w.upTo(w.faults.serverDies)):
		}
		if w.peace.Load() {
			return
		}
		w.mu.Lock()
		s := w.server
		w.server = nil
		w.mu.Unlock()
		w.store.Die()
		s.stop()
		time.Sleep(w.upTo(time.Minute))
		s = w.startServer()
		w.mu.Lock()
		w.server = s
		w.mu.Unlock()
	}
}

// current is the server, nil while there is none.
func (w *world) current() *mortalServer {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.server
}

// mortalServer is an engine with its door for workers, on a listener of pipes.
type mortalServer struct {
	engine  *engine.Engine
	workers *remote.Workers
	sockets *ws.Work
	http    *http.Server
	serving sync.WaitGroup
	pipes   *pipes.Listener
}

func (w *world) startServer() *mortalServer {
	e, err := engine.New(engine.Config{Store: w.store})
	if err != nil {
		w.t.Fatal(err)
	}
	policy := engine.Policy{MaxLost: 1000, Timeout: time.Hour}
	if err := e.Register(worldType, engine.Outside(), policy); err != nil {
		w.t.Fatal(err)
	}
	s := &mortalServer{engine: e, workers: remote.New(e, remote.Config{}), pipes: pipes.Listen()}
	s.sockets = ws.NewWork(s.workers, ws.Config{CloseSpread: time.Millisecond})
	s.http = &http.Server{Handler: s.sockets, ReadHeaderTimeout: time.Minute}
	s.serving.Go(func() { _ = s.http.Serve(s.pipes) })
	return s
}

// stop frees what a server has, dead or not.
func (s *mortalServer) stop() {
	now, cancel := context.WithCancel(context.Background())
	cancel()
	_ = s.engine.Drain(now) // its error is that now has ended
	_ = s.sockets.Shutdown(now)
	s.workers.Close()
	_ = s.http.Close()
	s.serving.Wait()
}

// line is what connects one worker, until it is cut for good.
type line struct {
	world *world

	mu     sync.Mutex
	conns  map[*badConn]struct{} // guarded by mu
	closed bool                  // guarded by mu
}

func (l *line) dead() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.closed
}

func (l *line) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for c := range l.conns {
		_ = c.Close()
	}
}

func (l *line) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	s := l.world.current()
	if s == nil || l.dead() {
		return nil, errors.New("nobody is there")
	}
	mine, theirs := net.Pipe()
	if err := s.pipes.Connect(ctx, &badConn{Conn: theirs, world: l.world}); err != nil {
		return nil, err
	}
	c := &badConn{Conn: mine, world: l.world}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		_ = c.Close()
	}
	l.conns[c] = struct{}{}
	return c, nil
}

// badConn may break, or take its time, with every write.
type badConn struct {
	net.Conn
	world *world
}

func (c *badConn) Write(b []byte) (int, error) {
	if !c.world.peace.Load() {
		if c.world.chance(c.world.faults.cut) {
			n, _ := c.Conn.Write(b[:len(b)/2]) // in the middle of a frame
			_ = c.Close()
			return n, io.ErrClosedPipe
		}
		if c.world.chance(c.world.faults.stall) {
			time.Sleep(c.world.upTo(20 * time.Second))
		}
	}
	return c.Conn.Write(b)
}
