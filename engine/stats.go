package engine

import (
	"fmt"
	"sync/atomic"
	"time"
)

// RefusalReason says why Submit or Retry refused; the values are stable and few enough
// for a metric's label.
type RefusalReason string

// The reasons, each with the error it goes with.
const (
	RefusedUnknownType RefusalReason = "unknown_type" // ErrUnknownType
	RefusedTypeFull    RefusalReason = "type_full"    // ErrQueueFull, ScopeType
	RefusedServerFull  RefusalReason = "server_full"  // ErrQueueFull, ScopeServer
	RefusedDraining    RefusalReason = "draining"     // ErrDraining
	RefusedTooLarge    RefusalReason = "too_large"    // ErrTooLarge
	RefusedInvalid     RefusalReason = "invalid"      // ErrInvalid, ErrKeyReused
	RefusedStorageFull RefusalReason = "storage_full" // ErrStorageFull
)

// RefusalReasons lists all reasons.
func RefusalReasons() []RefusalReason {
	return []RefusalReason{RefusedUnknownType, RefusedTypeFull, RefusedServerFull, RefusedDraining, RefusedTooLarge, RefusedInvalid, RefusedStorageFull}
}

// Stats is a snapshot of an engine's counters. Counts are since New; all of
// them move at transitions, so reading them costs nothing per message.
type Stats struct {
	// Types has the registered types, those still finishing work after Unregister, and
	// those of which messages wait in the Store, by name.
	Types map[string]TypeStats
	// Refused counts refusals by reason, over all types.
	Refused map[RefusalReason]uint64
	// Scheduled, Queued, Retrying and Running are how many messages are in these
	// states now; QueuedBytes is what the first three hold.
	Scheduled, Queued, Retrying, Running int
	QueuedBytes                          int64
	// Stuck is how many handlers go on after their message went on without them.
	// They count in Running.
	Stuck int
	// Outside is how many of those in Running run outside of the engine: with a Consumer,
	// or detached.
	Outside int
	// Concurrency is the configured bound of the other ones.
	Concurrency int
	// Draining is true from Drain on.
	Draining bool
	// Published counts notifications; Delivered counts what subscriptions read;
	// Gaps counts how often one was told that it missed some.
	Published, Delivered, Gaps uint64
	// Subscriptions is how many are open.
	Subscriptions int
	// Cursor is the end of the notification log.
	Cursor Cursor
	// Store is what the engine does with its store; nil without one.
	Store *StoreStats
}

// StoreStats are the counters of an engine's work with its Store.
type StoreStats struct {
	// Commits counts groups, Changes what they held: submissions, claims, outcomes.
	Commits, Changes uint64
	// CommitDuration is how long the commits took.
	CommitDuration Histogram
	// Usage is the store's; zero if it is not known.
	Usage Usage
	// Full is true while new messages are refused for want of room.
	Full bool
	// Forgotten counts messages, ForgottenNotifications notifications that retention
	// took away.
	Forgotten, ForgottenNotifications uint64
}

// TypeStats are the counters of one message type.
type TypeStats struct {
	// Policy is the one in force.
	Policy Policy
	// Submitted counts accepted messages.
	Submitted uint64
	// Refused counts this type's refusals by reason.
	Refused map[RefusalReason]uint64
	// Scheduled, Queued, Retrying and Running are how many messages are in these
	// states now; QueuedBytes is what the first three hold.
	Scheduled, Queued, Retrying, Running int
	QueuedBytes                          int64
	// Stuck is how many handlers go on after their message went on without them.
	Stuck int
	// Outside is true if the type's messages run outside of the engine; Consumers is with how
	// many Consumers they may, those without room included.
	Outside   bool
	Consumers int
	// ThrottledUntil is until when none of its messages starts, see Throttle; zero if they
	// may.
	ThrottledUntil time.Time
	// Retries counts attempts after which another one followed.
	Retries uint64
	// Lost counts attempts that ended with the server, or the worker outside, that ran them.
	Lost uint64
	// Outcomes counts ended messages by terminal state.
	Outcomes map[State]uint64
	// HandlerDuration is how long handlers ran, QueueWait how long messages
	// waited for a slot, from when they were queued.
	HandlerDuration Histogram
	QueueWait       Histogram
}

// Stats returns the counters.
func (e *Engine) Stats() Stats {
	s := Stats{
		Types:         make(map[string]TypeStats),
		Refused:       e.refused.byReason(),
		Concurrency:   e.cfg.Concurrency,
		Delivered:     e.router.delivered.Load(),
		Gaps:          e.router.gaps.Load(),
		Subscriptions: int(e.router.subscriptions.Load()),
		Cursor:        e.log.cursor(),
	}
	s.Published = e.log.published(s.Cursor.Number)
	if e.durable != nil {
		s.Store = e.storeStats()
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for name, t := range *e.types.Load() {
		if t.handler != nil || t.waiting() > 0 {
			s.Types[name] = t.stats()
		}
	}
	s.Scheduled, s.Queued, s.Retrying = e.backlog.scheduled, e.backlog.queued, e.backlog.retrying
	s.QueuedBytes = e.allWaitingBytes()
	if d := e.durable; d != nil {
		s.Scheduled += d.stored.Scheduled
		s.Queued += d.stored.Queued
		s.Retrying += d.stored.Retrying
	}
	s.Running, s.Outside, s.Stuck = e.running+e.outside, e.outside, e.stuck
	s.Draining = e.draining
	return s
}

// TypeStats returns one type's counters. Errors: ErrUnknownType.
func (e *Engine) TypeStats(messageType string) (TypeStats, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	t := e.lookup(messageType)
	if t == nil || t.handler == nil && t.waiting() == 0 {
		return TypeStats{}, fmt.Errorf("%w", &unknownTypeError{messageType})
	}
	return t.stats(), nil
}

// throttledUntil is zero unless the type is held.
func (t *messageType) throttledUntil() time.Time {
	if t.held.position == 0 {
		return time.Time{}
	}
	return t.held.due
}

func (t *messageType) stats() TypeStats {
	return TypeStats{
		Policy:          t.policy,
		Submitted:       t.submitted,
		Refused:         t.refused.byReason(),
		Scheduled:       t.backlog.scheduled + t.stored.Scheduled,
		Queued:          t.backlog.queued + t.stored.Queued,
		Retrying:        t.backlog.retrying + t.stored.Retrying,
		QueuedBytes:     t.waitingBytes(),
		Retries:         t.retries,
		Lost:            t.lost,
		Running:         t.running,
		Stuck:           t.stuck,
		Outside:         t.outside,
		Consumers:       t.consumers,
		ThrottledUntil:  t.throttledUntil(),
		Outcomes:        t.outcomes.byState(),
		HandlerDuration: t.duration.snapshot(),
		QueueWait:       t.wait.snapshot(),
	}
}

// refusals counts refusals by reason. Any goroutine may add.
type refusals struct {
	unknownType, typeFull, serverFull, draining, tooLarge, invalid, storageFull atomic.Uint64
}

func (c *refusals) add(reason RefusalReason) { c.of(reason).Add(1) }

func (c *refusals) of(reason RefusalReason) *atomic.Uint64 {
	switch reason {
	case RefusedUnknownType:
		return &c.unknownType
	case RefusedTypeFull:
		return &c.typeFull
	case RefusedServerFull:
		return &c.serverFull
	case RefusedDraining:
		return &c.draining
	case RefusedTooLarge:
		return &c.tooLarge
	case RefusedStorageFull:
		return &c.storageFull
	default:
		return &c.invalid
	}
}

func (c *refusals) byReason() map[RefusalReason]uint64 {
	counts := make(map[RefusalReason]uint64)
	for _, reason := range RefusalReasons() {
		counts[reason] = c.of(reason).Load()
	}
	return counts
}

// outcomeCounts counts outcomes by terminal state. Guarded by Engine.mu.
type outcomeCounts struct{ succeeded, failed, cancelled, expired uint64 }

func (c *outcomeCounts) add(s State) {
	switch s {
	case StateSucceeded:
		c.succeeded++
	case StateFailed:
		c.failed++
	case StateCancelled:
		c.cancelled++
	default:
		c.expired++
	}
}

func (c *outcomeCounts) byState() map[State]uint64 {
	return map[State]uint64{StateSucceeded: c.succeeded, StateFailed: c.failed, StateCancelled: c.cancelled, StateExpired: c.expired}
}
