package engine

import (
	"context"
	"fmt"
	"log/slog"
	"time"
)

// committed takes over what became of a group: outcomes are published, those who wait
// are answered, and what was claimed can run. The caller is the committer.
func (e *Engine) committed(c *commit, took time.Duration) {
	now := time.Now()
	d, g := e.durable, &c.group
	e.mu.Lock()
	d.full, d.starved = false, false
	d.stats.Commits++
	d.stats.Changes += uint64(c.changes)
	d.duration.observe(took)
	for i, r := range c.settled {
		e.settled(r, g.Settles[i], now)
	}
	for _, change := range g.Cancels {
		if change.Err == nil {
			e.endedInStore(&change.Message, now)
		}
	}
	for i := range g.Ended {
		e.endedInStore(&g.Ended[i], now)
	}
	e.count(g)
	for i, to := range c.resumes {
		if g.Resumes[i].Err == nil {
			e.resumed(to, &g.Resumes[i].Message, now)
		}
	}
	for i, claims := range c.claims {
		e.claimed(claims, g.Claims[i], now)
	}
	for i, r := range c.submits { // behind what was claimed, which is older
		if r != nil {
			e.submitted(r, g.Submits[i])
		}
	}
	e.freeRetries(c)
	e.watchAhead(now)
	e.log.appendStored(g.Published)
	d.reclaim = d.reclaim || g.Reclaim > 0 && g.Reclaimed == g.Reclaim
	e.awaitDue(g.NextDue, now)
	lost := d.lost
	d.lost = nil
	e.unlock()
	close(c.done)
	for i := range lost {
		lost[i].report(e.cfg.Logger)
	}
	for _, change := range g.Settles {
		if change.Err != nil {
			e.cfg.Logger.Warn("an attempt is not counted: the message was taken away meanwhile",
				slog.String("id", change.ID.String()), slog.String("error", change.Err.Error()))
		}
	}
	if len(g.Settles)+len(g.Cancels)+len(g.Ended)+len(g.Published) > 0 {
		select {
		case d.grown <- struct{}{}:
		default:
		}
	}
}

// count takes over the store's counts. The caller holds mu.
func (e *Engine) count(g *Group) {
	for name, counts := range g.Counts {
		if counts != (Counts{}) || e.lookup(name) != nil {
			e.setStored(e.knownType(name), counts)
		}
	}
}

// settled takes over an attempt's end. The caller holds mu.
func (e *Engine) settled(r *record, change *SettleChange, now time.Time) {
	id := r.message.ID
	delete(e.table.byID, id)
	e.unfinished--
	e.durable.suspect.clear(id)
	if change.Err != nil {
		return
	}
	r.state = change.State
	if !r.state.Terminal() {
		return
	}
	r.failure, r.result = change.Error, change.Result
	r.finishedIn = e.durable.clock.loaded(change.FinishedAt).Sub(r.message.AcceptedAt)
	if r.plan != nil && r.plan.blockedBy != nil {
		e.durable.stuck[id] = struct{}{}
	}
	e.countOutcome(r.messageType, r.state, now)
	if w := e.durable.takeWaiters(id); w != nil {
		w.answer(r.status())
	}
}

// endedInStore takes over the end of a message that was not claimed. The caller
// holds mu.
func (e *Engine) endedInStore(m *StoredMessage, now time.Time) {
	if t := e.lookup(m.MessageType); t != nil {
		e.countOutcome(t, m.State, now)
	}
	if w := e.durable.takeWaiters(m.ID); w != nil {
		w.answer(e.statusOf(m))
	}
}

// submitted takes over a new message: it runs if it was claimed, else the store has
// it. The caller holds mu.
func (e *Engine) submitted(r *record, change *SubmitChange) {
	t := r.messageType
	if change.Err == nil && change.Replay == nil {
		t.submitted++
	}
	if change.Claimed {
		e.table.byID[r.message.ID] = r
		e.lineUp(r)
		return
	}
	e.vacate(r)
	e.leave(r)
	e.unfinished--
	e.dropIfDone(t)
}

// claimed takes over what was claimed from the store. The caller holds mu.
func (e *Engine) claimed(c claims, change *ClaimChange, now time.Time) {
	t := c.messageType
	e.giveBack(c, len(change.Messages), change.Limit)
	if len(change.Messages) < change.Limit {
		e.setBehind(t, false)
	}
	for i := range change.Messages {
		m := &change.Messages[i]
		r := e.loadRecord(m, t)
		r.seated = true
		if c.consumers != nil {
			r.outside, r.consumer = true, c.consumers[i]
		}
		e.table.byID[m.ID] = r
		e.unfinished++
		e.enter(r)
		lost := r.plan != nil && r.plan.lost >= t.policy.MaxLost
		switch {
		case e.awaitsHolder(r, now):
			e.putBack(r, e.durable.opened.Add(resumeWait), now)
		case m.CancelRequested:
			e.countLost(r)
			e.end(r, StateCancelled, ending(ErrCancelled), now)
		case lost:
			e.countLost(r)
			e.end(r, StateFailed, lostTooOften("the server died", r.plan.lost), now)
		case !r.outside && e.durable.suspect.holdBack(r, now):
			e.putBack(r, now.Add(suspectAgain), now)
		default:
			e.countLost(r)
			e.lineUp(r)
		}
	}
}

// putBack puts off a message that was just claimed. The caller holds mu.
func (e *Engine) putBack(r *record, until, now time.Time) {
	e.leave(r)
	e.storeSettle(r, &SettleChange{State: StateRetrying, DueAt: e.durable.clock.stored(until)}, now)
}

// countLost counts a message whose last attempt was lost, once it is its turn again. The
// caller holds mu.
func (e *Engine) countLost(r *record) {
	if r.plan == nil || len(r.plan.past) == 0 {
		return
	}
	if last := &r.plan.past[len(r.plan.past)-1]; last.Error == nil || last.Error.Code != CodeLost {
		return
	}
	r.messageType.lost++
	e.durable.lost = append(e.durable.lost, lostMessage{
		id: r.message.ID, messageType: r.messageType.name, times: r.plan.lost, most: r.messageType.policy.MaxLost,
	})
}

// lostMessage is one for the operator to know of.
type lostMessage struct {
	id          ID
	messageType string
	times, most int
}

func (m *lostMessage) report(logger *slog.Logger) {
	level, message := slog.LevelWarn, "the server died while the message ran: it runs again"
	if m.times >= m.most {
		level, message = slog.LevelError, "the server died too often while the message ran: it has failed"
	}
	logger.LogAttrs(context.Background(), level, message, slog.String("id", m.id.String()),
		slog.String("message_type", m.messageType), slog.Int("lost", m.times), slog.Int("max_lost", m.most))
}

// lineUp lets a claimed message wait for a worker. The caller holds mu.
func (e *Engine) lineUp(r *record) {
	if r.outside {
		e.startOutside(r, time.Now())
		return
	}
	if r.plan != nil {
		e.watch(r)
	}
	r.messageType.queue.pushReady(r)
	e.updateTurn(r.messageType)
	if t := r.messageType; e.draining || t.policy.Paused || t.outside {
		e.handBack(r, time.Now())
	}
}

// lostTooOften is why a message is not run again; what happened is named.
func lostTooOften(what string, lost int) *Error {
	times := fmt.Sprintf("%d times", lost)
	if lost == 1 {
		times = "once"
	}
	return &Error{Code: CodeLost, Message: what + " " + times + " while it ran"}
}
