package engine

import (
	"context"
	"log/slog"
	"time"
)

const (
	// A step forgets as many messages and notifications: few enough for those who wait
	// for a commit meanwhile not to notice, or twice as many changes as were committed since the
	// step before, so that load cannot outrun it.
	minRetainStep = 500
	maxRetainStep = 4 * maxChanges
	// retainEvery is how often bounds in bytes are looked after while messages end.
	retainEvery = time.Second
	// maxRetainWait is for when there is nothing to forget.
	maxRetainWait = time.Hour
)

// runRetention is the goroutine that lets the store forget, owned by the engine.
func (e *Engine) runRetention() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	soon := true // and what ends until then is looked after together
	for {
		select {
		case <-timer.C:
			next := e.retain()
			timer.Reset(e.retainWait(next))
			soon = false
		case <-e.durable.grown:
			if !soon {
				timer.Reset(retainEvery)
				soon = true
			}
		case <-e.drains:
			return
		}
	}
}

func (e *Engine) retainWait(next time.Time) time.Duration {
	if next.IsZero() {
		return maxRetainWait
	}
	return min(max(time.Until(e.durable.clock.loaded(next)), retainEvery), maxRetainWait)
}

// retain takes steps until nothing more is to be forgotten, and returns when something
// is.
func (e *Engine) retain() (next time.Time) {
	d := e.durable
	step := minRetainStep
	for changes := d.changes.Load(); ; {
		done, err := d.store.Retain(context.Background(), e.cfg.Retention, d.clock.stored(time.Now()), step)
		if err != nil {
			e.cfg.Logger.Error("retention failed", slog.String("error", err.Error()))
			return time.Time{}
		}
		e.log.retained(done.First)
		e.mu.Lock()
		d.stats.Forgotten += uint64(done.Messages)
		d.stats.ForgottenNotifications += uint64(done.Notifications)
		draining := e.draining
		e.mu.Unlock()
		if !done.More || draining {
			return done.Next
		}
		before := changes
		changes = d.changes.Load()
		step = int(min(max(2*(changes-before), minRetainStep), maxRetainStep))
	}
}
