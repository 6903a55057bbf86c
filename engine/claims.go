package engine

import (
	"slices"
	"time"
)

// A message that is claimed has started as far as the store knows: if the server dies,
// it is lost, and counts as such. So no more are claimed than there are slots, and
// as many ahead as handlers returned while the last group was committed: those
// will return while this one is, and shall not wait for the next. Where handlers take
// longer than a commit, nothing is claimed ahead, and priorities are exact.

// maxAhead bounds what is claimed ahead.
const maxAhead = 1024

// mayClaim is how many more messages of all types may be claimed, when returned handlers
// returned since the last group. The caller holds mu.
func (e *Engine) mayClaim(returned int) int {
	if e.draining {
		return 0
	}
	return e.cfg.Concurrency + min(returned, maxAhead) - e.durable.claimed
}

// mayClaim is how many more messages of the type may be claimed, at most so many.
func (t *messageType) mayClaim(most int) int {
	switch {
	case t.handler == nil || !t.startable():
		return 0
	case t.policy.Concurrency == 0:
		return most
	}
	return min(most, t.policy.Concurrency+min(t.returned, maxAhead)-t.claimed)
}

// claimable reports whether a type has something to claim, and room for it. The caller
// holds mu.
func (e *Engine) claimable() bool {
	if e.draining {
		return false
	}
	room := e.mayClaim(0)
	for _, t := range e.durable.behind {
		if t.mayClaim(t.room(room)) > 0 {
			return true
		}
	}
	return false
}

// room is how many slots there are for the type, of which inside are the workers'.
func (t *messageType) room(inside int) int {
	if !t.outside {
		return inside
	}
	slots := 0
	for _, c := range t.open {
		slots += c.slots - c.taken
	}
	return slots
}

// planClaims lets c claim: first what is ready in the store, then its own new messages.
// The caller holds mu.
func (e *Engine) planClaims(c *commit) {
	returned := 0
	for i, r := range c.settled {
		if !c.group.Settles[i].Unstarted && !r.outside {
			r.messageType.returned++
			returned++
		}
	}
	room := e.mayClaim(returned)
	if !e.draining {
		room -= e.claimStored(c, room)
	}
	e.claimNew(c, room)
	for _, claims := range c.claims { // the next time it is the others' turn first
		t := claims.messageType
		t.caughtUp = false
		e.setBehind(t, false)
		e.setBehind(t, true)
	}
	for _, r := range c.settled {
		r.messageType.returned = 0
	}
}

// claimStored claims at most so many messages that are ready in the store, of its types
// in turns and in equal parts, and returns how many. The caller holds mu.
func (e *Engine) claimStored(c *commit, most int) (claimed int) {
	behind := e.durable.behind
	for i, t := range behind {
		left := len(behind) - i
		part := max(t.room(most-claimed)+left-1, 0) / left // rounded up
		n := min(t.mayClaim(part), t.stored.Ready)
		if n <= 0 {
			continue
		}
		claims := claims{messageType: t}
		if t.outside {
			claims.consumers = e.takeSlots(t, n)
		} else {
			e.reserve(t, n)
			claimed += n
		}
		t.caughtUp = n == t.stored.Ready
		c.group.Claims = append(c.group.Claims, &ClaimChange{MessageType: t.name, Limit: n})
		c.claims = append(c.claims, claims)
	}
	return claimed
}

// claims is of what type a ClaimChange is, and for whom.
type claims struct {
	messageType *messageType
	consumers   []*Consumer // one for each message at most; nil: the workers
}

// giveBack gives back the slots of what was not claimed: all but the first n. The caller
// holds mu.
func (e *Engine) giveBack(c claims, n, limit int) {
	if c.consumers == nil {
		e.reserve(c.messageType, n-limit)
		return
	}
	c.messageType.claimed -= limit - n
	for _, consumer := range c.consumers[n:] {
		e.leaveSlot(consumer)
	}
}

// claimNew claims at most so many of c's new messages, of types of which nothing stays
// behind in the store that is older. The caller holds mu.
func (e *Engine) claimNew(c *commit, most int) {
	for i, r := range c.submits {
		change := c.group.Submits[i]
		if r == nil || change.Message.State != StateQueued {
			continue
		}
		t := r.messageType
		if e.draining || t.mayClaim(t.room(most)) <= 0 || t.isBehind && !t.caughtUp {
			continue
		}
		change.Claim, r.seated = true, true
		if t.outside {
			r.outside, r.consumer = true, e.takeSlots(t, 1)[0]
			continue
		}
		e.reserve(t, 1)
		most--
	}
}

// reserve counts claims for workers, before they are made; a negative n gives back. The
// caller holds mu.
func (e *Engine) reserve(t *messageType, n int) {
	e.durable.claimed += n
	t.claimed += n
}

// setBehind says whether the store has messages of the type to claim. The caller
// holds mu.
func (e *Engine) setBehind(t *messageType, behind bool) {
	d := e.durable
	switch {
	case behind == t.isBehind:
	case behind:
		d.behind = append(d.behind, t)
	default:
		i := slices.Index(d.behind, t)
		d.behind = slices.Delete(d.behind, i, i+1)
	}
	t.isBehind = behind
}

// aheadWait is for how long what is claimed ahead may wait for handlers to return.
const aheadWait = 100 * time.Millisecond

// watchAhead looks after what is claimed ahead: handlers that returned quickly may not
// do so any more, and then it holds the room of all others. The caller holds mu.
func (e *Engine) watchAhead(now time.Time) {
	d := e.durable
	if d.claimed <= e.cfg.Concurrency || d.ahead.position != 0 {
		return
	}
	d.returned, d.ahead.due = 0, now.Add(aheadWait)
	e.deadlines.push(&d.ahead)
}

// handBackAhead gives back what was claimed ahead and is not likely to start soon. The
// caller holds mu.
func (e *Engine) handBackAhead(now time.Time) {
	d := e.durable
	surplus := d.claimed - e.cfg.Concurrency
	if surplus > d.returned {
		e.handBackLast(surplus, nil, now)
	}
	e.watchAhead(now)
}
