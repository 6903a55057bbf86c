package api

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/activemessage/activemessage/engine"
	"github.com/activemessage/activemessage/engine/remote"
	"github.com/activemessage/activemessage/internal/wire"
)

// Config sets what New needs beside the engine. Its zero value serves the REST
// endpoints alone.
type Config struct {
	// OpenAPI is served at /openapi.yaml, AsyncAPI at /asyncapi.yaml; nil means 404.
	OpenAPI, AsyncAPI []byte
	// Docs is served at /docs and below; nil means 404.
	Docs http.Handler
	// Metrics is served at /metrics; nil means 404.
	Metrics http.Handler
	// WebSocket is served at /v1/ws; nil means 404.
	WebSocket http.Handler
	// Work is served at /v1/work, for workers by WebSocket; nil means 404.
	Work http.Handler
	// Workers serves the calls below /v1/work, for workers by plain HTTP; nil means 404.
	Workers *remote.Workers
	// Middleware wraps every route, the first outermost, where chi has its own: inside
	// of the router, so that the request's Pattern is known when it returns.
	Middleware []func(http.Handler) http.Handler
	// AllowOrigins are patterns (path.Match) of the hosts ("*.example"), or with a
	// scheme of the origins ("https://app.example"), whose pages may use the server.
	// Without any, only same-origin pages may; what is not a browser always may.
	AllowOrigins []string
	// BodyTimeout is how long a request's body may take. Defaults to 30 s.
	BodyTimeout time.Duration
	// MaxWait bounds how long a request waits for an outcome by its Prefer header.
	// Defaults to 60 s.
	MaxWait time.Duration
	// Heartbeat is how often an event stream with nothing to tell says so. Defaults
	// to 20 s.
	Heartbeat time.Duration
	// WriteTimeout cuts a reader of an event stream that takes no byte for so long.
	// Defaults to 30 s.
	WriteTimeout time.Duration
	// MaxStreams bounds the open event streams. Defaults to 65,536.
	MaxStreams int
	// Logger receives requests at debug level and failures at error level.
	// Defaults to discarding them.
	Logger *slog.Logger
}

type server struct {
	engine  *engine.Engine
	cfg     Config
	maxBody int64 // of an envelope
	origins *http.CrossOriginProtection
	events  *wire.Cache // of event streams
	streams atomic.Int64
	batches sync.Pool // of *streamBatch
}

// New returns the handler. It is a chi.Routes. The error names an AllowOrigins
// entry that is no pattern.
func New(e *engine.Engine, cfg Config) (http.Handler, error) {
	cfg.BodyTimeout = cmp.Or(cfg.BodyTimeout, 30*time.Second)
	cfg.MaxWait = cmp.Or(cfg.MaxWait, time.Minute)
	cfg.Heartbeat = cmp.Or(cfg.Heartbeat, 20*time.Second)
	cfg.WriteTimeout = cmp.Or(cfg.WriteTimeout, 30*time.Second)
	cfg.MaxStreams = cmp.Or(cfg.MaxStreams, 65_536)
	cfg.Logger = cmp.Or(cfg.Logger, slog.New(slog.DiscardHandler))
	s := &server{
		engine:  e,
		cfg:     cfg,
		maxBody: wire.MaxEnvelopeBytes(e.Config().MaxMessageBytes),
		origins: http.NewCrossOriginProtection(),
		events:  wire.NewCache(encodeEvent),
		batches: sync.Pool{New: func() any { return newStreamBatch() }},
	}
	if err := checkOrigins(cfg.AllowOrigins); err != nil {
		return nil, err
	}
	r := chi.NewRouter()
	r.Use(cfg.Middleware...)
	r.Use(s.boundBody)
	if len(cfg.AllowOrigins) > 0 {
		r.Use(s.cors())
	}
	r.NotFound(s.handle(notFound))
	r.MethodNotAllowed(s.methodNotAllowed(r))
	s.routes(r)
	return r, nil
}

func (s *server) routes(r chi.Router) {
	read := func(path string, h handler) {
		r.Get(path, s.handle(h))
		r.Head(path, s.handle(h))
	}
	read("/", s.index)
	r.Post("/v1/messages", s.handle(s.submitMessage))
	r.Post("/v1/messages/batch", s.handle(s.submitBatch))
	r.Post("/v1/messages/retry", s.handle(s.retryMessages))
	read("/v1/messages", s.listMessages)
	read("/v1/messages/{id}", s.getMessage)
	r.Delete("/v1/messages/{id}", s.handle(s.cancelMessage))
	read("/v1/messages/{id}/result", s.getMessageResult)
	r.Post("/v1/messages/{id}/retry", s.handle(s.retryMessage))
	read("/v1/handlers", s.listHandlers)
	read("/v1/handlers/{message_type}", s.getHandler)
	r.Post("/v1/handlers/{message_type}", s.handle(s.submitBytes))
	r.Patch("/v1/handlers/{message_type}", s.handle(s.updateHandler))
	r.Get("/v1/notifications", s.handle(s.readNotifications))
	read("/livez", s.live)
	read("/readyz", s.ready)
	if s.cfg.OpenAPI != nil {
		read("/openapi.yaml", document(s.cfg.OpenAPI))
	}
	if s.cfg.AsyncAPI != nil {
		read("/asyncapi.yaml", document(s.cfg.AsyncAPI))
	}
	if s.cfg.Docs != nil {
		for _, path := range []string{"/docs", "/docs/{file}"} {
			r.Method(http.MethodGet, path, s.cfg.Docs)
			r.Method(http.MethodHead, path, s.cfg.Docs)
		}
	}
	if s.cfg.Metrics != nil {
		r.Method(http.MethodGet, "/metrics", s.cfg.Metrics)
	}
	if s.cfg.WebSocket != nil {
		r.Method(http.MethodGet, "/v1/ws", s.cfg.WebSocket)
	}
	if s.cfg.Work != nil {
		r.Method(http.MethodGet, "/v1/work", s.cfg.Work)
	}
	if s.cfg.Workers != nil {
		r.Post("/v1/work/take", s.handle(s.takeWork))
		r.Post("/v1/work/{id}/done", s.handle(s.finishWork))
		r.Post("/v1/work/{id}/fail", s.handle(s.failWork))
		r.Post("/v1/work/{id}/beat", s.handle(s.beatWork))
	}
}

// handler answers a request, or returns the error to answer it with.
type handler func(w http.ResponseWriter, r *http.Request) error

// handle makes an http.HandlerFunc of a handler: the one place where errors
// become problems, panics become errors, and requests are logged.
func (s *server) handle(h handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		debug := s.cfg.Logger.Enabled(r.Context(), slog.LevelDebug)
		var began time.Time
		if debug {
			began = time.Now()
		}
		defer func() {
			if p := recover(); p != nil {
				s.crashed(w, r, p)
			}
		}()
		status := "ok"
		if err := s.call(h, w, r); err != nil {
			problem := wire.ProblemFor(err)
			status = problem.Code
			if problem.Status == http.StatusInternalServerError {
				s.cfg.Logger.Error("request failed", slog.String("path", r.URL.Path), slog.Any("error", err))
			}
			problem.Write(w)
		}
		if debug {
			s.cfg.Logger.Debug("request", slog.String("method", r.Method), slog.String("path", r.URL.Path),
				slog.String("answer", status), slog.Duration("duration", time.Since(began)))
		}
	}
}

func (s *server) call(h handler, w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		if err := s.checkOrigin(r); err != nil {
			return err
		}
	}
	return h(w, r)
}

func (s *server) crashed(w http.ResponseWriter, r *http.Request, p any) {
	if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(p)
	}
	s.cfg.Logger.Error("request crashed", slog.String("path", r.URL.Path), slog.Any("panic", p))
	wire.ProblemFor(fmt.Errorf("panic: %v", p)).Write(w)
}

func notFound(_ http.ResponseWriter, r *http.Request) error {
	return wire.NewProblem("not_found", "there is nothing at "+r.URL.Path+": GET / lists what there is")
}

// methodNotAllowed answers with the methods that the path allows (RFC 9110,
// section 15.5.6). For a method that the router does not know it is called whatever
// the path is.
func (s *server) methodNotAllowed(routes chi.Routes) http.HandlerFunc {
	return s.handle(func(w http.ResponseWriter, r *http.Request) error {
		path := cmp.Or(r.URL.RawPath, r.URL.Path) // as chi routes
		var allowed []string
		for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPatch, http.MethodDelete} {
			if routes.Match(chi.NewRouteContext(), method, path) {
				allowed = append(allowed, method)
			}
		}
		if len(allowed) == 0 {
			return notFound(w, r)
		}
		w.Header().Set("Allow", strings.Join(allowed, ", "))
		return wire.NewProblem("method_not_allowed", r.Method+" is not allowed here: use "+strings.Join(allowed, ", "))
	})
}
