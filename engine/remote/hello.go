package remote

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/activemessage/activemessage/engine"
)

// Hello is how a worker begins.
type Hello struct {
	// Instance names the worker process: 1 to 128 bytes, random, the same for its life.
	Instance string
	// Types are the message types that it serves. One that the server does not know is
	// registered.
	Types []Type
	// Window is how many messages it runs at once; 0 if it only settles what it holds.
	Window int
	// Held are the leases that it runs, or whose settlement was not confirmed.
	Held []engine.Lease
	// Unlisted is true if the worker does not say what it holds, so that Held means nothing.
	Unlisted bool
}

// Type is a message type that a worker serves.
type Type struct {
	MessageType string
	// Policy changes the default policy, if the type is not registered yet; nil leaves it.
	Policy func(*engine.Policy)
}

// maxInstance bounds an instance's name, in bytes.
const maxInstance = 128

// Open begins a session. One that the instance has already ends, and what that held goes on
// in this one, if Hello lists it. ctx bounds how long leases may take to resume. Errors:
// *RefusedError, ErrFull, ErrClosed.
func (w *Workers) Open(ctx context.Context, h Hello) (*Session, error) {
	return w.open(ctx, h, false)
}

func (w *Workers) open(ctx context.Context, h Hello, turns bool) (*Session, error) {
	s, err := w.prepare(h, turns)
	if err != nil {
		w.counts.refused.Add(1)
		return nil, err
	}
	i, err := w.enter(h.Instance)
	if err != nil {
		w.counts.refused.Add(1)
		s.consumer.Close()
		return nil, err
	}
	defer i.opening.Unlock()
	s.instance = i
	w.replace(s)
	if err := s.resume(ctx, h); err != nil {
		s.Close()
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	s.resize()
	if w.draining {
		s.announceDrain(time.Now())
	}
	w.cfg.Logger.Debug("worker session opened", slog.String("session", s.id), slog.String("instance", i.name), slog.Int("window", s.window))
	return s, nil
}

// prepare checks a hello and makes its session, which is not the instance's yet.
func (w *Workers) prepare(h Hello, turns bool) (*Session, error) {
	if err := w.check(h); err != nil {
		return nil, err
	}
	names, err := w.register(h.Types)
	if err != nil {
		return nil, err
	}
	consumer, err := w.engine.NewConsumer(engine.ConsumerConfig{Types: names, Offer: w.cfg.Offer})
	if err != nil {
		return nil, refusedAt(0, err)
	}
	s := &Session{
		workers: w, id: rand.Text()[:12], consumer: consumer, types: names, turns: turns,
		wake: make(chan struct{}, 1), turn: make(chan struct{}, 1), ended: make(chan struct{}), window: min(h.Window, w.cfg.MaxWindow),
	}
	s.Heard()
	return s, nil
}

func (w *Workers) check(h Hello) error {
	switch n := len(h.Instance); {
	case n == 0:
		return &RefusedError{Field: "/instance", Reason: "is missing: choose a random one for each process"}
	case n > maxInstance || !utf8.ValidString(h.Instance):
		return &RefusedError{Field: "/instance", Reason: fmt.Sprintf("has %d bytes: use at most %d of UTF-8", n, maxInstance)}
	}
	switch n := len(h.Types); {
	case n == 0:
		return &RefusedError{Field: "/types", Reason: "is missing, or empty: name the message types that the worker serves"}
	case n > w.cfg.MaxTypes:
		return &RefusedError{Field: "/types", Reason: fmt.Sprintf("has %d types, at most %d are allowed", n, w.cfg.MaxTypes)}
	}
	if err := checkWindow(h.Window); err != nil {
		return err
	}
	return w.checkHeld(h.Held)
}

// checkWindow returns the refusal of a window that is none.
func checkWindow(window int) error {
	if window < 0 {
		return &RefusedError{Field: "/window", Reason: strconv.Itoa(window) + " is less than 0"}
	}
	return nil
}

// checkHeld returns the refusal of a list that is too long.
func (w *Workers) checkHeld(held []engine.Lease) error {
	if n := len(held); n > w.cfg.MaxHeld {
		return &RefusedError{Field: "/held", Reason: fmt.Sprintf("has %d leases, at most %d are allowed", n, w.cfg.MaxHeld)}
	}
	return nil
}

// register registers the types that nobody has, and returns all names. If it cannot register
// all, it registers none.
func (w *Workers) register(types []Type) (names []string, err error) {
	var unknown []int
	for n, t := range types {
		names = append(names, t.MessageType)
		probe, err := w.engine.NewConsumer(engine.ConsumerConfig{Types: names[n:]})
		switch {
		case errors.Is(err, engine.ErrUnknownType):
			unknown = append(unknown, n)
		case err != nil:
			return nil, refusedAt(n, err) // the server runs it itself
		default:
			probe.Close()
		}
	}
	var added []string
	for _, n := range unknown {
		err := w.registerOne(types[n])
		if errors.Is(err, engine.ErrTypeRegistered) { // meanwhile, or the hello has it twice
			continue
		}
		if err != nil {
			w.unregister(added)
			return nil, refusedAt(n, err)
		}
		added = append(added, types[n].MessageType)
	}
	if len(added) > 0 {
		w.cfg.Logger.Info("a worker registered message types", slog.Any("message_types", added))
	}
	return names, nil
}

func (w *Workers) registerOne(t Type) error {
	var policy engine.Policy
	if t.Policy != nil {
		t.Policy(&policy)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.registered >= w.cfg.MaxTypes {
		return &RefusedError{Reason: fmt.Sprintf("workers have registered %d message types, more are not allowed", w.cfg.MaxTypes)}
	}
	err := w.engine.Register(t.MessageType, engine.Outside(), policy)
	if err == nil {
		w.registered++
	}
	return err
}

// unregister takes back what register did.
func (w *Workers) unregister(names []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, name := range names {
		if w.engine.Unregister(name) == nil {
			w.registered--
		}
	}
}

// refusedAt is the refusal of the nth type.
func refusedAt(n int, err error) error {
	field := fmt.Sprintf("/types/%d/message_type", n)
	if bad, is := errors.AsType[*RefusedError](err); is {
		return &RefusedError{Field: field, Reason: bad.Reason}
	}
	bad, is := errors.AsType[*engine.InvalidError](err)
	if !is {
		return &RefusedError{Field: field, Reason: err.Error(), Cause: err}
	}
	if bad.Field != "message_type" && bad.Field != "types" { // which is that of a consumer
		field = fmt.Sprintf("/types/%d/policy/%s", n, bad.Field)
	}
	return &RefusedError{Field: field, Reason: bad.Reason, Cause: err}
}

// enter returns the instance, which is then opening.
func (w *Workers) enter(name string) (*instance, error) {
	for {
		w.mu.Lock()
		i := w.instances[name]
		switch {
		case w.closed:
			w.mu.Unlock()
			return nil, ErrClosed
		case i == nil && len(w.instances) >= w.cfg.MaxInstances:
			w.mu.Unlock()
			return nil, ErrFull
		case i == nil:
			i = &instance{workers: w, name: name, gone: time.Now()}
			w.instances[name] = i
		}
		w.mu.Unlock()
		i.opening.Lock()
		w.mu.Lock()
		still := w.instances[name] == i && !w.closed
		w.mu.Unlock()
		if still {
			return i, nil
		}
		i.opening.Unlock()
	}
}

// replace makes s its instance's session.
func (w *Workers) replace(s *Session) {
	w.mu.Lock()
	old := s.instance.session
	s.instance.session = s
	w.mu.Unlock()
	if old == nil {
		return
	}
	w.counts.replaced.Add(1)
	old.end(ErrReplaced)
	old.Close()
}
