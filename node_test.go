package activemessage_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/activemessage/activemessage"
	"github.com/activemessage/activemessage/api"
	"github.com/activemessage/activemessage/engine"
	"github.com/activemessage/activemessage/engine/remote"
	"github.com/activemessage/activemessage/handlers"
	"github.com/activemessage/activemessage/internal/contract"
	"github.com/activemessage/activemessage/internal/docs"
	"github.com/activemessage/activemessage/ws"
)

// node is a whole server on a socket, whose traffic is held against the contract.
type node struct {
	*httptest.Server
	t       tester
	engine  *engine.Engine
	sockets *ws.Server
	workers *remote.Workers
	work    *ws.Work
	routes  chi.Routes
	// blocked has an element for each block handler that began.
	blocked chan struct{}
}

// tester is what a node needs of a *testing.T, or of a *rapid.T.
type tester interface {
	Helper()
	Context() context.Context
	Cleanup(end func())
	Error(args ...any)
	Errorf(format string, args ...any)
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

func newNode(t tester, checker *contract.Checker, cfg engine.Config) *node {
	t.Helper()
	if checker == nil {
		checker = newChecker(t)
	}
	return newWrappedNode(t, cfg, time.Minute, func(h http.Handler) http.Handler {
		return checker.Middleware(h, func(err error) { t.Error(err) })
	})
}

// newWrappedNode waits for an outcome at most so long, whatever clients prefer.
func newWrappedNode(t tester, cfg engine.Config, maxWait time.Duration, wrap func(http.Handler) http.Handler) *node {
	t.Helper()
	cfg.MaxMessageBytes = 4 << 10
	if cfg.Store == nil {
		cfg.Store = storeOfAll(t)
	}
	e, err := engine.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	n := &node{t: t, engine: e, blocked: make(chan struct{}, 16)}
	n.register("echo", engine.HandlerFunc(handlers.Echo), engine.Policy{})
	n.register("fail", engine.HandlerFunc(handlers.Fail), engine.Policy{})
	n.register("retry", engine.HandlerFunc(failOnce), engine.Policy{MaxAttempts: 2, Backoff: engine.Backoff{Initial: time.Millisecond}})
	n.register("block", engine.HandlerFunc(n.block), engine.Policy{Concurrency: 1, QueueLimit: 1, Timeout: -1})
	n.sockets = ws.New(e, ws.Config{CloseSpread: time.Millisecond})
	n.workers = remote.New(e, remote.Config{})
	n.work = ws.NewWork(n.workers, ws.Config{CloseSpread: time.Millisecond})
	reference, err := docs.Handler()
	if err != nil {
		t.Fatal(err)
	}
	h, err := api.New(e, api.Config{
		OpenAPI:     activemessage.OpenAPI(),
		Docs:        reference,
		AsyncAPI:    activemessage.AsyncAPI(),
		Metrics:     http.HandlerFunc(metrics),
		WebSocket:   n.sockets,
		Work:        n.work,
		Workers:     n.workers,
		BodyTimeout: 100 * time.Millisecond,
		MaxWait:     maxWait,
		MaxStreams:  maxStreams,
	})
	if err != nil {
		t.Fatal(err)
	}
	n.routes = h.(chi.Routes)
	n.Server = httptest.NewServer(wrap(h))
	t.Cleanup(n.stop)
	return n
}

func newChecker(t tester) *contract.Checker {
	t.Helper()
	checker, err := contract.New(activemessage.OpenAPI())
	if err != nil {
		t.Fatal(err)
	}
	return checker
}

// maxStreams is how many event streams a node allows.
const maxStreams = 8

func metrics(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	_, _ = io.WriteString(w, "up 1\n")
}

func (n *node) register(name string, h engine.Handler, p engine.Policy) {
	n.t.Helper()
	if err := n.engine.Register(name, h, p); err != nil {
		n.t.Fatal(err)
	}
}

// failOnce succeeds at the second attempt.
func failOnce(_ context.Context, m *engine.Message) (engine.Result, error) {
	if m.Attempt == 1 {
		return engine.Result{}, &engine.Error{Code: "once", Message: "once"}
	}
	return engine.Result{}, nil
}

// block runs until its context ends.
func (n *node) block(ctx context.Context, _ *engine.Message) (engine.Result, error) {
	n.blocked <- struct{}{}
	<-ctx.Done()
	return engine.Result{}, ctx.Err()
}

func (n *node) stop() {
	now, cancel := context.WithCancel(context.Background())
	cancel()
	_ = n.engine.Drain(now) // its error is that now has ended
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := errors.Join(n.sockets.Shutdown(ctx), n.work.Shutdown(ctx)); err != nil {
		n.t.Error(err)
	}
	n.workers.Close()
	n.Client().CloseIdleConnections()
	n.Close()
}

// run submits a message and waits for its end.
func (n *node) run(messageType, data string) string {
	n.t.Helper()
	sub, err := n.engine.Subscribe(engine.Selector{ResponseNotification: "*"}, engine.Cursor{})
	if err != nil {
		n.t.Fatal(err)
	}
	defer sub.Close()
	id := n.submit(messageType, data)
	if _, err := sub.Next(n.t.Context()); err != nil {
		n.t.Fatal(err)
	}
	return id
}

func (n *node) submit(messageType, data string) string {
	n.t.Helper()
	receipt, err := n.engine.Submit(n.t.Context(), engine.Submission{
		MessageType: messageType, MessageData: []byte(data), ContentType: "application/json",
		ResponseNotification: "r", Metadata: map[string]string{"tenant": "acme"},
	})
	if err != nil {
		n.t.Fatal(err)
	}
	return receipt.ID.String()
}
