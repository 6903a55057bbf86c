package engine

import "time"

// abandonStored ends what runs, and no longer waits for room in the store; it returns
// how many run. The caller holds mu.
func (e *Engine) abandonStored(now time.Time) int {
	running := 0
	for _, r := range e.table.byID {
		switch {
		case r.settling != nil:
		case r.state == StateRunning && r.attempt.lease != nil:
			e.leaveOutside(r, now)
			running++
		case r.state == StateRunning:
			r.attempt.ask(ErrShutdown, now)
			running++
		case r.state == StateRetrying:
			e.unqueue(r)
			e.leave(r)
			e.forgo(r)
		}
	}
	close(e.durable.abandon)
	return running
}

// abandoned reports whether Drain's time is over.
func (d *durable) abandoned() bool { return isClosed(d.abandon) }

// stopCommitter ends the committer when it has stored everything.
func (e *Engine) stopCommitter() {
	e.mu.Lock()
	e.durable.quit = true
	e.unlock()
	<-e.durable.ended
}

// leaveOutside lets go of a message that runs outside: the store has it back, so that whoever
// runs it can go on after the restart, see Resume. The caller holds mu.
func (e *Engine) leaveOutside(r *record, now time.Time) {
	a := r.attempt
	e.deadlines.remove(&a.timer)
	a.over, a.lease.left = true, true
	r.messageType.running--
	e.outside--
	e.vacate(r)
	v := verdict{state: StateQueued, failure: &Error{Code: CodeLeftOutside, Message: "the server shut down while it ran outside"}}
	if a.lease.wait > 0 { // whoever has it does not come back by itself
		v.state, v.uncounted, v.wait = StateRetrying, true, a.lease.next().Sub(now)
	}
	e.conclude(a, v, now)
}
