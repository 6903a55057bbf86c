package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/activemessage/activemessage"
	"github.com/activemessage/activemessage/api"
	"github.com/activemessage/activemessage/engine"
	"github.com/activemessage/activemessage/engine/remote"
	"github.com/activemessage/activemessage/engine/sqlitestore"
	"github.com/activemessage/activemessage/internal/docs"
	"github.com/activemessage/activemessage/internal/metrics"
	"github.com/activemessage/activemessage/internal/tracing"
	"github.com/activemessage/activemessage/ws"
)

const (
	readHeaderTimeout = 10 * time.Second
	idleTimeout       = 2 * time.Minute
	maxHeaderBytes    = 32 << 10
	// closeTimeout is for the goodbyes after the drain.
	closeTimeout = 10 * time.Second
)

// App is the whole server: what New builds, Start opens to the world and Stop
// takes down in the reverse order.
type App struct {
	cfg      Config
	in       *invocation // that it was started with
	logger   *slog.Logger
	tracing  *tracing.Tracing   // nil if off
	store    *sqlitestore.Store // nil if in memory
	engine   *engine.Engine
	roster   *roster
	reloads  reloads
	sockets  *ws.Server
	workers  *remote.Workers
	work     *ws.Work
	http     *http.Server
	listener net.Listener
	failed   chan error     // Serve's error; capacity 1, never closed
	serving  sync.WaitGroup // Serve's goroutine, which Stop awaits
}

// New wires the parts. Nothing listens yet.
func New(in *invocation, logger *slog.Logger) (*App, error) {
	cfg := in.Config
	ctx := context.Background()
	traces, err := tracing.FromEnvironment(ctx, os.Getenv, version)
	if err != nil {
		return nil, err
	}
	a := &App{cfg: cfg, in: in, logger: logger, tracing: traces, failed: make(chan error, 1)}
	engineConfig := engine.Config{
		Concurrency:     cfg.Concurrency,
		QueueLimit:      cfg.QueueLimit,
		MaxMessageBytes: cfg.MaxMessageBytes,
		MaxResultBytes:  cfg.MaxResultBytes,
		Logger:          logger,
	}
	if traces != nil {
		engineConfig.Observer = traces
		tracing.LogTo(logger)
		logger.Info("tracing: spans are exported by OTLP")
	}
	if err := a.openStore(ctx, &engineConfig); err != nil {
		return nil, err
	}
	if a.engine, err = engine.New(engineConfig); err != nil {
		return nil, errors.Join(err, a.closeStore())
	}
	a.sockets = ws.New(a.engine, ws.Config{AllowOrigins: cfg.AllowOrigin, Logger: logger})
	a.workers = remote.New(a.engine, remote.Config{Drain: cfg.DrainTimeout, Logger: logger})
	a.work = ws.NewWork(a.workers, ws.Config{AllowOrigins: cfg.AllowOrigin, Logger: logger})
	if err := a.wire(); err != nil {
		return nil, errors.Join(err, a.Stop(context.Background()))
	}
	return a, nil
}

// openStore opens the data, unless there shall be none.
func (a *App) openStore(ctx context.Context, cfg *engine.Config) (err error) {
	if a.cfg.Store == "memory" {
		return nil
	}
	if cfg.Retention, err = a.cfg.retention(); err != nil {
		return err
	}
	a.store, err = sqlitestore.Open(ctx, sqlitestore.Config{Dir: a.cfg.Data, MinFree: a.cfg.MinFreeBytes, Logger: a.logger})
	if err != nil {
		return err
	}
	cfg.Store = a.store
	return nil
}

func (a *App) closeStore() error {
	if a.store == nil {
		return nil
	}
	return a.store.Close()
}

func (a *App) wire() error {
	a.roster = newRoster(a.engine, parts{logger: a.logger, gone: a.pause, maxResult: a.cfg.MaxResultBytes})
	if _, err := a.roster.apply(a.in); err != nil {
		return err
	}
	a.warnOfCallback(a.in)
	a.reloads.stats.LastSuccess = time.Now()
	var middleware []func(http.Handler) http.Handler
	if a.tracing != nil {
		middleware = append(middleware, a.tracing.Middleware)
	}
	reference, err := docs.Handler()
	if err != nil {
		return err
	}
	rest, err := api.New(a.engine, api.Config{
		Middleware:   middleware,
		OpenAPI:      activemessage.OpenAPI(),
		Docs:         reference,
		AsyncAPI:     activemessage.AsyncAPI(),
		Metrics:      a.metrics(),
		WebSocket:    a.sockets,
		Work:         a.work,
		Workers:      a.workers,
		AllowOrigins: a.cfg.AllowOrigin,
		Logger:       a.logger,
	})
	if err != nil {
		return err
	}
	a.http = &http.Server{
		Handler:           rest,
		ReadHeaderTimeout: readHeaderTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(a.logger.Handler(), slog.LevelDebug),
	}
	return nil
}

// metrics returns the scrape endpoint.
func (a *App) metrics() http.Handler {
	source := metrics.Source{
		Engine:      a.engine.Stats,
		Connections: func() int { return a.sockets.Stats().Connections },
		Workers:     a.workers.Stats,
		Version:     version,
	}
	if a.in.file != nil {
		source.Reloads = a.reloads.snapshot
	}
	return metrics.Handler(source)
}

// pause keeps the messages of a type whose receiver wants no more of them, until an
// operator takes it back.
func (a *App) pause(messageType string) {
	if _, err := a.engine.Reconfigure(messageType, func(p *engine.Policy) { p.Paused = true }); err != nil {
		a.logger.Error("the receiver of a webhook is gone, and its message type could not be paused", "message_type", messageType, "error", err)
		return
	}
	a.logger.Error("the receiver of a webhook is gone: its message type is paused", "message_type", messageType)
}

// Start listens and serves in a goroutine that Stop ends.
func (a *App) Start() error {
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", a.cfg.Listen)
	if err != nil {
		return errors.Join(fmt.Errorf("--listen: %w", err), a.Stop(context.Background()))
	}
	a.listener = listener
	a.serving.Go(func() {
		if err := a.http.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			a.failed <- err
		}
	})
	a.logger.Info("listening", "addr", a.Addr(), "url", localURL(a.Addr(), "/"), "version", version)
	return nil
}

// Addr is the address that is listened on.
func (a *App) Addr() string { return a.listener.Addr().String() }

// Failed receives why serving ended without Stop.
func (a *App) Failed() <-chan error { return a.failed }

// StoreFailed is closed when the store has failed: only a restart helps.
func (a *App) StoreFailed() <-chan struct{} { return a.engine.Failed() }

// fateOfUnfinished says what becomes of work that Stop has no time for.
func (a *App) fateOfUnfinished() string {
	if a.store == nil {
		return "what was left was cancelled, and its subscribers told so"
	}
	return "what was left runs again after the next start"
}

// Stop takes no more work, finishes what runs, and in memory what was accepted, within
// the drain timeout, lets subscribers have every outcome, and closes. The error is
// context.DeadlineExceeded if the time was too short for that.
func (a *App) Stop(ctx context.Context) error {
	a.sockets.Drain()
	err := within(ctx, a.cfg.DrainTimeout, a.engine.Drain)
	a.logger.Info("drained", "error", err)

	if closeErr := within(ctx, closeTimeout, a.sockets.Shutdown); closeErr != nil {
		a.logger.Warn("some subscribers were cut", "error", closeErr)
	}
	if closeErr := within(ctx, closeTimeout, a.work.Shutdown); closeErr != nil {
		a.logger.Warn("some workers were cut", "error", closeErr)
	}
	a.workers.Close()
	if a.http != nil {
		if closeErr := within(ctx, closeTimeout, a.http.Shutdown); closeErr != nil {
			_ = a.http.Close()
		}
		a.serving.Wait()
	}
	if a.tracing != nil {
		if traceErr := within(ctx, closeTimeout, a.tracing.Shutdown); traceErr != nil {
			a.logger.Warn("some spans were not exported", "error", traceErr)
		}
	}
	if a.roster != nil {
		a.roster.close()
	}
	if closeErr := a.closeStore(); closeErr != nil {
		a.logger.Error("the data was not closed cleanly", "error", closeErr)
	}
	return err
}

// within gives a step a time of its own, so that a slow one takes nothing from those
// that follow.
func within(ctx context.Context, timeout time.Duration, step func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return step(ctx)
}
