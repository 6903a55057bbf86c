package engine

import (
	"fmt"
	"maps"
)

// messageType is a registered type: its handler, what waits for it, and its
// counters. Guarded by Engine.mu, except name and refused.
type messageType struct {
	name    string
	refused refusals

	handler Handler
	policy  Policy
	open    bool // false from Unregister on; the entry goes when its work is done

	queue      typeQueue
	backlog    backlog // those behind their key included
	running    int
	stuck      int
	inRing     bool
	prev, next *messageType // links of the ring

	submitted uint64
	retries   uint64 // attempts after which another followed
	lost      uint64
	outcomes  outcomeCounts
	duration  histogram
	wait      histogram
	rate      drainRate
}

func newMessageType(name string) *messageType { return &messageType{name: name} }

// eligible reports whether a worker may take a message of this type now.
func (t *messageType) eligible() bool {
	return !t.queue.empty() && !t.policy.Paused && (t.policy.Concurrency == 0 || t.running < t.policy.Concurrency)
}

// Register names the handler of a message type, before or while messages run.
// A type is 1 to 128 letters, digits and the characters . _ - : alone. Errors:
// ErrInvalid, ErrTypeRegistered.
//
// Registering a type that was unregistered and still has work gives that work
// to the new handler, under the new policy.
func (e *Engine) Register(messageType string, h Handler, p Policy) error {
	if err := validateType(messageType); err != nil {
		return err
	}
	if h == nil {
		return &InvalidError{Field: "handler", Reason: "is nil"}
	}
	if err := p.validate(); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.unlock()
	t := e.lookup(messageType)
	switch {
	case t == nil:
		t = newMessageType(messageType)
		types := maps.Clone(*e.types.Load())
		types[messageType] = t
		e.types.Store(&types)
	case t.open:
		return fmt.Errorf("register %q: %w", messageType, ErrTypeRegistered)
	}
	t.handler, t.policy, t.open = h, p.withDefaults(), true
	e.ready.update(t)
	return nil
}

// Unregister stops accepting messages of a type. Those already accepted still
// run. Errors: ErrUnknownType.
func (e *Engine) Unregister(messageType string) error {
	e.mu.Lock()
	defer e.unlock()
	t := e.lookup(messageType)
	if t == nil || !t.open {
		return fmt.Errorf("unregister %q: %w", messageType, ErrUnknownType)
	}
	t.open = false
	e.dropIfDone(t)
	return nil
}

// Reconfigure changes the policy of a registered type from now on: for messages
// that wait, and for attempts that start. change gets the policy in force and
// must not call the engine. Errors: ErrUnknownType, ErrInvalid.
func (e *Engine) Reconfigure(messageType string, change func(*Policy)) (TypeStats, error) {
	e.mu.Lock()
	defer e.unlock()
	t := e.lookup(messageType)
	if t == nil || !t.open {
		return TypeStats{}, &unknownTypeError{messageType}
	}
	policy := t.policy
	change(&policy)
	if err := policy.validate(); err != nil {
		return TypeStats{}, err
	}
	t.policy = policy.withDefaults()
	e.ready.update(t)
	if e.draining {
		e.cancelLater() // what is paused now
	}
	return t.stats(), nil
}

func (e *Engine) lookup(messageType string) *messageType { return (*e.types.Load())[messageType] }

// dropIfDone removes an unregistered type whose last work is done.
func (e *Engine) dropIfDone(t *messageType) {
	if t.open || t.backlog.len() > 0 || t.running > 0 {
		return
	}
	types := maps.Clone(*e.types.Load())
	delete(types, t.name)
	e.types.Store(&types)
}
