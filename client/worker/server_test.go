package worker_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/activemessage/activemessage/client/worker"
	"github.com/activemessage/activemessage/engine"
	"github.com/activemessage/activemessage/engine/remote"
	"github.com/activemessage/activemessage/ws"
)

// real is a server as it is, in a bubble.
type real struct {
	t       *testing.T
	network *network
	engine  *engine.Engine
	workers *remote.Workers
	sockets *ws.Work
	web     *http.Server
	serving chan struct{}
}

func newReal(t *testing.T) *real {
	t.Helper()
	e, err := engine.New(engine.Config{})
	if err != nil {
		t.Fatal(err)
	}
	r := &real{t: t, network: newNetwork(), engine: e, workers: remote.New(e, remote.Config{}), serving: make(chan struct{})}
	r.sockets = ws.NewWork(r.workers, ws.Config{CloseSpread: time.Millisecond})
	r.web = &http.Server{Handler: r.sockets, ReadHeaderTimeout: time.Minute}
	go func() { defer close(r.serving); _ = r.web.Serve(r.network) }()
	return r
}

// stop takes the server down as a program does.
func (r *real) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := r.engine.Drain(ctx); err != nil {
		r.t.Error(err)
	}
	if err := r.sockets.Shutdown(ctx); err != nil {
		r.t.Error(err)
	}
	r.workers.Close()
	_ = r.web.Close()
	<-r.serving
}

// submit submits a message of type work.
func (r *real) submit(data string) engine.ID {
	r.t.Helper()
	receipt, err := r.engine.Submit(context.Background(), engine.Submission{MessageType: "work", MessageData: []byte(data), ContentType: "application/json"})
	if err != nil {
		r.t.Fatal(err)
	}
	return receipt.ID
}

func (r *real) config(handlers map[string]worker.Handler) worker.Config {
	return worker.Config{
		URL: "http://server", Handlers: handlers, DialContext: r.network.dial,
		Logger: slog.New(slog.NewTextHandler(r.t.Output(), nil)),
	}
}

// cutter cuts connections at random times.
type cutter struct {
	dial func(ctx context.Context, network, address string) (net.Conn, error)
	mu   sync.Mutex
	last net.Conn // guarded by mu
}

func (c *cutter) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := c.dial(ctx, network, address)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = conn
	return conn, err
}

func (c *cutter) run(ctx context.Context) (cuts int) {
	for {
		select {
		case <-time.After(rand.N(3 * time.Second)):
		case <-ctx.Done():
			return cuts
		}
		c.mu.Lock()
		if c.last != nil {
			_ = c.last.Close()
			cuts++
		}
		c.mu.Unlock()
	}
}

// Whatever is cut, each message runs once and is settled once.
func TestCutsLoseNothingAndRepeatNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newReal(t)
		runs := make(map[string]int)
		var mu sync.Mutex
		cfg := r.config(one(func(_ context.Context, job *worker.Job) (worker.Result, error) {
			mu.Lock()
			runs[job.ID]++
			mu.Unlock()
			time.Sleep(rand.N(2 * time.Second))
			return worker.Result{Data: job.Data, ContentType: job.ContentType}, nil
		}))
		cfg.Window = 8
		cuts := &cutter{dial: cfg.DialContext}
		cfg.DialContext = cuts.DialContext
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- worker.Run(ctx, cfg) }()
		synctest.Wait() // it has registered its type
		cutting, enough := context.WithCancel(t.Context())
		cut := make(chan int, 1)
		go func() { cut <- cuts.run(cutting) }()

		var ids []engine.ID
		for i := range 500 {
			ids = append(ids, r.submit(fmt.Sprint(i)))
		}
		for i, id := range ids {
			status, err := r.engine.Wait(t.Context(), id)
			if err != nil || status.State != engine.StateSucceeded || string(status.Result.Data) != fmt.Sprint(i) {
				t.Errorf("%s is %s with %q (%v, %v)", id, status.State, status.Result.Data, status.Error, err)
			}
			mu.Lock()
			n := runs[id.String()]
			mu.Unlock()
			if n != 1 || status.Lost != 0 {
				t.Errorf("%s ran %d times and was lost %d times", id, n, status.Lost)
			}
		}
		enough()
		if n := <-cut; n < 20 {
			t.Errorf("only %d cuts", n)
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if stats := r.workers.Stats(); stats.Leases != 0 {
			t.Errorf("%+v", stats)
		}
		r.stop()
	})
}

// A timeout, a cancel, and a checkpoint, as the server has them.
func TestARealServerStopsAndTriesAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newReal(t)
		began := make(chan *worker.Job, 10)
		cfg := r.config(one(func(ctx context.Context, job *worker.Job) (worker.Result, error) {
			began <- job
			switch string(job.Data) {
			case `"checkpoint"`:
				if job.Checkpoint != nil {
					return worker.Result{Data: job.Checkpoint}, nil
				}
				return worker.Result{}, errors.Join(errors.New("half way"), job.Save([]byte{0, 255}))
			case `"again"`:
				if job.Attempt == 1 {
					return worker.Result{}, worker.RetryAfter(time.Hour, &worker.Error{Message: "later"})
				}
				return worker.Result{}, worker.Permanent(&worker.Error{Code: "never", Message: "no"})
			}
			<-ctx.Done()
			return worker.Result{}, context.Cause(ctx)
		}))
		cfg.Policies = map[string]worker.Policy{"work": {Timeout: time.Minute, MaxAttempts: 2}}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- worker.Run(ctx, cfg) }()
		synctest.Wait()
		check := func(id engine.ID, code string) {
			t.Helper()
			status, err := r.engine.Wait(t.Context(), id)
			if err != nil || status.Error == nil || status.Error.Code != code {
				t.Errorf("%s: %v, expected %s (%v)", status.State, status.Error, code, err)
			}
		}
		cancelled := r.submit(`"cancel"`)
		<-began
		if _, err := r.engine.Cancel(cancelled); err != nil {
			t.Error(err)
		}
		check(cancelled, "cancelled")
		check(r.submit(`"timeout"`), "timeout")
		check(r.submit(`"again"`), "never")
		status, err := r.engine.Wait(t.Context(), r.submit(`"checkpoint"`))
		if err != nil || status.State != engine.StateSucceeded || string(status.Result.Data) != "\x00\xff" {
			t.Errorf("%s, %q (%v, %v)", status.State, status.Result.Data, status.Error, err)
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		r.stop()
	})
}
