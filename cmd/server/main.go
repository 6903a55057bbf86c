// Command server accepts messages over REST, runs their handlers, and pushes
// notifications over WebSocket. See --help and the README.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
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
	exitUsage       = 2
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
	in, done, err := parse(os.Args[1:], os.Stdout, version)
	switch {
	case err != nil:
		os.Exit(complain(err))
	case done:
		return
	case in.command == commandCheck:
		os.Exit(check(in, os.Stdout))
	case in.Backup != "":
		if err := sqlitestore.Backup(context.Background(), in.Data, in.Backup); err != nil {
			os.Exit(complain(err))
		}
		fmt.Printf("%s is copied to %s\n", in.Data, in.Backup)
		return
	case in.Healthcheck:
		if err := healthcheck(in.Listen); err != nil {
			os.Exit(complain(err))
		}
		return
	}
	// Before the data is opened: whoever mends a file may not wait for that.
	if err := in.tryHandlers(); err != nil {
		os.Exit(complain(err))
	}
	os.Exit(run(in))
}

// complain tells each fault in a line and returns the exit code.
func complain(err error) int {
	for _, fault := range eachOf(err) {
		fmt.Fprintf(os.Stderr, "server: %v\n", fault)
	}
	if _, is := errors.AsType[usageError](err); is {
		return exitUsage
	}
	return exitFailed
}

// run serves until a signal. The first one drains, the second one ends at once. With a
// configuration file, SIGHUP reloads it; without one it ends the process, as ever.
func run(in *invocation) int {
	// First of all, so that a signal that comes while starting is not lost.
	signals, hangups := make(chan os.Signal, 2), make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	if in.file != nil {
		signal.Notify(hangups, syscall.SIGHUP)
	}
	logger := newLogger(os.Stderr, in.Config)
	app, err := New(in, logger)
	if err != nil {
		logger.Error("cannot start", "error", err)
		return exitFailed
	}
	if err := app.Start(); err != nil {
		logger.Error("cannot start", "error", err)
		return exitFailed
	}
	app.await(signals, hangups)
	return stop(app, signals)
}

// await returns when the server shall end.
func (a *App) await(signals, hangups <-chan os.Signal) {
	for {
		select {
		case <-hangups:
			a.Reload(func() (*invocation, error) {
				in, _, err := parse(os.Args[1:], io.Discard, version)
				return in, err
			})
		case s := <-signals:
			a.logger.Info("draining: a second signal ends at once", "signal", s.String(), "drain_timeout", a.cfg.DrainTimeout.String())
			return
		case err := <-a.Failed():
			a.logger.Error("server failed", "error", err)
			return
		case <-a.StoreFailed():
			a.logger.Error("draining: the data must be opened again")
			return
		}
	}
}

// stop drains, unless another signal comes, and returns the exit code.
func stop(app *App, signals <-chan os.Signal) int {
	logger := app.logger
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
