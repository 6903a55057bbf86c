package ws

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/activemessage/activemessage/engine/remote"
	"github.com/activemessage/activemessage/internal/wire"
)

// ProtocolWork is the subprotocol of workers.
const ProtocolWork = "activemessage.worker.v1.json"

// Work serves workers: who run messages outside of the server. It owns all goroutines of
// their connections, which Shutdown awaits.
type Work struct {
	workers    *remote.Workers
	cfg        Config
	goroutines sync.WaitGroup

	mu sync.Mutex
	// All below is guarded by mu.
	connections map[*workConnection]struct{}
	stopping    bool
}

// NewWork makes a handler for workers. Of Config, Flushers and PingInterval mean nothing
// here: a worker beats. ReadLimit defaults to what a result of the engine's MaxResultBytes
// needs.
func NewWork(workers *remote.Workers, cfg Config) *Work {
	e := workers.Engine()
	if cfg.ReadLimit == 0 {
		cfg.ReadLimit = wire.MaxEnvelopeBytes(max(e.Config().MaxMessageBytes, e.Config().MaxResultBytes))
	}
	return &Work{workers: workers, cfg: cfg.withDefaults(e), connections: make(map[*workConnection]struct{})}
}

// ServeHTTP upgrades a request and returns; the connection lives on. What cannot be
// upgraded is answered with a problem document.
func (s *Work) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := s.upgrade(w, r); err != nil {
		writeRefusal(w, err)
	}
}

func (s *Work) upgrade(w http.ResponseWriter, r *http.Request) error {
	if r.URL.RawQuery != "" {
		return wire.NewProblem("malformed_request", "this takes no query parameters: say all in the hello")
	}
	if err := offersWork(r); err != nil {
		return err
	}
	c := newWorkConnection(s)
	if err := s.admit(c); err != nil {
		return err
	}
	conn, hijack := accept(w, r, &s.cfg, ProtocolWork)
	if conn == nil {
		s.remove(c)
		s.goroutines.Done()
		return hijack.refusal
	}
	c.start(conn, hijack)
	go c.run() // counted since admit
	return nil
}

// offersWork refuses who does not speak the protocol; who says nothing is taken to.
func offersWork(r *http.Request) error {
	if !headerHas(r.Header, "Upgrade", "websocket") {
		return wire.NewProblem("upgrade_required", "this is a WebSocket for workers: connect with the subprotocol "+ProtocolWork+
			", or take messages by POST /v1/work/take")
	}
	offered := r.Header.Values("Sec-WebSocket-Protocol")
	if len(offered) == 0 || headerHas(r.Header, "Sec-WebSocket-Protocol", ProtocolWork) {
		return nil
	}
	return wire.NewProblem("malformed_request", fmt.Sprintf(
		"none of the subprotocols %.100q is spoken here: use %s", strings.Join(offered, ", "), ProtocolWork))
}

// admit counts a connection in, or refuses it. A server that drains takes them: what workers
// hold has to be settled.
func (s *Work) admit(c *workConnection) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.stopping:
		return wire.ProblemFor(remote.ErrClosed)
	case len(s.connections) >= s.cfg.MaxConnections:
		return wire.ProblemFor(remote.ErrFull)
	}
	s.connections[c] = struct{}{}
	s.goroutines.Add(1) // run's, from here on so that Shutdown awaits an upgrade that is under way
	return nil
}

func (s *Work) remove(c *workConnection) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.connections, c)
}

// Shutdown ends all connections, after the engine has drained: each is first sent what is
// left for it, then a close with code 1012 within Config.CloseSpread. When ctx ends first,
// what is still open is cut. It returns when no goroutine of the server is left. It may be
// called more than once.
func (s *Work) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.stopping = true
	all := slices.Collect(maps.Keys(s.connections))
	s.mu.Unlock()
	finishAll(ctx, s.cfg.CloseSpread, all)
	err := ctx.Err()
	s.goroutines.Wait()
	return err
}

func (s *Work) debug(what string, err error) {
	s.cfg.Logger.Debug("worker socket: "+what, slog.Any("error", err))
}

var _ http.Handler = (*Work)(nil)
