package engine

import "time"

// steadyClock tells the times that a store keeps. It starts at the wall clock and goes
// on with the monotonic one, so that a clock that is set forward or back while the
// engine runs moves no message's time. After a restart what is stored is held against
// the wall clock of then.
type steadyClock struct {
	base time.Time // with a monotonic reading
	wall time.Time // the same without
}

func newSteadyClock(now time.Time) steadyClock { return steadyClock{base: now, wall: now.Round(0)} }

// stored is a time of this process as a store keeps it.
func (c steadyClock) stored(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return c.wall.Add(t.Sub(c.base)).UTC()
}

// loaded is a stored time as one of this process, to be compared with time.Now.
func (c steadyClock) loaded(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return c.base.Add(t.Sub(c.wall))
}
