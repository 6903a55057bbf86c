package storetest

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"github.com/activemessage/activemessage/engine"
)

// timeStep is what the clock of a model moves in; times to wait for are between, each
// its own, so that what is due has one order.
const timeStep = 10 * time.Millisecond

// pass lets time pass: often none, seldom much. Seldom an owner dies.
func (m *model) pass() {
	switch m.random.IntN(10) {
	case 0, 1, 2:
	case 9:
		m.later(time.Duration(m.random.IntN(6000)) * timeStep)
	default:
		m.later(time.Duration(m.random.IntN(100)) * timeStep)
	}
	if m.random.IntN(30) == 0 {
		m.owners[m.random.IntN(len(m.owners))] = engine.Owner(m.random.Uint64())
	}
}

// soon is a time that no other is at.
func (m *model) soon() time.Time {
	m.timed++
	return m.in(time.Duration(m.random.IntN(1000))*timeStep + time.Duration(m.timed%9999+1)*time.Microsecond)
}

// chance is true once in n times.
func (m *model) chance(n int) bool { return m.random.IntN(n) == 0 }

// oneOf picks.
func oneOf[E any](m *model, all ...E) E { return all[m.random.IntN(len(all))] }

// group makes a random group.
func (m *model) group() *engine.Group {
	g := &engine.Group{Owner: oneOf(m, m.owners...), Now: m.now, Due: oneOf(m, 0, 1, 3, forever)}
	if m.leased || m.chance(2) {
		g.Lease = m.soon().Add(10 * time.Second)
	}
	m.some(3, g, m.addSave)
	m.some(5, g, m.addSettle)
	if len(m.held) > 0 && m.chance(5) {
		i := m.random.IntN(len(m.held))
		g.Releases = []engine.ID{m.held[i].id}
		if m.held[i].owner == g.Owner {
			m.held = slices.Delete(m.held, i, i+1)
		}
	}
	if m.chance(10) {
		g.Refusals = []*engine.Notification{m.refusal()}
	}
	for range m.random.IntN(3) {
		g.Cancels = append(g.Cancels, &engine.CancelChange{ID: m.anyID(), Error: m.failure()})
	}
	m.some(4, g, m.addRetry)
	for range m.random.IntN(6) {
		g.Submits = append(g.Submits, m.randomSubmit())
	}
	if m.chance(4) {
		m.random.Shuffle(len(g.Submits), func(i, j int) { g.Submits[i], g.Submits[j] = g.Submits[j], g.Submits[i] })
	}
	if m.chance(4) {
		// Whether an owner may take its own from itself is nobody's business.
		g.Reclaim, g.Lease = forever, m.soon().Add(10*time.Second)
	}
	m.some(3, g, m.addResume)
	if m.chance(2) {
		// In what order claims find what has expired is the store's business.
		g.Due = forever
		for _, messageType := range oneOf(m, types(), types()[1:], reversed(types())) {
			g.Claims = append(g.Claims, &engine.ClaimChange{MessageType: messageType, Limit: m.random.IntN(5)})
		}
	}
	return g
}

// some adds fewer than so many changes to a group.
func (m *model) some(n int, g *engine.Group, add func(*engine.Group)) {
	for range m.random.IntN(n) {
		add(g)
	}
}

func types() []string { return []string{work, "play", "rest"} }

// anyID is a message's, or seldom nobody's.
func (m *model) anyID() engine.ID {
	if len(m.ids) == 0 || m.chance(20) {
		return newID(forever)
	}
	return oneOf(m, m.ids...)
}

func (m *model) failure() *engine.Error {
	return &engine.Error{Code: oneOf(m, "a", "b"), Message: fmt.Sprint(m.random.IntN(100))}
}

// ticketOf is a claim that was made, mostly one of the owner's.
func (m *model) ticketOf(owner engine.Owner) (t ticket, found bool) {
	own := slices.DeleteFunc(slices.Clone(m.tickets), func(t ticket) bool { return t.owner != owner })
	if len(own) == 0 || m.chance(20) {
		own = m.tickets
	}
	if len(own) == 0 {
		return ticket{}, false
	}
	return oneOf(m, own...), true
}

// addSave saves a checkpoint of an attempt.
func (m *model) addSave(g *engine.Group) {
	if t, found := m.ticketOf(g.Owner); found {
		data := bytes.Repeat([]byte{byte(m.random.IntN(256))}, m.random.IntN(50))
		g.Saves = append(g.Saves, &engine.SaveChange{ID: t.id, Attempt: t.attempt, Data: data})
	}
}

// addSettle ends an attempt, mostly one of the owner's, and seldom twice.
func (m *model) addSettle(g *engine.Group) {
	t, found := m.ticketOf(g.Owner)
	if !found {
		return
	}
	if !m.chance(10) {
		m.tickets = slices.DeleteFunc(m.tickets, func(other ticket) bool { return other == t })
	}
	change := &engine.SettleChange{
		ID: t.id, Attempt: t.attempt, State: oneOf(m, m.states()...), Unstarted: m.chance(10),
		StartedAt: m.in(-time.Second), FinishedAt: m.in(-time.Duration(m.random.IntN(3)) * time.Millisecond),
		Uncounted: m.random.IntN(3), Lost: m.chance(10),
	}
	if m.chance(2) {
		change.Attempts = append([]engine.Attempt{}, m.past(m.random.IntN(21))...)
	}
	switch {
	case change.State == engine.StateSucceeded:
		change.Result = engine.Result{Data: make([]byte, m.random.IntN(100)), ContentType: oneOf(m, "", "text/plain")}
	case change.State.Terminal():
		change.Error = m.failure()
	case change.State != engine.StateQueued:
		change.DueAt = m.soon()
	}
	if change.State.Terminal() && m.chance(3) {
		change.HoldKey = true
		m.held = append(m.held, ticket{g.Owner, t.id, t.attempt})
	}
	g.Settles = append(g.Settles, change)
}

// states are what a message is settled with, the frequent ones more than once.
func (m *model) states() []engine.State {
	return append(engine.TerminalStates(), engine.StateSucceeded, engine.StateSucceeded, engine.StateFailed,
		engine.StateRetrying, engine.StateRetrying, engine.StateScheduled, engine.StateQueued)
}

// addRetry retries a message, mostly one that can be retried.
func (m *model) addRetry(g *engine.Group) {
	var found engine.StoredMessage
	for range 10 {
		found, _ = m.memory.Get(m.Context(), m.anyID())
		if found.State.Terminal() && found.State != engine.StateSucceeded {
			break
		}
	}
	change := &engine.RetryChange{ID: found.ID, Attempt: found.Attempt, Attempts: m.past(m.random.IntN(3))}
	if m.chance(10) {
		change.Attempt++
	}
	g.Retries = append(g.Retries, change)
}

// addResume resumes an attempt: one that was lost, or one that the group may reclaim.
func (m *model) addResume(g *engine.Group) {
	var found engine.StoredMessage
	for range 10 {
		found, _ = m.memory.Get(m.Context(), m.anyID())
		waits := found.State == engine.StateQueued || found.State == engine.StateRetrying
		if found.Lost > 0 && waits || g.Reclaim > 0 && found.State == engine.StateRunning {
			break
		}
	}
	change := &engine.ResumeChange{ID: found.ID, Attempt: found.Attempt}
	if m.chance(10) {
		change.Attempt--
	}
	g.Resumes = append(g.Resumes, change)
}

func (m *model) randomSubmit() *engine.SubmitChange {
	change := m.submission(
		ofType(oneOf(m, types()...)),
		keyed(oneOf(m, "", "", "a", "b", "c")),
		urgent(m.random.IntN(5)-2),
		answered(oneOf(m, "", "r", "s")),
		carrying(make([]byte, m.random.IntN(50))),
	)
	message := &change.Message
	if m.chance(3) {
		message.Metadata = map[string]string{"a": fmt.Sprint(m.random.IntN(9))}
	}
	if m.chance(4) {
		message.Origin = m.refusal().Origin
	}
	if m.chance(4) {
		message.State, message.DueAt = engine.StateScheduled, m.soon()
	}
	if m.chance(4) {
		message.ExpiresAt = m.soon()
	}
	change.Claim = m.chance(3)
	if m.chance(3) {
		change.IdempotencyKey, change.Fingerprint = oneOf(m, "x", "y", "z"), [32]byte{byte(m.random.IntN(2))}
		change.Cursor = m.random.Uint64N(1 << 62)
		if m.chance(2) {
			change.Remember = m.in(time.Duration(m.random.IntN(1000)) * timeStep)
		}
	}
	return change
}

// selections are lists to compare: all, and some.
func (m *model) selections() []engine.ListOptions {
	return []engine.ListOptions{
		{Limit: 1000},
		{Limit: 1 + m.random.IntN(20), State: oneOf(m, engine.States()...)},
		{Limit: 1 + m.random.IntN(20), MessageType: oneOf(m, types()...), Key: oneOf(m, "", "a")},
		{Limit: 1 + m.random.IntN(20), AcceptedAfter: m.in(-time.Minute), AcceptedBefore: m.in(-time.Second)},
	}
}
