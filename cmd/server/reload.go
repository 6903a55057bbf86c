package main

import (
	"errors"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/activemessage/activemessage/internal/config"
	"github.com/activemessage/activemessage/internal/metrics"
)

// reloads counts what Reload did, for metrics.
type reloads struct {
	mu    sync.Mutex // guards stats
	stats metrics.Reloads
}

func (r *reloads) snapshot() metrics.Reloads {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stats
}

// count notes how a reload ended.
func (r *reloads) count(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		r.stats.Failed++
		return
	}
	r.stats.Succeeded++
	r.stats.LastSuccess = time.Now()
}

// Reload reads the configuration again and changes handlers and policies to what it says.
// If anything is wrong with it, it is logged and all stays as it is. It is called one at a
// time.
func (a *App) Reload(load func() (*invocation, error)) {
	in, err := load()
	var done changes
	if err == nil {
		done, err = a.roster.apply(in)
	}
	a.reloads.count(err)
	if err != nil {
		for _, fault := range eachOf(err) {
			a.logger.Error("the configuration is wrong", "error", fault)
		}
		a.logger.Error("not reloaded: all stays as it was")
		return
	}
	a.warnOfRestart(in)
	a.warnOfCallback(in)
	a.logger.Info("reloaded", "handlers", done.String())
}

// eachOf returns the faults that an error has.
func eachOf(err error) []error {
	if many, is := err.(interface{ Unwrap() []error }); is {
		var all []error
		for _, one := range many.Unwrap() {
			all = append(all, eachOf(one)...)
		}
		return all
	}
	faults, is := errors.AsType[config.Errors](err)
	if !is {
		return []error{err}
	}
	var all []error
	for _, fault := range faults {
		all = append(all, fault)
	}
	return all
}

// withoutCallback reports whether a webhook's receiver cannot be told where to settle.
func (in *invocation) withoutCallback() bool {
	return in.CallbackURL == "" && in.file != nil &&
		slices.ContainsFunc(in.file.Handlers, func(h config.Handler) bool { return h.Webhook != nil })
}

// warnOfCallback tells of what goes wrong only when a receiver answers 202.
func (a *App) warnOfCallback(in *invocation) {
	if in.withoutCallback() {
		a.logger.Warn("there are webhooks and no callback_url: receivers that answer 202 are not told where to settle")
	}
}

// warnOfRestart names the settings that are not as the server was started with.
func (a *App) warnOfRestart(in *invocation) {
	for _, s := range in.settings {
		if running := a.in.setting(s.key); s.key != "callback_url" && !reflect.DeepEqual(running.value, s.value) {
			a.logger.Warn("a setting needs a restart", "setting", s.key, "origin", s.origin)
		}
	}
}
