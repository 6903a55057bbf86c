package main

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/activemessage/activemessage/engine"
	"github.com/activemessage/activemessage/handlers"
	"github.com/activemessage/activemessage/internal/config"
)

// rostered applies configurations to an engine.
type rostered struct {
	*testing.T
	engine *engine.Engine
	roster *roster
	name   string
}

func newRostered(t *testing.T) *rostered {
	t.Helper()
	e, err := engine.New(engine.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Drain(context.Background()) })
	return &rostered{t, e, newRoster(e, parts{logger: slog.New(slog.DiscardHandler), gone: func(string) {}, maxResult: 1 << 20}), written(t, "")}
}

func (r *rostered) apply(text string) (string, error) {
	r.Helper()
	rewrite(r.T, r.name, text)
	in, _, err := parse([]string{"--config", r.name}, nil, "v1")
	if err != nil {
		r.Fatal(err)
	}
	done, err := r.roster.apply(in)
	return done.String(), err
}

// must applies, and expects to have been told what changed.
func (r *rostered) must(text, want string) {
	r.Helper()
	if got, err := r.apply(text); err != nil || got != want {
		r.Errorf("%s, %v, expected %s", got, err, want)
	}
}

func (r *rostered) types() string {
	var open []string
	for name := range r.engine.Stats().Types {
		open = append(open, name)
	}
	slices.Sort(open)
	return strings.Join(open, " ")
}

func (r *rostered) policy(messageType string) engine.Policy {
	return r.engine.Stats().Types[messageType].Policy
}

func (r *rostered) patch(messageType string, change func(*engine.Policy)) {
	r.Helper()
	if _, err := r.engine.Reconfigure(messageType, change); err != nil {
		r.Fatal(err)
	}
}

// A file that was cut off removes nothing; one that says {} removes all.
func TestAFileThatLostItsHandlers(t *testing.T) {
	t.Parallel()
	r := newRostered(t)
	r.must("concurrency: 3\nhandlers: {a: {remote: {}}}", "added a")
	for _, text := range []string{"concurrency: 3\n", "", "# handlers: {}"} {
		done, err := r.apply(text)
		if err == nil || err.Error() != r.name+": handlers is gone: write handlers: {} to remove all" || done != "no handler has changed" || r.types() != "a" {
			t.Errorf("%q: %s, %v, %s", text, done, err, r.types())
		}
	}
	r.must("handlers: {}", "removed a")
	if _, err := r.apply(""); err == nil {
		t.Error("a file without handlers brings the examples")
	}
}

// A file that has had no handlers may have some, and gets no others for it.
func TestAFileThatHadNoHandlers(t *testing.T) {
	t.Parallel()
	r := newRostered(t)
	r.must("", "added count, echo, fail, panic, sleep")
	r.must("concurrency: 3", "no handler has changed")
	r.must("handlers: {echo: {remote: {}}}", "changed echo; removed count, fail, panic, sleep")
}

// A reload changes what differs, and nothing else: limits set at run time stay on types
// that are left alone, a pause stays on all.
func TestApply(t *testing.T) {
	t.Setenv("ERP_SECRET", secret)
	r := newRostered(t)
	const webhook = "  hook: {webhook: {url: https://erp.example/a, secret_env: ERP_SECRET}}\n"
	r.must("handlers:\n  a: {remote: {}, timeout: 1m}\n  b: {remote: {}}\n  c: {exec: [sh]}\n"+webhook, "added a, b, c, hook")
	for _, messageType := range []string{"a", "b", "c"} {
		r.patch(messageType, func(p *engine.Policy) { p.Concurrency, p.Paused = 7, true })
	}
	hook := r.roster.listed["hook"].handler
	r.must("handlers:\n  a: {remote: {}, timeout: 2m}\n  b: {remote: {}}\n  d: {remote: {}}\n  c: {exec: [sh, -c]}\n"+webhook, "added d; changed a, c")
	for messageType, want := range map[string]engine.Policy{
		"a": {Timeout: 2 * time.Minute, Paused: true},
		"b": {Timeout: engine.DefaultTimeout, Paused: true, Concurrency: 7},
		"c": {Timeout: engine.DefaultTimeout, Paused: true},
		"d": {Timeout: engine.DefaultTimeout},
	} {
		if p := r.policy(messageType); p.Timeout != want.Timeout || p.Paused != want.Paused || p.Concurrency != want.Concurrency {
			t.Errorf("%s: %+v", messageType, p)
		}
	}

	// A policy is changed without the handler, its connections and its breaker.
	changed := strings.Replace(webhook, "}}\n", "}, concurrency: 3}\n", 1)
	r.must("handlers:\n"+changed, "changed hook; removed a, b, c, d")
	if p := r.policy("hook"); p.Concurrency != 3 || r.roster.listed["hook"].handler != hook {
		t.Errorf("%+v, or another handler", p)
	}
	// The name of the secret is the same, the secret is not.
	t.Setenv("ERP_SECRET", secret+"LaLaSw==")
	r.must("handlers:\n"+changed, "changed hook")
	if r.roster.listed["hook"].handler == hook {
		t.Error("the handler signs with the old secret")
	}
	r.must("handlers:\n"+changed, "no handler has changed")
	r.must("handlers: {}", "removed hook")
	r.must("handlers: {echo: {remote: {}}}", "added echo")
	if got := r.types(); got != "echo" {
		t.Errorf("types: %s", got)
	}
}

// If one handler cannot be built, none changes, and all that is wrong is said.
func TestApplyChangesAllOrNothing(t *testing.T) {
	t.Parallel()
	r := newRostered(t)
	r.must("handlers: {a: {remote: {}}, b: {remote: {}}}", "added a, b")
	_, err := r.apply("handlers:\n  a: {exec: [/nowhere/1]}\n  c: {remote: {}}\n  d: {exec: [/nowhere/2]}\n")
	if faults, is := errors.AsType[config.Errors](err); !is || len(faults) != 2 || faults[1].At.Line != 4 {
		t.Errorf("%v", err)
	}
	if got := r.types(); got != "a b" {
		t.Errorf("types: %s", got)
	}
	r.must("handlers: {a: {remote: {}}, b: {remote: {}}}", "no handler has changed")
}

// A type that a worker has brought is the operator's from when the file names it.
func TestTheOperatorTakesOverAType(t *testing.T) {
	t.Parallel()
	r := newRostered(t)
	if err := r.engine.Register("a", engine.Outside(), engine.Policy{Concurrency: 5}); err != nil {
		t.Fatal(err)
	}
	r.must("handlers: {}", "no handler has changed")
	r.must("handlers: {a: {remote: {}, concurrency: 6}}", "added a")
	if p := r.policy("a"); p.Concurrency != 6 {
		t.Errorf("%+v", p)
	}
}

// closing is a handler that holds something.
type closing struct {
	started, finish chan struct{}
	closed          chan struct{} // an element for each Close
}

func (c *closing) Handle(context.Context, *engine.Message) (engine.Result, error) {
	c.started <- struct{}{}
	<-c.finish
	return engine.Result{}, nil
}

// Close notes that it was called.
func (c *closing) Close() { c.closed <- struct{}{} }

// A handler is closed when it is not wanted any more and its last work is done.
func TestAHandlerIsClosedAfterItsWork(t *testing.T) {
	t.Parallel()
	inner := &closing{started: make(chan struct{}), finish: make(chan struct{}), closed: make(chan struct{}, 10)}
	h := served(inner)
	if unwrapped := h.(interface{ Unwrap() engine.Handler }).Unwrap(); unwrapped != inner {
		t.Errorf("unwrapped is %v", unwrapped)
	}
	e, err := engine.New(engine.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Register("a", h, engine.Policy{}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := e.Submit(t.Context(), engine.Submission{MessageType: "a"}); err != nil {
			t.Fatal(err)
		}
		<-inner.started
	}
	if err := e.Replace("a", handlers.Examples()["echo"], engine.Policy{}); err != nil {
		t.Fatal(err)
	}
	retire(h)
	inner.finish <- struct{}{}
	select {
	case <-inner.closed:
		t.Error("closed while it runs")
	default:
	}
	inner.finish <- struct{}{}
	<-inner.closed
	if err := e.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	idle := &closing{closed: make(chan struct{}, 1)}
	retire(served(idle))
	<-idle.closed
}

// Whatever kind of handler the schema has, there is a builder for it.
func TestBuilders(t *testing.T) {
	t.Parallel()
	got := slices.Sorted(maps.Keys(builders()))
	if want := []string{"example", "exec", "remote", "webhook"}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}
