package ws

import (
	"cmp"
	"context"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/activemessage/activemessage/engine"
	"github.com/activemessage/activemessage/internal/wire"
)

// The subprotocols, by which a client chooses what frames look like.
const (
	ProtocolJSON        = "activemessage.v1.json"
	ProtocolText        = "activemessage.v1.text"
	ProtocolCloudEvents = "cloudevents.json"
)

// Config sets a Server's bounds. Fields say what their zero means.
type Config struct {
	// AllowOrigins are patterns (path.Match) of the origins whose pages may
	// connect, "app.example" or "https://*.example". The page's own origin, and
	// clients that are no browsers, always may.
	AllowOrigins []string
	// ReadLimit is the largest frame a client may send, in bytes. Defaults to
	// what a submit of the engine's MaxMessageBytes needs.
	ReadLimit int64
	// PingInterval is how often peers are pinged. Defaults to 30 s.
	PingInterval time.Duration
	// WriteTimeout cuts a peer that takes no byte for so long. Defaults to 30 s.
	WriteTimeout time.Duration
	// CloseSpread is the time over which Shutdown spreads the closes. Defaults
	// to 1 s.
	CloseSpread time.Duration
	// MaxConnections bounds the open connections. Defaults to 65,536.
	MaxConnections int
	// Flushers is how many goroutines write. Defaults to GOMAXPROCS.
	Flushers int
	// Logger receives connections at debug level. Defaults to discarding them.
	Logger *slog.Logger
}

func (c Config) withDefaults(e *engine.Engine) Config {
	c.ReadLimit = cmp.Or(c.ReadLimit, wire.MaxEnvelopeBytes(e.Config().MaxMessageBytes))
	c.PingInterval = cmp.Or(c.PingInterval, 30*time.Second)
	c.WriteTimeout = cmp.Or(c.WriteTimeout, 30*time.Second)
	c.CloseSpread = cmp.Or(c.CloseSpread, time.Second)
	c.MaxConnections = cmp.Or(c.MaxConnections, 65_536)
	c.Flushers = cmp.Or(c.Flushers, runtime.GOMAXPROCS(0))
	c.Logger = cmp.Or(c.Logger, slog.New(slog.DiscardHandler))
	return c
}

// Server upgrades requests and serves the connections. It owns all their
// goroutines, which Shutdown awaits.
type Server struct {
	engine   *engine.Engine
	cfg      Config
	flushers []*flusher
	next     atomic.Uint32          // whose turn it is to get a connection
	items    *wire.Cache            // of ProtocolJSON's frames
	frames   map[string]*wire.Cache // of the protocols with one notification a frame

	stop       chan struct{} // closed by Shutdown
	stopOnce   sync.Once
	goroutines sync.WaitGroup

	mu sync.Mutex
	// All below is guarded by mu.
	connections map[*connection]struct{}
	draining    bool
}

// Stats is a snapshot of a Server.
type Stats struct {
	// Connections is how many are open.
	Connections int
}

// New makes a server and starts its flushers and its pinger, which end with
// Shutdown.
func New(e *engine.Engine, cfg Config) *Server {
	s := &Server{
		engine: e,
		cfg:    cfg.withDefaults(e),
		stop:   make(chan struct{}),
		items:  wire.NewCache(itemJSON),
		frames: map[string]*wire.Cache{
			ProtocolText:        wire.NewCache(textFrame),
			ProtocolCloudEvents: wire.NewCache(eventFrame),
		},
		connections: make(map[*connection]struct{}),
	}
	for range s.cfg.Flushers {
		f := newFlusher()
		s.flushers = append(s.flushers, f)
		s.goroutines.Go(func() { f.run(s.stop) })
	}
	s.goroutines.Go(s.ping)
	return s
}

// Stats returns the current counts.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Stats{Connections: len(s.connections)}
}

// Drain tells every client that the server stops soon, and refuses new ones.
// Connections stay open, and go on to receive notifications.
func (s *Server) Drain() {
	s.mu.Lock()
	again := s.draining
	s.draining = true
	s.mu.Unlock()
	if again {
		return
	}
	for _, c := range s.all() {
		c.announceDraining()
	}
}

// Shutdown ends all connections, after the engine has drained: each one first
// receives what is left for it, then a close with code 1012 within
// Config.CloseSpread. When ctx ends first, what is still open is cut. It returns
// when no goroutine of the server is left. It may be called more than once.
func (s *Server) Shutdown(ctx context.Context) error {
	s.Drain()
	finishAll(ctx, s.cfg.CloseSpread, s.all())
	err := ctx.Err()
	s.stopOnce.Do(func() { close(s.stop) })
	s.goroutines.Wait()
	return err
}

// finisher is a connection of either kind.
type finisher interface {
	finish(ctx context.Context, delay time.Duration)
}

// finishAll has each connection finish after a random time within the spread, and returns
// when all have.
func finishAll[C finisher](ctx context.Context, spread time.Duration, all []C) {
	if deadline, ok := ctx.Deadline(); ok {
		spread = min(spread, time.Until(deadline)/2) // the other half is for the close handshakes
	}
	var closing sync.WaitGroup
	for _, c := range all {
		delay := rand.N(max(1, spread))
		closing.Go(func() { c.finish(ctx, delay) })
	}
	closing.Wait()
}

func (s *Server) all() []*connection {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.connections))
}

// ping is the pinger's goroutine: it finds peers that are gone without a word.
func (s *Server) ping() {
	ticker := time.NewTicker(s.cfg.PingInterval)
	defer ticker.Stop()
	for {
		select {
		case now := <-ticker.C:
			for _, c := range s.all() {
				c.ping(now, s.cfg.PingInterval)
			}
		case <-s.stop:
			return
		}
	}
}

var _ http.Handler = (*Server)(nil)
