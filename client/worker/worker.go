package worker

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"
)

// stopGrace is what handlers have to return, and the worker to deliver, after
// Config.DrainTimeout.
const stopGrace = 5 * time.Second

// worker is one Run. It owns the goroutines of the handlers; its leases are shared
// with the session of the moment.
type worker struct {
	cfg      Config
	address  string
	instance string
	log      *slog.Logger
	// base is what the contexts of handlers come from: the values of Run's, which they
	// outlive.
	base context.Context

	leases leases
	// lease is how long the server keeps a lease, and connected when the last session
	// ended. They are the connecting goroutine's.
	lease     time.Duration
	connected time.Time
	// handlers counts the goroutines of jobs.
	handlers sync.WaitGroup
}

// Run connects to the server and does its jobs until ctx ends, then drains: see the
// package comment. The error is an *InvalidError or an *UnsettledError; nil means that
// nothing was left behind.
func Run(ctx context.Context, cfg Config) error {
	if err := cfg.validate(); err != nil {
		return err
	}
	address, err := cfg.address()
	if err != nil {
		return err
	}
	cfg = cfg.withDefaults()
	w := &worker{cfg: cfg, address: address, instance: rand.Text(), log: cfg.Logger, base: context.WithoutCancel(ctx)}
	w.leases.init(cfg.Window, w.start)

	connecting, disconnect := context.WithCancel(w.base)
	var connection sync.WaitGroup
	connection.Go(func() { w.connect(connecting) })
	<-ctx.Done()
	err = w.drain()
	disconnect()
	connection.Wait()
	return err
}

// drain takes no more jobs, and returns when everything is settled or its time is up.
func (w *worker) drain() error {
	w.leases.drain()
	if w.await(w.cfg.DrainTimeout) {
		w.handlers.Wait()
		return nil
	}
	w.leases.interrupt()
	if w.await(stopGrace) {
		w.handlers.Wait()
		return nil
	}
	running, unsettled := w.leases.rest()
	return &UnsettledError{Running: running, Unsettled: unsettled}
}

// await reports whether everything was settled within d.
func (w *worker) await(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		if running, unsettled := w.leases.rest(); running+unsettled == 0 {
			return true
		}
		select {
		case <-w.leases.changed:
		case <-timer.C:
			running, unsettled := w.leases.rest()
			return running+unsettled == 0
		}
	}
}

// start runs a job in a goroutine of its own. Its place in the window is taken. It
// does not block.
func (w *worker) start(a *attempt) {
	w.handlers.Go(func() {
		// This stands if the handler ends its goroutine (runtime.Goexit).
		report := &outcome{failure: crashed()}
		defer func() {
			a.stop(nil)
			w.leases.finish(a, report)
		}()
		w.handle(a, report)
	})
}

// handle calls the handler and sets the report. Whatever the handler does, the worker
// lives.
func (w *worker) handle(a *attempt, report *outcome) {
	ctx := a.ctx
	if !a.job.Deadline.IsZero() {
		var release context.CancelFunc
		ctx, release = context.WithDeadlineCause(ctx, a.job.Deadline, ErrTimeout)
		defer release()
	}
	defer func() {
		if p := recover(); p != nil {
			w.log.Error("handler crashed", "type", a.job.MessageType, "id", a.id, "lease", a.lease, "panic", p, "stack", string(debug.Stack()))
		}
	}()
	result, err := w.cfg.Handlers[a.job.MessageType](ctx, a.job)
	if err == nil {
		*report = outcome{result: result}
		return
	}
	f := newFailure(err, context.Cause(ctx))
	if own, is := errors.AsType[*Error](err); (!is || own.Unwrap() != nil) && f.kind != kindSnooze { // then the server is not told all
		w.log.Warn("handler failed", "type", a.job.MessageType, "id", a.id, "lease", a.lease, "attempt", a.job.Attempt, "error", err)
	}
	*report = outcome{failure: f}
}
