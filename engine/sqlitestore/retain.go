package sqlitestore

import (
	"context"
	"time"

	"github.com/activemessage/activemessage/engine"
)

// maxRetainBytes bounds what one step takes away, so that the steps are small also where
// messages are large.
const maxRetainBytes = 32 << 20

// Retain takes one step towards what r allows: messages first, the oldest end first, then
// the log.
func (s *Store) Retain(ctx context.Context, r engine.Retention, now time.Time, limit int) (engine.Retained, error) {
	if err := s.take(ctx); err != nil {
		return engine.Retained{}, err
	}
	defer func() { s.turn <- struct{}{} }()
	var done engine.Retained
	err := s.transact(nanos(now), func(t *transaction) error {
		step := retention{transaction: t, now: now, left: limit, bytes: maxRetainBytes}
		step.keep = [4]engine.Keep{r.Succeeded, r.Failed, r.Cancelled, r.Expired}
		if err := step.messages(); err != nil {
			return err
		}
		if err := step.log(r.Log); err != nil {
			return err
		}
		done = step.done
		done.First = t.head.first
		return nil
	})
	if err != nil {
		return engine.Retained{}, err
	}
	return done, nil
}

// retention is one step on its way.
type retention struct {
	*transaction
	now   time.Time
	keep  [4]engine.Keep // by ended state, from succeeded on
	rows  [4]ends
	left  int // how many more may go
	bytes int64
	done  engine.Retained
}

// beyond reports whether the oldest of a kind is to go. If it is to go later, Next has
// when.
func (t *retention) beyond(keep engine.Keep, ended time.Time, bytes int64) bool {
	if keep.Bytes > 0 && bytes > keep.Bytes {
		return true
	}
	if keep.Age <= 0 {
		return false
	}
	at := ended.Add(keep.Age)
	if !at.After(t.now) {
		return true
	}
	if t.done.Next.IsZero() || at.Before(t.done.Next) {
		t.done.Next = at
	}
	return false
}

// spend reports whether one more may go.
func (t *retention) spend(bytes int64) bool {
	if t.left <= 0 || t.bytes <= 0 {
		t.done.More = true
		return false
	}
	t.left--
	t.bytes -= bytes
	return true
}

// messages forgets what is beyond its bounds, the oldest end of all states first.
func (t *retention) messages() error {
	var oldest [4]*record
	for i := range oldest {
		if err := t.advance(&oldest[i], state(i)+succeeded); err != nil {
			return err
		}
	}
	for {
		next := -1
		for i, r := range oldest {
			if r != nil && (next < 0 || r.FinishedAt.Before(oldest[next].FinishedAt)) {
				next = i
			}
		}
		if next < 0 || !t.spend(oldest[next].kept()) {
			break
		}
		if err := t.forget(oldest[next]); err != nil {
			return err
		}
		if err := t.advance(&oldest[next], state(next)+succeeded); err != nil {
			return err
		}
	}
	for i := range t.rows {
		if err := t.writeBack(state(i) + succeeded); err != nil {
			return err
		}
	}
	return nil
}

// advance sets r to the message of a state that ended first, if that is to go.
func (t *retention) advance(r **record, s state) error {
	*r = nil
	keep := t.keep[s-succeeded]
	if keep == (engine.Keep{}) {
		return nil
	}
	found, err := t.oldestEnd(s)
	if err != nil || found == nil {
		return err
	}
	if t.beyond(keep, found.FinishedAt, *t.head.keptIn(s)) {
		*r = found
	}
	return nil
}

// forget takes a message away with all that belongs to it. A key that it holds for what
// it still runs stays taken.
func (t *retention) forget(r *record) error {
	t.rows[r.state-succeeded].use()
	*t.head.keptIn(r.state) -= r.kept()
	t.done.Messages++
	if r.large {
		if err := t.sql.deleteData.with().int(r.seq).exec(); err != nil {
			return err
		}
	}
	if r.idempotency != "" {
		if err := t.sql.deleteIdempotency.with().word(r.idempotency).int(r.seq).exec(); err != nil {
			return err
		}
	}
	if err := t.forgetResult(r); err != nil {
		return err
	}
	return t.sql.deleteMessage.with().int(r.seq).exec()
}

// log forgets the oldest notifications that are beyond their bounds.
func (t *retention) log(keep engine.Keep) error {
	if keep == (engine.Keep{}) {
		return nil
	}
	for {
		var n oldNotification
		q := t.sql.selectOldest.with()
		found := q.next()
		if found {
			n.number, n.time, n.size, n.large, n.seq = q.column(), q.timeColumn(), q.column(), q.column() != 0, q.column()
		}
		if err := q.done(); err != nil || !found {
			return err
		}
		if !t.beyond(keep, n.time, t.head.logBytes) || !t.spend(n.size) {
			return nil
		}
		if err := t.forgetNotification(&n); err != nil {
			return err
		}
	}
}

// oldNotification is what is needed of one to forget it.
type oldNotification struct {
	number, size, seq int64
	time              time.Time
	large             bool
}

func (t *retention) forgetNotification(n *oldNotification) error {
	t.head.logBytes -= n.size
	t.head.first = uint64(n.number) + 1
	t.done.Notifications++
	if n.large {
		q := t.sql.selectSharer.with().int(n.seq).int(n.number)
		shared := q.next()
		if err := q.done(); err != nil {
			return err
		}
		if !shared {
			if err := t.sql.deleteResult.with().int(n.number).exec(); err != nil {
				return err
			}
		}
	}
	return t.sql.deleteLog.with().int(n.number).exec()
}
