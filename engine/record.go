package engine

import (
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

	list       *recordList // where it waits: ready, or behind its key
	prev, next *record     // links of list
	lane       *lane       // nil without a key
	place      place       // in the order of acceptance
	kept       uint64      // in the history; 0 before
}

func newRecord(s *Submission, t *messageType, now time.Time) *record {
	r := &record{
		message: Message{
			ID:                   newID(now),
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
	s := Status{
		ID:                   m.ID,
		MessageType:          m.MessageType,
		State:                r.state,
		ContentType:          m.ContentType,
		ResponseNotification: m.ResponseNotification,
		Key:                  m.Key,
		Priority:             m.Priority,
		Metadata:             m.Metadata,
		Origin:               m.Origin,
		MessageBytes:         r.messageBytes,
		Attempt:              r.attempts,
		MaxAttempts:          r.maxAttempts(),
		Timeout:              r.timeout(),
		Progress:             r.progress.Load(),
		CancelRequested:      r.cancelled,
		AcceptedAt:           m.AcceptedAt,
		Error:                r.failure,
		Result:               r.result,
		ResultBytes:          len(r.result.Data),
	}
	if r.attempts > 0 {
		s.StartedAt = m.AcceptedAt.Add(r.startedIn)
	}
	if r.state.Terminal() {
		s.FinishedAt = m.AcceptedAt.Add(r.finishedIn)
	}
	if r.plan != nil {
		s.DueAt, s.ExpiresAt = r.plan.dueAt, r.plan.expiresAt
		s.Attempts = slices.Clone(r.plan.past)
	}
	if n := len(s.Attempts); r.attempts > 0 && (n == 0 || s.Attempts[n-1].Number < r.attempts) {
		s.Attempts = append(s.Attempts, r.current(r.state, r.failure, s.FinishedAt))
	}
	return s
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
	timeout := max(r.messageType.policy.Timeout, 0)
	if r.plan != nil && r.plan.timeout > 0 && (timeout == 0 || r.plan.timeout < timeout) {
		timeout = r.plan.timeout
	}
	return timeout
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
