package engine

import "time"

const (
	// suspectAfter is after how many losses a message may be what kills its server.
	suspectAfter = 2
	// suspectAlone is for how long such a message runs before another may start, unless
	// it ends before; suspectAgain is after what time it is seen whether one may.
	suspectAlone = 10 * time.Second
	suspectAgain = 200 * time.Millisecond
)

// suspect is the message that started last of those that may kill their server. They
// start one after the other: then of all that ran when a server died, and were lost
// together, only the one that did it is lost again.
type suspect struct {
	id    ID
	since time.Time
}

// holdBack reports whether a message that was just claimed has to wait because another
// suspect runs. The caller holds mu.
func (s *suspect) holdBack(r *record, now time.Time) bool {
	if r.plan == nil || r.plan.lost < suspectAfter {
		return false
	}
	if !s.id.IsZero() && now.Sub(s.since) < suspectAlone {
		return true
	}
	s.id, s.since = r.message.ID, now
	return false
}

// clear is called when a message has ended.
func (s *suspect) clear(id ID) {
	if s.id == id {
		s.id = ID{}
	}
}
