package engine

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// ConsumerConfig says what a Consumer takes.
type ConsumerConfig struct {
	// Types are the message types, registered with Outside as their handler.
	Types []string
	// Slots is how many messages may run with it at once; see Resize.
	Slots int
	// Offer is how long a message is its consumer's before Extend says that it has begun;
	// then it is handed back. 0 means 5 s.
	Offer time.Duration
}

// defaultOffer is ConsumerConfig.Offer's default.
const defaultOffer = 5 * time.Second

// Consumer takes messages to where they run outside of the engine. As many types share
// its slots as it has, in turns. All methods but Next may be called from any goroutine.
type Consumer struct {
	engine *Engine
	offer  time.Duration
	// wake is sent to when there is something for Next; capacity 1, never closed.
	wake chan struct{}

	// All below is guarded by Engine.mu.
	types  []*messageType // whose turn it is first
	slots  int
	taken  int        // or about to be
	inbox  []*attempt // begun, and not returned by Next
	stops  []Stop
	closed bool
}

// Work is what a Consumer is to do.
type Work struct {
	// Jobs are messages to run.
	Jobs []Job
	// Stops are leases whose attempts shall end, or have.
	Stops []Stop
}

// Job is a message to run outside of the engine.
type Job struct {
	// Message is the consumer's; its Lease is {Message.ID, Message.Attempt}.
	Message *Message
	// MaxAttempts is how often it may be tried.
	MaxAttempts int
	// Deadline is when the attempt's timeout passes; zero if never.
	Deadline time.Time
}

// Stop asks to end an attempt.
type Stop struct {
	Lease Lease
	// Reason is ErrTimeout, ErrCancelled or ErrShutdown: the attempt is to be settled within
	// its type's grace; or ErrStale: it has ended without.
	Reason error
}

// NewConsumer makes a consumer. Errors: ErrUnknownType, ErrInvalid if a type does not run
// outside, or nothing is asked for.
func (e *Engine) NewConsumer(cfg ConsumerConfig) (*Consumer, error) {
	if len(cfg.Types) == 0 || cfg.Slots < 0 {
		return nil, &InvalidError{Field: "types", Reason: "a consumer needs a type at least, and no less than 0 slots"}
	}
	c := &Consumer{engine: e, offer: cfg.Offer, wake: make(chan struct{}, 1), slots: cfg.Slots}
	if c.offer <= 0 {
		c.offer = defaultOffer
	}
	e.mu.Lock()
	defer e.unlock()
	for _, name := range cfg.Types {
		t, err := e.registered(name)
		if err != nil {
			return nil, err
		}
		if !t.outside {
			return nil, &InvalidError{Field: "types", Reason: fmt.Sprintf("%s is run by the server itself", name)}
		}
		if !slices.Contains(c.types, t) {
			c.types = append(c.types, t)
		}
	}
	for _, t := range c.types {
		t.consumers++
	}
	e.updateRoom(c)
	return c, nil
}

// Next waits until there is something to do and returns it. One goroutine calls it at a
// time. Errors: ctx's; ErrClosed after Close.
func (c *Consumer) Next(ctx context.Context) (Work, error) {
	for {
		w, err := c.collect()
		if err != nil || len(w.Jobs)+len(w.Stops) > 0 {
			return w, err
		}
		select {
		case <-c.wake:
		case <-ctx.Done():
			return Work{}, ctx.Err()
		}
	}
}

// Ready returns a channel that receives when there may be something for Poll: what Next
// waits for. It is never closed. Who receives from it polls until there is nothing.
func (c *Consumer) Ready() <-chan struct{} { return c.wake }

// Poll returns what there is to do, without waiting: nothing, possibly. It may be called
// from any goroutine, but what two of them get at once comes in no order. Errors: ErrClosed
// after Close.
func (c *Consumer) Poll() (Work, error) { return c.collect() }

// collect takes what there is.
func (c *Consumer) collect() (Work, error) {
	w, begun, err := c.empty()
	if c.engine.cfg.Observer != nil {
		for i, a := range begun {
			a.observe(w.Jobs[i].Message)
		}
	}
	return w, err
}

// empty takes what there is, and the attempts of the jobs if somebody observes them.
func (c *Consumer) empty() (w Work, begun []*attempt, err error) {
	c.engine.mu.Lock()
	defer c.engine.mu.Unlock()
	w.Stops, c.stops = c.stops, nil
	for _, a := range c.inbox {
		if a.over {
			continue
		}
		a.lease.given = true
		m := *a.message // its data is dropped from the record when it has succeeded
		w.Jobs = append(w.Jobs, Job{Message: &m, MaxAttempts: a.record.maxAttempts(), Deadline: a.ctx.deadline})
		if a.observed != nil {
			begun = append(begun, a)
		}
	}
	c.inbox = c.inbox[:0]
	if c.closed && len(w.Jobs)+len(w.Stops) == 0 {
		err = ErrClosed
	}
	return w, begun, err
}

// Resize sets how many messages may run with the consumer at once. What runs goes on.
func (c *Consumer) Resize(slots int) {
	c.engine.mu.Lock()
	defer c.engine.unlock()
	c.slots = max(slots, 0)
	c.engine.updateRoom(c)
}

// Close ends the consumer: it takes nothing more, and what Next has not returned is handed
// back. What runs with it goes on until it is settled, its lease ends, or another consumer
// resumes it.
func (c *Consumer) Close() {
	e := c.engine
	e.mu.Lock()
	if c.closed {
		e.mu.Unlock()
		return
	}
	c.closed = true
	e.updateRoom(c)
	for _, t := range c.types {
		t.consumers--
		e.dropIfDone(t)
	}
	now := time.Now()
	for _, a := range c.inbox {
		if !a.over {
			a.failed = newFailed(HandBack())
			e.finish(a, now)
		}
	}
	c.inbox = nil
	e.unlock()
	c.rouse()
}

func (c *Consumer) rouse() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// attempt makes one for the consumer, with its first lease. The caller holds mu.
func (c *Consumer) attempt(now time.Time) *attempt {
	return &attempt{engine: c.engine, lease: &lease{ends: now.Add(c.offer)}}
}

// give hands an attempt over. The caller holds mu.
func (c *Consumer) give(a *attempt) {
	c.inbox = append(c.inbox, a)
	c.rouse()
}

// stop tells whoever runs a that it is to end, or has; nobody, if c is nil. The caller
// holds mu.
func (c *Consumer) stop(a *attempt, reason error) {
	if c == nil || c.closed {
		return
	}
	c.stops = append(c.stops, Stop{Lease: a.message.lease(), Reason: reason})
	c.rouse()
}

// updateRoom says to the consumer's types whether it has room. The caller holds mu.
func (e *Engine) updateRoom(c *Consumer) {
	room := !c.closed && c.taken < c.slots
	for _, t := range c.types {
		switch i := slices.Index(t.open, c); {
		case room && i < 0:
			t.open = append(t.open, c)
		case !room && i >= 0:
			t.open = slices.Delete(t.open, i, i+1)
		default:
			continue
		}
		e.updateTurn(t)
	}
}

// takeSlots takes n slots for a type, which has so many, of its consumers in turns. With a
// store they count as claimed. The caller holds mu.
func (e *Engine) takeSlots(t *messageType, n int) []*Consumer {
	taken := make([]*Consumer, n)
	for i := range taken {
		taken[i] = e.takeSlot(t)
	}
	if e.durable != nil {
		t.claimed += n
	}
	return taken
}

func (e *Engine) takeSlot(t *messageType) *Consumer {
	c := t.open[0]
	c.taken++
	i := slices.Index(c.types, t)
	copy(c.types[i:], c.types[i+1:]) // the next time it is the others' turn first
	c.types[len(c.types)-1] = t
	if c.taken >= c.slots {
		e.updateRoom(c)
	} else if len(t.open) > 1 {
		copy(t.open, t.open[1:])
		t.open[len(t.open)-1] = c
	}
	return c
}

// leaveSlot gives a slot back. The caller holds mu.
func (e *Engine) leaveSlot(c *Consumer) {
	c.taken--
	e.updateRoom(c)
}

// vacate gives back the slot that a message holds, if it does: a consumer's, and with a
// store that of its claim. The caller holds mu.
func (e *Engine) vacate(r *record) {
	if r.consumer != nil {
		e.leaveSlot(r.consumer)
		r.consumer = nil
	}
	if !r.seated {
		return
	}
	r.seated = false
	if r.outside {
		r.messageType.claimed--
		return
	}
	e.reserve(r.messageType, -1)
}

// feedConsumers starts what consumers have room for: the turn goes round the types, and
// within one round its consumers. The caller holds mu.
func (e *Engine) feedConsumers(now time.Time) {
	for t := e.nextType(&e.consumable, now); t != nil; t = e.nextType(&e.consumable, now) {
		a := t.open[0].attempt(now)
		e.take(t, a, now)
		a.record.consumer = e.takeSlot(t)
		a.record.consumer.give(a)
	}
}
