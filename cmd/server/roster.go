package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/activemessage/activemessage/engine"
	"github.com/activemessage/activemessage/internal/config"
)

// roster is the handlers that the engine runs because the configuration says so. Types
// that workers register are not in it. Its methods are called one at a time.
type roster struct {
	engine *engine.Engine
	parts  parts
	listed map[string]*member // by message type
	named  bool               // whether the file that is applied has the key handlers
}

// member is a handler in the engine.
type member struct {
	plan    plan
	handler engine.Handler
}

func newRoster(e *engine.Engine, with parts) *roster {
	return &roster{engine: e, parts: with, listed: make(map[string]*member)}
}

// changes says what apply did, by message type, sorted.
type changes struct{ added, changed, removed []string }

// apply makes the engine run what is asked for. First all that is new is built: if any of
// it cannot be, nothing changes, and the error says all that is wrong. A handler whose
// source is the same stays, and one whose policy is the same, too, is left alone, with
// what was set at run time. What was accepted runs on. A file that has lost its key
// handlers is taken for one that was cut off, and refused.
func (r *roster) apply(in *invocation) (changes, error) {
	named := in.file != nil && in.file.HasHandlers
	if r.named && !named {
		return changes{}, handlersGone(in)
	}
	plans, err := in.plans()
	if err != nil {
		return changes{}, err
	}
	next, err := r.build(in, plans)
	if err != nil {
		return changes{}, err
	}
	r.named = named
	var done changes
	var failed []error
	for messageType, m := range r.listed {
		if next[messageType] == nil {
			failed = append(failed, r.engine.Unregister(messageType))
			delete(r.listed, messageType)
			retire(m.handler)
			done.removed = append(done.removed, messageType)
		}
	}
	for messageType, m := range next {
		old := r.listed[messageType]
		if old == m {
			continue
		}
		if err := r.put(m); err != nil {
			failed = append(failed, err)
			continue
		}
		r.listed[messageType] = m
		if old == nil {
			done.added = append(done.added, messageType)
			continue
		}
		done.changed = append(done.changed, messageType)
		if old.handler != m.handler {
			retire(old.handler)
		}
	}
	for _, names := range [][]string{done.added, done.changed, done.removed} {
		slices.Sort(names)
	}
	return done, errors.Join(failed...)
}

// handlersGone is the fault of a file that had handlers before.
func handlersGone(in *invocation) error {
	const reason = "handlers is gone: write handlers: {} to remove all"
	if in.file == nil {
		return errors.New(reason)
	}
	return in.file.Fault(reason)
}

// build returns the members that shall be; those that stay as they are are the same.
func (r *roster) build(in *invocation, plans []plan) (map[string]*member, error) {
	next := make(map[string]*member, len(plans))
	var fresh []engine.Handler
	var faults []error
	for _, p := range plans {
		old := r.listed[p.messageType]
		switch {
		case old == nil || !old.plan.same(p):
			h, err := in.build(p, r.parts)
			if err != nil {
				faults = append(faults, err)
				continue
			}
			h = served(h)
			fresh = append(fresh, h)
			next[p.messageType] = &member{p, h}
		case old.plan.policy != p.policy:
			next[p.messageType] = &member{p, old.handler}
		default:
			next[p.messageType] = old
		}
	}
	if err := config.Join(faults...); err != nil {
		for _, h := range fresh {
			retire(h)
		}
		return nil, err
	}
	return next, nil
}

// put gives a member to the engine. A worker may have registered its type before; what
// the operator says goes.
func (r *roster) put(m *member) error {
	if r.listed[m.plan.messageType] == nil {
		err := r.engine.Register(m.plan.messageType, m.handler, m.plan.policy)
		if !errors.Is(err, engine.ErrTypeRegistered) {
			return err
		}
	}
	if err := r.engine.Replace(m.plan.messageType, m.handler, m.plan.policy); err != nil {
		return fmt.Errorf("replace %q: %w", m.plan.messageType, err)
	}
	return nil
}

// close retires all handlers. The engine runs none any more.
func (r *roster) close() {
	for _, m := range r.listed {
		retire(m.handler)
	}
}

// closer is a handler that holds something, such as idle connections.
type closer interface{ Close() }

// counted is a handler that is closed when it is retired and no attempt runs in it. An
// attempt that the engine began before, and that comes later, has it closed once more:
// Close of a handler lets go of what is idle, and must allow that.
type counted struct {
	engine.Handler
	closer closer

	mu      sync.Mutex // guards the rest
	running int
	retired bool
}

// served returns a handler that retire can close; one that holds nothing as it is.
func served(h engine.Handler) engine.Handler {
	if c, is := h.(closer); is {
		return &counted{Handler: h, closer: c}
	}
	return h
}

// Unwrap returns the handler, for what it can beside Handle.
func (c *counted) Unwrap() engine.Handler { return c.Handler }

// Handle counts.
func (c *counted) Handle(ctx context.Context, m *engine.Message) (engine.Result, error) {
	c.mu.Lock()
	c.running++
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		c.running--
		last := c.retired && c.running == 0
		c.mu.Unlock()
		if last {
			c.closer.Close()
		}
	}()
	return c.Handler.Handle(ctx, m)
}

// retire closes a handler when its work is done.
func retire(h engine.Handler) {
	c, is := h.(*counted)
	if !is {
		return
	}
	c.mu.Lock()
	c.retired = true
	idle := c.running == 0
	c.mu.Unlock()
	if idle {
		c.closer.Close()
	}
}

// String is for the log.
func (c changes) String() string {
	var all []string
	for _, kind := range []struct {
		verb  string
		names []string
	}{{"added", c.added}, {"changed", c.changed}, {"removed", c.removed}} {
		if len(kind.names) > 0 {
			all = append(all, kind.verb+" "+strings.Join(kind.names, ", "))
		}
	}
	if len(all) == 0 {
		return "no handler has changed"
	}
	return strings.Join(all, "; ")
}
