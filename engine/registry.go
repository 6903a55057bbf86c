package engine

import (
	"fmt"
	"maps"
	"math"
	"sync/atomic"
	"time"
)

// messageType is a registered type: its handler, what waits for it, and its
// counters; or one that is not, but of which there are messages. Guarded by Engine.mu,
// except name, refused, checker and registered.
type messageType struct {
	name    string
	refused refusals
	checker atomic.Pointer[Checker] // of handler, nil if it has none

	handler    Handler
	policy     Policy
	registered atomic.Bool // false from Unregister on; the entry goes when its work is done

	queue   typeQueue
	backlog backlog // those behind their key included
	running int
	stuck   int

	// With a store only.
	stored       Counts
	claimed      int  // or about to be; not those whose handler has returned
	returned     int  // handlers, since the last group
	isBehind     bool // in durable.behind
	caughtUp     bool // while claims are planned: they take all that is behind
	pausedBefore bool // by an earlier engine, or when it was unregistered, until it is registered

	ring       *typeRing    // in which it has a turn; nil without one
	prev, next *messageType // links of the ring

	outside   bool        // its messages run outside of the engine
	detaches  bool        // its handler may leave them there
	consumers int         // that have the type
	open      []*Consumer // of those, the ones with room; whose turn it is first
	held      timer       // until when nothing of the type starts, see Throttle

	submitted uint64
	retries   uint64 // attempts after which another followed
	lost      uint64
	outcomes  outcomeCounts
	duration  histogram
	wait      histogram
	rate      drainRate
}

// eligible reports whether a worker may take a message of this type now.
func (t *messageType) eligible() bool {
	return !t.queue.empty() && t.startable() && (t.policy.Concurrency == 0 || t.running < t.policy.Concurrency)
}

// startable reports whether anything of the type may start, as far as slots of the type
// allow.
func (t *messageType) startable() bool {
	return !t.policy.Paused && t.held.position == 0 && (!t.outside || len(t.open) > 0)
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
	if err := checkHandler(h, p); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.unlock()
	t := e.knownType(messageType)
	if t.registered.Load() {
		return fmt.Errorf("register %q: %w", messageType, ErrTypeRegistered)
	}
	e.setHandler(t, h, p)
	t.registered.Store(true)
	t.policy.Paused = t.policy.Paused || t.pausedBefore
	t.pausedBefore = false
	e.updateTurn(t)
	return nil
}

// knownType returns a type, which it adds if there is none. The caller holds mu.
func (e *Engine) knownType(name string) *messageType {
	t := e.lookup(name)
	if t == nil {
		t = &messageType{name: name}
		types := maps.Clone(*e.types.Load())
		types[name] = t
		e.types.Store(&types)
	}
	return t
}

// waiting is how many of the type's messages wait, waitingBytes what they hold.
func (t *messageType) waiting() int { return t.backlog.len() + t.stored.waiting() }

func (t *messageType) waitingBytes() int64 { return t.backlog.bytes + t.stored.Bytes }

// Unregister stops accepting messages of a type. Those already accepted still
// run. Errors: ErrUnknownType.
func (e *Engine) Unregister(messageType string) error {
	e.mu.Lock()
	defer e.unlock()
	t, err := e.registered(messageType)
	if err != nil {
		return fmt.Errorf("unregister %q: %w", messageType, ErrUnknownType)
	}
	t.registered.Store(false)
	t.pausedBefore = t.policy.Paused
	e.dropIfDone(t)
	return nil
}

// Replace gives a registered type another handler and policy, for attempts that start from
// now on; those that run are left alone. Whether the type is paused stays as it is. Errors:
// ErrUnknownType, ErrInvalid.
func (e *Engine) Replace(messageType string, h Handler, p Policy) error {
	if err := checkHandler(h, p); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.unlock()
	t, err := e.registered(messageType)
	if err != nil {
		return err
	}
	p.Paused = t.policy.Paused
	e.setHandler(t, h, p)
	e.updateTurn(t)
	return nil
}

// checkHandler refuses what no type can have.
func checkHandler(h Handler, p Policy) error {
	if h == nil {
		return &InvalidError{Field: "handler", Reason: "is nil"}
	}
	return p.validate()
}

// setHandler is what Register and Replace do. The caller holds mu.
func (e *Engine) setHandler(t *messageType, h Handler, p Policy) {
	_, outside := Power[outsideHandler](h)
	if outside && !t.outside && e.durable != nil { // what waits here is for workers
		e.handBackLast(math.MaxInt, t, time.Now())
	}
	e.deadlines.remove(&t.held) // the other handler asked for that
	t.handler, t.policy, t.outside = h, p.withDefaults(), outside
	d, has := Power[Detacher](h)
	t.detaches = has && d.Detaches()
	t.setChecker(h)
}

// Reconfigure changes the policy of a registered type from now on: for messages
// that wait, and for attempts that start. change gets the policy in force and
// must not call the engine. A Store remembers whether a type is paused; all else is as
// Register has it after a restart. Errors: ErrUnknownType, ErrInvalid; with a Store
// ErrStorageFull, ErrStoreFailed.
func (e *Engine) Reconfigure(messageType string, change func(*Policy)) (TypeStats, error) {
	e.mu.Lock()
	t, err := e.registered(messageType)
	if err != nil {
		e.mu.Unlock()
		return TypeStats{}, err
	}
	policy := t.policy
	change(&policy)
	if err := policy.validate(); err != nil {
		e.mu.Unlock()
		return TypeStats{}, err
	}
	var stored *commit
	if e.durable != nil && t.policy.Paused != policy.Paused {
		if err := e.durable.unusable(); err != nil {
			e.mu.Unlock()
			return TypeStats{}, err
		}
		stored = e.storePause(t, policy.Paused)
	}
	if t.policy.Paused && !policy.Paused {
		e.deadlines.remove(&t.held) // somebody wants it to go on now
	}
	t.policy = policy.withDefaults()
	e.updateTurn(t)
	if e.durable == nil && e.draining {
		e.cancelLater() // what is paused now
	}
	stats := t.stats()
	e.unlock()
	if stored != nil {
		return stats, e.pauseStored(t, policy.Paused, stored)
	}
	return stats, nil
}

// registered returns a type that has a handler. Errors: ErrUnknownType. The caller holds mu.
func (e *Engine) registered(name string) (*messageType, error) {
	t := e.lookup(name)
	if t == nil || !t.registered.Load() {
		return nil, &unknownTypeError{name}
	}
	return t, nil
}

func (e *Engine) lookup(messageType string) *messageType { return (*e.types.Load())[messageType] }

// dropIfDone removes an unregistered type whose last work is done.
func (e *Engine) dropIfDone(t *messageType) {
	if t.registered.Load() || t.backlog.len() > 0 || t.stored != (Counts{}) || t.running > 0 || t.claimed > 0 || t.consumers > 0 {
		return
	}
	if t.pausedBefore {
		t.handler = nil // nothing is left of it but that
		return
	}
	types := maps.Clone(*e.types.Load())
	delete(types, t.name)
	e.types.Store(&types)
}
