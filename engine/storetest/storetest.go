// Package storetest says what is expected of an engine.Store, as tests: Run has what
// holds for all of them, RunReopen what holds for those that outlive their process,
// and RunAlone what holds for those that only one process can open. A store's own
// tests are then
//
//	func TestStore(t *testing.T) {
//		storetest.Run(t, func(t *testing.T) engine.Store { … })
//	}
//
// The names of the subtests read as the specification of engine.Store.
package storetest

import (
	"testing"

	"github.com/activemessage/activemessage/engine"
)

// Run tests the stores that open opens: each subtest gets one of its own, empty, and
// several run in parallel. Open has it closed by t.Cleanup.
func Run(t *testing.T, open func(t *testing.T) engine.Store) {
	for _, c := range []chapter{
		{"Submit", submitting()},
		{"Idempotency", idempotency()},
		{"Claim", claiming()},
		{"Key", keys()},
		{"HoldKey", holding()},
		{"Save", saving()},
		{"Settle", settling()},
		{"Cancel", cancelling()},
		{"Retry", retrying()},
		{"Due", dues()},
		{"Reclaim", reclaiming()},
		{"Resume", resuming()},
		{"Group", groups()},
		{"Log", logs()},
		{"List", listing()},
		{"Load", loading()},
		{"Retain", retaining()},
		{"Share", sharing()},
		{"Model", models()},
	} {
		c.run(t, func(t *testing.T) *bench { return newBench(t, open(t)) })
	}
}

// RunReopen tests stores that persist. Each subtest opens an empty one; reopen closes
// it and returns it opened again, with all that was committed.
func RunReopen(t *testing.T, open func(t *testing.T) (store engine.Store, reopen func() engine.Store)) {
	chapter{"Reopen", reopening()}.run(t, reopened(open))
}

// RunAlone tests stores that only one process can open, in addition to RunReopen:
// whoever claimed something without a lease is gone when they are opened again.
func RunAlone(t *testing.T, open func(t *testing.T) (store engine.Store, reopen func() engine.Store)) {
	chapter{"Alone", alone()}.run(t, reopened(open))
}

func reopened(open func(t *testing.T) (engine.Store, func() engine.Store)) func(t *testing.T) *bench {
	return func(t *testing.T) *bench {
		store, reopen := open(t)
		b := newBench(t, store)
		b.reopen = func() { b.store = reopen() }
		return b
	}
}

// chapter is what is promised of one thing.
type chapter struct {
	name     string
	promises []promise
}

// promise is what is promised, and the test of it.
type promise struct {
	name string
	test func(b *bench)
}

func (c chapter) run(t *testing.T, open func(t *testing.T) *bench) {
	t.Run(c.name, func(t *testing.T) {
		for _, p := range c.promises {
			t.Run(p.name, func(t *testing.T) {
				t.Parallel()
				p.test(open(t))
			})
		}
	})
}
