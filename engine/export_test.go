package engine

import "fmt"

// Leaks says which counters are not what they are when nothing is under way.
func (e *Engine) Leaks() (all []string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	say := func(name string, n int) {
		if n != 0 {
			all = append(all, fmt.Sprintf("%s=%d", name, n))
		}
	}
	d := e.durable
	say("claimed", d.claimed)
	say("unfinished", e.unfinished)
	say("running", e.running)
	say("outside", e.outside)
	say("stuck", e.stuck)
	say("backlog", e.backlog.len())
	say("backlog bytes", int(e.backlog.bytes))
	say("waiters", len(d.waiters))
	say("stuck map", len(d.stuck))
	say("byID", len(e.table.byID))
	say("deadlines", len(e.deadlines.heap))
	say("collecting", len(d.collecting))
	say("stored running", d.stored.Running)
	say("stored waiting", d.stored.waiting())
	say("stored ready", d.stored.Ready)
	say("stored bytes", int(d.stored.Bytes))
	for name, t := range *e.types.Load() {
		say(name+" claimed", t.claimed)
		say(name+" running", t.running)
		for _, c := range t.open {
			say(name+" slots taken", c.taken)
		}
		say(name+" stuck", t.stuck)
		say(name+" backlog", t.backlog.len())
		say(name+" backlog bytes", int(t.backlog.bytes))
		say(name+" stored", t.stored.waiting()+t.stored.Running)
		say(name+" lanes", len(t.queue.lanes))
		if t.ring != nil {
			all = append(all, name+" in ring")
		}
	}
	say("behind", len(d.behind))
	return all
}
