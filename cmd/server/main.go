// Command server accepts messages over REST, runs their handlers, and pushes
// notifications over WebSocket. See --help and the README.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/activemessage/activemessage/engine/sqlitestore"
)

// version is set by the linker in releases.
var version = "dev"

// Exit codes beside 0 and those of the flag parser.
const (
	exitFailed      = 1
	exitInterrupted = 130
)

// gcPercent lets the heap grow to five times what is live between collections:
// messages are short-lived, and collecting them as often as Go does by default
// costs a fifth of the throughput. GOGC in the environment overrides it.
const gcPercent = 400

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	cfg, done, err := parse(os.Args[1:], os.Stdout, version)
	switch {
	case err != nil:
		fmt.Fprintf(os.Stderr, "server: %v\n", err)
		os.Exit(2)
	case done:
		return
	case cfg.Backup != "":
		if err := sqlitestore.Backup(context.Background(), cfg.Data, cfg.Backup); err != nil {
			fmt.Fprintf(os.Stderr, "server: %v\n", err)
			os.Exit(exitFailed)
		}
		fmt.Printf("%s is copied to %s\n", cfg.Data, cfg.Backup)
		return
	case cfg.Healthcheck:
		if err := healthcheck(cfg.Listen); err != nil {
			fmt.Fprintf(os.Stderr, "server: %v\n", err)
			os.Exit(exitFailed)
		}
		return
	}
	os.Exit(run(cfg))
}

// run serves until a signal. The first one drains, the second one ends at once.
func run(cfg Config) int {
	// First of all, so that a signal that comes while starting is not lost.
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	logger := newLogger(os.Stderr, cfg)
	app, err := New(cfg, logger)
	if err != nil {
		logger.Error("cannot start", "error", err)
		return exitFailed
	}
	if err := app.Start(); err != nil {
		logger.Error("cannot start", "error", err)
		return exitFailed
	}
	select {
	case s := <-signals:
		logger.Info("draining: a second signal ends at once", "signal", s.String(), "drain_timeout", cfg.DrainTimeout.String())
	case err := <-app.Failed():
		logger.Error("server failed", "error", err)
	case <-app.StoreFailed():
		logger.Error("draining: the data must be opened again")
	}
	stopped := make(chan error, 1)
	go func() { stopped <- app.Stop(context.Background()) }()
	select {
	case err := <-stopped:
		if err != nil {
			logger.Error("stopped", "error", err)
			if errors.Is(err, context.DeadlineExceeded) {
				logger.Error("the drain timeout was too short: " + app.fateOfUnfinished())
			}
			return exitFailed
		}
		logger.Info("stopped")
		return 0
	case <-signals:
		logger.Warn("ended at once")
		return exitInterrupted
	}
}
