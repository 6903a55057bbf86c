package engine

import (
	"context"
	"log/slog"
	"time"
)

// timer is what is due at a time: the end of an attempt's time, or what a message
// waits for. Guarded by Engine.mu.
type timer struct {
	due      time.Time
	record   *record
	fire     func(now time.Time) // instead of a record; the caller holds mu
	position int32               // in deadlines, from 1; 0 means not in it
	running  bool                // it is the record's attempt's
}

// deadlines is a heap of timers, the one that is due next first. Timers know
// their position, so that one that is no longer needed leaves at once. Guarded by
// Engine.mu.
type deadlines struct {
	heap  []*timer
	armed time.Time // when the clock wakes next; zero if it sleeps
}

func (d *deadlines) push(t *timer) {
	d.heap = append(d.heap, t)
	t.position = int32(len(d.heap))
	d.up(len(d.heap) - 1)
}

func (d *deadlines) remove(t *timer) {
	if t.position == 0 {
		return
	}
	i, last := int(t.position)-1, len(d.heap)-1
	if i != last {
		d.set(i, d.heap[last])
	}
	d.heap[last] = nil
	d.heap = d.heap[:last]
	t.position = 0
	if i < last {
		d.up(i)
		d.down(i)
	}
}

func (d *deadlines) up(i int) {
	for i > 0 {
		parent := (i - 1) / 2
		if !d.heap[i].due.Before(d.heap[parent].due) {
			return
		}
		d.swap(i, parent)
		i = parent
	}
}

func (d *deadlines) down(i int) {
	for {
		least := 2*i + 1
		if least >= len(d.heap) {
			return
		}
		if right := least + 1; right < len(d.heap) && d.heap[right].due.Before(d.heap[least].due) {
			least = right
		}
		if !d.heap[least].due.Before(d.heap[i].due) {
			return
		}
		d.swap(i, least)
		i = least
	}
}

func (d *deadlines) swap(i, j int) {
	a, b := d.heap[i], d.heap[j]
	d.set(i, b)
	d.set(j, a)
}

func (d *deadlines) set(i int, t *timer) {
	d.heap[i] = t
	t.position = int32(i + 1)
}

// rearm reports whether the clock has to wake earlier than it would, and when.
// A deadline that went away leaves the clock armed: it wakes for nothing at most
// once per shortest timeout, and work that ends in time costs no timer at all.
func (d *deadlines) rearm() (time.Time, bool) {
	if len(d.heap) == 0 || !d.armed.IsZero() && !d.heap[0].due.Before(d.armed) {
		return time.Time{}, false
	}
	d.armed = d.heap[0].due
	return d.armed, true
}

// clock wakes the engine when something is due.
type clock struct {
	// earlier carries a new time to wake at; capacity 1, the engine sends under
	// no lock and replaces what was not yet taken.
	earlier chan time.Time
	// quit is closed by Drain.
	quit chan struct{}
}

func newClock() *clock {
	return &clock{earlier: make(chan time.Time, 1), quit: make(chan struct{})}
}

// arm makes the clock wake at due or before.
func (c *clock) arm(due time.Time) {
	for {
		select {
		case c.earlier <- due:
			return
		default:
		}
		select {
		case waiting := <-c.earlier:
			if waiting.Before(due) {
				due = waiting
			}
		default:
		}
	}
}

// runClock is the clock's goroutine, owned by the engine.
func (e *Engine) runClock() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	wakes := time.Now().Add(time.Hour)
	for {
		select {
		case due := <-e.clock.earlier:
			if due.Before(wakes) {
				wakes = due
				timer.Reset(time.Until(wakes))
			}
		case <-timer.C:
			e.fireDue(time.Now())
			// unlock armed the next deadline, if there is one.
			wakes = time.Now().Add(time.Hour)
			timer.Reset(time.Hour)
		case <-e.clock.quit:
			return
		}
	}
}

// fireDue does what is due: attempts whose time is over end, first their context
// and after the grace the message; messages that waited for their time are queued,
// or have expired.
func (e *Engine) fireDue(now time.Time) {
	var stuck, ended []*attempt
	e.mu.Lock()
	e.deadlines.armed = time.Time{}
	for len(e.deadlines.heap) > 0 && !e.deadlines.heap[0].due.After(now) {
		t := e.deadlines.heap[0]
		if t.fire != nil {
			e.deadlines.remove(t)
			t.fire(now)
			continue
		}
		switch a := t.record.attempt; {
		case !t.running:
			e.onDue(t.record, now)
		case a.lease != nil:
			if e.outsideDue(a, now) {
				ended = append(ended, a)
			}
		case a.asked == nil:
			a.ask(ErrTimeout, now)
		default:
			e.deadlines.remove(t)
			e.leaveBehind(a, now)
			stuck = append(stuck, a)
		}
	}
	e.unlock()
	for _, a := range ended {
		e.report(a)
	}
	if len(stuck) > 0 {
		e.logStuck(stuck)
	}
}

// leaveBehind lets a message go on without its handler, which does not return:
// to its outcome, or to a retry that waits for the return. The slot and the key
// stay taken until then. The caller holds mu.
func (e *Engine) leaveBehind(a *attempt, now time.Time) {
	a.over = true
	a.ended.Store(true)
	a.record.messageType.stuck++
	e.stuck++
	a.record.needPlan().blockedBy = a
	e.conclude(a, a.judge(a.asked), now)
}

func (e *Engine) logStuck(attempts []*attempt) {
	stacks := goroutineStacks()
	for _, a := range attempts {
		e.cfg.Logger.LogAttrs(context.Background(), slog.LevelError,
			"handler is stuck: its message went on without it, its slot stays taken until it returns",
			append(a.attrs(), slog.String("cause", a.asked.Error()), slog.String("stack", stacks[a.worker.goroutine]))...)
	}
}
