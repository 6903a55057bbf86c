package storetest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/activemessage/activemessage/engine"
	"github.com/activemessage/activemessage/engine/memstore"
)

func models() []promise {
	var all []promise
	for seed := range uint64(4) {
		all = append(all, promise{fmt.Sprintf("what random groups come to is what they come to in memory, %d", seed), func(b *bench) {
			m := newModel(b, seed)
			m.run(150)
		}})
	}
	return all
}

// model does the same to a store and to one in memory, and compares.
type model struct {
	*bench
	memory engine.Store
	random *rand.Rand

	owners []engine.Owner
	// leased: every owner has a lease from its first group on.
	leased  bool
	ids     []engine.ID
	tickets []ticket // claims that were made
	held    []ticket // messages that were settled with HoldKey
	groups  int      // groups that were made
	timed   int      // times that were made
}

// ticket is who claimed what.
type ticket struct {
	owner   engine.Owner
	id      engine.ID
	attempt int
}

func newModel(b *bench, seed uint64) *model {
	b.now = b.now.Truncate(timeStep)
	return &model{
		bench: b, memory: memstore.New(), random: rand.New(rand.NewPCG(seed, 42)),
		owners: []engine.Owner{1, 1 << 63, 3},
	}
}

// run makes so many groups.
func (m *model) run(steps int) {
	for range steps {
		m.pass()
		m.step()
		if m.groups%15 == 0 {
			m.forget()
		}
		if m.groups%10 == 0 {
			m.compare()
		}
	}
	m.compare()
}

// step commits one group to both.
func (m *model) step() {
	m.groups++
	got := m.group()
	want := copyOf(got)
	m.both("Commit", m.store.Commit(m.Context(), got), m.memory.Commit(m.Context(), want))
	m.compareErrors(got, want)
	m.compareCounts(got, want)
	m.equal(fmt.Sprintf("group %d", m.groups), got, want)
	m.collect(want)
}

// copyOf copies all that a store writes to.
func copyOf(g *engine.Group) *engine.Group {
	copied := *g
	copied.Saves = copies(g.Saves)
	copied.Settles = copies(g.Settles)
	copied.Cancels = copies(g.Cancels)
	copied.Retries = copies(g.Retries)
	copied.Submits = copies(g.Submits)
	copied.Resumes = copies(g.Resumes)
	copied.Claims = copies(g.Claims)
	return &copied
}

func copies[E any](all []*E) []*E {
	var copied []*E
	for _, e := range all {
		c := *e
		copied = append(copied, &c)
	}
	return copied
}

// both checks that an error is the same for callers, and fails if it is none that they
// expect.
func (m *model) both(what string, got, want error) {
	m.Helper()
	for _, expected := range []error{engine.ErrNotFound, engine.ErrTerminal, engine.ErrNotRetryable, engine.ErrKeyReused, engine.ErrStale, engine.ErrClaimed} {
		if errors.Is(got, expected) && errors.Is(want, expected) {
			return
		}
	}
	if got != nil || want != nil {
		m.Fatalf("group %d: %s: got error %v, want %v", m.groups, what, got, want)
	}
}

// compareErrors compares the errors of all changes, and takes them out.
func (m *model) compareErrors(got, want *engine.Group) {
	for i, g := range got.Saves {
		m.both("SaveChange", g.Err, want.Saves[i].Err)
		g.Err, want.Saves[i].Err = nil, nil
	}
	for i, g := range got.Settles {
		m.both("SettleChange", g.Err, want.Settles[i].Err)
		g.Err, want.Settles[i].Err = nil, nil
	}
	for i, g := range got.Cancels {
		m.both("CancelChange", g.Err, want.Cancels[i].Err)
		g.Err, want.Cancels[i].Err = nil, nil
	}
	for i, g := range got.Retries {
		m.both("RetryChange", g.Err, want.Retries[i].Err)
		g.Err, want.Retries[i].Err = nil, nil
	}
	for i, g := range got.Resumes {
		m.both("ResumeChange", g.Err, want.Resumes[i].Err)
		g.Err, want.Resumes[i].Err = nil, nil
	}
	for i, g := range got.Submits {
		m.both("SubmitChange", g.Err, want.Submits[i].Err)
		g.Err, want.Submits[i].Err = nil, nil
	}
}

// compareCounts allows got to have more types, if what it has is true, and takes the
// counts out.
func (m *model) compareCounts(got, want *engine.Group) {
	all := m.load().Counts
	for messageType, counts := range got.Counts {
		m.equal("Counts of "+messageType, counts, all[messageType])
	}
	for messageType, counts := range want.Counts {
		m.equal("Counts of touched "+messageType, got.Counts[messageType], counts)
	}
	got.Counts, want.Counts = nil, nil
}

// collect remembers what later groups can refer to.
func (m *model) collect(g *engine.Group) {
	for _, change := range g.Submits {
		if change.Claimed {
			m.tickets = append(m.tickets, ticket{g.Owner, change.Message.ID, 1})
		}
		m.ids = append(m.ids, change.Message.ID)
	}
	for _, change := range g.Resumes {
		if !change.Message.ID.IsZero() {
			m.tickets = append(m.tickets, ticket{g.Owner, change.ID, change.Attempt})
		}
	}
	for _, change := range g.Claims {
		for _, claimed := range change.Messages {
			m.tickets = append(m.tickets, ticket{g.Owner, claimed.ID, claimed.Attempt})
		}
	}
}

// forget retains, in small steps, and expects the same to be left. Stores may keep a
// message for as long as it holds its key, so none does.
func (m *model) forget() {
	for _, h := range m.held {
		for _, store := range []engine.Store{m.store, m.memory} {
			g := &engine.Group{Owner: h.owner, Now: m.now, Releases: []engine.ID{h.id}}
			if err := store.Commit(m.Context(), g); err != nil {
				m.Fatalf("Commit: %v", err)
			}
		}
	}
	m.held = nil
	keep := func() engine.Keep {
		return engine.Keep{
			Age:   time.Duration(m.random.IntN(3)) * time.Duration(m.random.IntN(60)) * time.Second,
			Bytes: int64(max(0, m.random.IntN(6)-4)),
		}
	}
	r := engine.Retention{Succeeded: keep(), Failed: keep(), Cancelled: keep(), Expired: keep(), Log: keep()}
	got := m.retain(r)
	b := *m.bench
	b.store = m.memory
	m.equal("Retain", got, b.retain(r))
}

// compare looks at everything.
func (m *model) compare() {
	for _, id := range m.ids {
		got, err := m.store.Get(m.Context(), id)
		want, wantErr := m.memory.Get(m.Context(), id)
		m.both("Get", err, wantErr)
		m.equal("Get", got, want)
	}
	b := *m.bench
	b.store = m.memory
	for _, o := range m.selections() {
		m.equal(fmt.Sprintf("List %+v", o), m.list(o), b.list(o))
	}
	got, want := m.load(), b.load()
	got.Log, want.Log = 0, 0
	m.equal("Load", got, want)
	from := m.random.Uint64N(want.Last + 2)
	m.equal("Notifications", m.log(from, 1+m.random.IntN(20), m.random.Int64N(100)), b.log(from, 100, forever))
	m.ids = slices.DeleteFunc(m.ids, func(id engine.ID) bool {
		_, err := m.memory.Get(m.Context(), id)
		return err != nil && m.random.IntN(4) > 0 // some of the forgotten are asked for again
	})
}
