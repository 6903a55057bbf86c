package engine

import (
	"cmp"
	"slices"
	"sync/atomic"
	"time"
)

// recordOverhead is what a message costs besides its bytes, roughly.
const recordOverhead = 512

// record is all the engine knows of one message: its state and its lease (the
// live attempt) are one. Guarded by Engine.mu, except where noted.
type record struct {
	// message is what the handler receives. Immutable while it runs; the data is
	// dropped when the message has succeeded.
	message      Message
	messageBytes int
	messageType  *messageType
	size         int64 // what the record holds, for the bounds

	state      State
	attempt    *attempt      // non-nil while StateRunning
	attempts   int           // how many began
	plan       *plan         // nil for most
	cancelled  bool          // Cancel was called while it ran
	startedIn  time.Duration // since acceptance; 0 before
	finishedIn time.Duration // since acceptance; 0 before
	failure    *Error
	result     Result
	progress   atomic.Pointer[Progress] // any goroutine
	outside    bool                     // the latest attempt runs outside of the engine
	consumer   *Consumer                // whose slot it holds; nil if none's
	seated     bool                     // with a store: it counts in messageType.claimed

	list       *recordList // where it waits: ready, or behind its key
	prev, next *record     // links of list
	lane       *lane       // nil without a key
	place      place       // in the order of acceptance
	kept       uint64      // in the history; 0 before
	settling   *commit     // with a store: what has been decided is on its way there
}

// newRecord makes the record of a submission, which has no ID yet.
func newRecord(s *Submission, t *messageType, now time.Time) *record {
	r := &record{
		message: Message{
			MessageType:          t.name,
			MessageData:          s.MessageData,
			ContentType:          s.ContentType,
			ResponseNotification: s.ResponseNotification,
			Key:                  s.Key,
			Priority:             s.Priority,
			Metadata:             s.Metadata,
			Origin:               s.Origin,
			Attempt:              1,
			AcceptedAt:           now,
		},
		messageBytes: len(s.MessageData),
		messageType:  t,
		state:        StateQueued,
	}
	r.size = recordOverhead + int64(len(s.MessageData)+len(s.ResponseNotification)+len(s.Key)+len(s.ContentType))
	for name, value := range s.Metadata {
		r.size += int64(len(name) + len(value))
	}
	if s.Origin != nil {
		r.size += s.Origin.size()
	}
	r.arrange(s, now)
	return r
}

// succeed keeps the result and drops what only a handler needs.
func (r *record) succeed(result Result) {
	r.result = result
	r.size += int64(len(result.Data) - len(r.message.MessageData))
	r.message.MessageData = nil
}

func (r *record) status() Status {
	m := &r.message
	s := m.status()
	s.State = r.state
	s.MessageBytes = r.messageBytes
	s.Attempt = r.attempts
	s.MaxAttempts, s.Timeout = r.tightened()
	s.Progress = r.progress.Load()
	s.CancelRequested = r.cancelled
	s.Error = r.failure
	s.Result, s.ResultBytes = r.result, len(r.result.Data)
	if r.attempts > 0 {
		s.StartedAt = m.AcceptedAt.Add(r.startedIn)
	}
	if r.state.Terminal() {
		s.FinishedAt = m.AcceptedAt.Add(r.finishedIn)
	}
	if r.plan != nil {
		s.Lost = r.plan.lost
		s.DueAt, s.ExpiresAt = r.plan.dueAt, r.plan.expiresAt
		s.Attempts = slices.Clone(r.plan.past)
	}
	if n := len(s.Attempts); r.attempts > 0 && (n == 0 || s.Attempts[n-1].Number < r.attempts) {
		s.Attempts = append(s.Attempts, r.current(r.state, r.failure, s.FinishedAt))
	}
	return s
}

// status has what a message's status says of its submission.
func (m *Message) status() Status {
	return Status{
		ID:                   m.ID,
		MessageType:          m.MessageType,
		ContentType:          m.ContentType,
		ResponseNotification: m.ResponseNotification,
		Key:                  m.Key,
		Priority:             m.Priority,
		Metadata:             m.Metadata,
		Origin:               m.Origin,
		AcceptedAt:           m.AcceptedAt,
	}
}

// current describes the latest attempt.
func (r *record) current(state State, failure *Error, finished time.Time) Attempt {
	return Attempt{
		Number:     r.attempts,
		State:      state,
		StartedAt:  r.message.AcceptedAt.Add(r.startedIn),
		FinishedAt: finished,
		Error:      failure,
	}
}

// timeout is what the message's attempts may take; 0 means for ever.
func (r *record) timeout() time.Duration {
	_, timeout := r.tightened()
	return timeout
}

// tightened is how often and how long the message may be tried.
func (r *record) tightened() (maxAttempts int, timeout time.Duration) {
	p := r.plan
	if p == nil {
		p = &plan{}
	}
	return r.messageType.policy.tightened(p.maxAttempts, p.timeout)
}

// tightened is what is in force for a message that has its own limits; 0 means that it
// has none.
func (p *Policy) tightened(maxAttempts int, timeout time.Duration) (int, time.Duration) {
	limit, longest := cmp.Or(p.MaxAttempts, DefaultMaxAttempts), max(p.Timeout, 0) // of a type that is not registered, too
	if maxAttempts > 0 {
		limit = min(limit, maxAttempts)
	}
	if timeout > 0 && (longest == 0 || timeout < longest) {
		longest = timeout
	}
	return limit, longest
}

// recordList is a doubly linked list through the records themselves: joining,
// leaving from the middle and popping cost no allocation. A record is in one
// list at most.
type recordList struct{ first, last *record }

func (l *recordList) empty() bool { return l.first == nil }

func (l *recordList) push(r *record) {
	r.list, r.prev, r.next = l, l.last, nil
	if l.last == nil {
		l.first = r
	} else {
		l.last.next = r
	}
	l.last = r
}

func (l *recordList) pop() *record {
	r := l.first
	if r != nil {
		l.remove(r)
	}
	return r
}

func (l *recordList) remove(r *record) {
	if r.prev == nil {
		l.first = r.next
	} else {
		r.prev.next = r.next
	}
	if r.next == nil {
		l.last = r.prev
	} else {
		r.next.prev = r.prev
	}
	r.list, r.prev, r.next = nil, nil, nil
}
