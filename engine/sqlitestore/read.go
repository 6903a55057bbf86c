package sqlitestore

import (
	"context"
	"fmt"
	"math"
	"strings"

	"github.com/activemessage/activemessage/engine"
)

// Get returns a message without its data. Errors: engine.ErrNotFound.
func (s *Store) Get(ctx context.Context, id engine.ID) (m engine.StoredMessage, err error) {
	err = s.readers.read(ctx, func(r *reader) error {
		m, err = r.get(id)
		return err
	})
	return m, err
}

func (r *reader) get(id engine.ID) (engine.StoredMessage, error) {
	q, err := r.query(`SELECT ` + recordColumns + `, result FROM message WHERE seq = ?`)
	if err != nil {
		return engine.StoredMessage{}, err
	}
	if !q.int(seqOf(id)).next() {
		return engine.StoredMessage{}, notFound(id, q.done())
	}
	m, err := q.record()
	m.Result.Data = q.bytesColumn()
	if err = q.check(err).done(); err != nil {
		return engine.StoredMessage{}, err
	}
	if m.ID != id {
		return engine.StoredMessage{}, notFound(id, nil)
	}
	if m.resultNumber != 0 {
		if m.Result.Data, err = r.largeResult(m.resultNumber); err != nil {
			return engine.StoredMessage{}, err
		}
	}
	m.MessageType, err = r.typeName(m.typeID)
	return m.StoredMessage, err
}

func notFound(id engine.ID, err error) error {
	if err != nil {
		return err
	}
	return fmt.Errorf("message %s: %w", id, engine.ErrNotFound)
}

// List returns the messages that o selects, newest accepted first.
func (s *Store) List(ctx context.Context, o engine.ListOptions) (page []engine.StoredMessage, next uint64, err error) {
	for last := int64(1); last != 0 && next == 0; {
		err = s.readers.read(ctx, func(r *reader) error {
			var step []engine.StoredMessage
			step, last, err = r.listStep(&o, o.Limit+1-len(page))
			page = append(page, step...)
			return err
		})
		if err != nil {
			return nil, 0, err
		}
		if len(page) > o.Limit {
			page = page[:o.Limit]
			next = page[o.Limit-1].ID.Sequence()
		}
		o.Before = uint64(last)
	}
	return page, next, nil
}

// listStep bounds how many messages one step of a list looks at. A long one would keep
// the write-ahead log from starting anew, and others from reading.
const listStep = 1024

// listStep looks at the next messages before o.Before for at most limit that o selects.
// The next step is before last, unless that is 0.
func (r *reader) listStep(o *engine.ListOptions, limit int) (page []engine.StoredMessage, last int64, err error) {
	if last, err = r.endOfStep(o.Before); err != nil {
		return nil, 0, err
	}
	q, err := r.query(`SELECT ` + recordColumns + ` FROM message NOT INDEXED WHERE ` + condition(o) + ` ORDER BY seq DESC LIMIT ?`)
	if err != nil {
		return nil, 0, err
	}
	bindCondition(q, o, last)
	var types []int64
	for q.int(int64(limit)); q.next(); {
		m, err := q.record()
		if err != nil {
			return nil, 0, q.check(err).done()
		}
		page, types = append(page, m.StoredMessage), append(types, m.typeID)
	}
	if err := q.done(); err != nil {
		return nil, 0, err
	}
	for i := range page {
		if page[i].MessageType, err = r.typeName(types[i]); err != nil {
			return nil, 0, err
		}
	}
	return page, last, nil
}

// endOfStep returns the sequence of the last message that a step looks at, 0 if it is the
// last step.
func (r *reader) endOfStep(before uint64) (last int64, err error) {
	q, err := r.query(`SELECT seq FROM message NOT INDEXED WHERE seq < ? ORDER BY seq DESC LIMIT 1 OFFSET ?`)
	if err != nil {
		return 0, err
	}
	if q.int(int64(min(before, math.MaxInt64))).int(listStep - 1).next() {
		last = q.column()
	}
	return last, q.done()
}

// condition has a parameter for everything that o asks for, in the order of
// bindCondition.
func condition(o *engine.ListOptions) string {
	terms := []string{"seq < ? AND seq >= ?"}
	if o.State == engine.StateQueued {
		terms = append(terms, "state IN (3, 4)")
	} else if o.State != "" {
		terms = append(terms, "state = ?")
	}
	if o.MessageType != "" {
		terms = append(terms, "type = (SELECT id FROM type WHERE name = ?)")
	}
	if o.Key != "" {
		terms = append(terms, "key = ?")
	}
	if !o.AcceptedAfter.IsZero() {
		terms = append(terms, "accepted > ?")
	}
	if !o.AcceptedBefore.IsZero() {
		terms = append(terms, "accepted < ?")
	}
	return strings.Join(terms, " AND ")
}

func bindCondition(q *statement, o *engine.ListOptions, last int64) {
	q.int(int64(min(o.Before, math.MaxInt64))).int(last)
	if o.State != "" && o.State != engine.StateQueued {
		q.int(int64(stateOf(o.State)))
	}
	if o.MessageType != "" {
		q.word(o.MessageType)
	}
	if o.Key != "" {
		q.word(o.Key)
	}
	if !o.AcceptedAfter.IsZero() {
		q.int(nanos(o.AcceptedAfter))
	}
	if !o.AcceptedBefore.IsZero() {
		q.int(nanos(o.AcceptedBefore))
	}
}

// Notifications returns what the log holds from a number on.
func (s *Store) Notifications(ctx context.Context, from uint64, limit int, maxBytes int64) (page []engine.Notification, first uint64, err error) {
	err = s.readers.read(ctx, func(r *reader) error {
		page, first, err = r.notifications(from, limit, maxBytes)
		return err
	})
	return page, first, err
}

func (r *reader) notifications(from uint64, limit int, maxBytes int64) (page []engine.Notification, first uint64, err error) {
	if first, err = r.firstNumber(); err != nil {
		return nil, 0, err
	}
	q, err := r.query(`SELECT number, seq, rest, state, time, type, prefix, error_code, error_message, origin,
		result_type, large, coalesce(result, (SELECT data FROM large_result l WHERE large AND l.number = log.number))
		FROM log WHERE number >= ? ORDER BY number LIMIT ?`)
	if err != nil {
		return nil, 0, err
	}
	for q.int(int64(min(from, math.MaxInt64))).int(int64(limit)); q.next(); {
		n, err := q.notification()
		if err != nil {
			return nil, 0, q.check(err).done()
		}
		maxBytes -= int64(len(n.Result.Data))
		if len(page) > 0 && maxBytes < 0 {
			break
		}
		page = append(page, n)
	}
	return page, first, q.done()
}

func (q *statement) notification() (n engine.Notification, err error) {
	n.Number = uint64(q.column())
	n.ID = idOf(q.column(), q.column())
	n.State, n.Time = state(q.column()).engine(), q.timeColumn()
	n.MessageType, n.ResponseNotification = q.textColumn(), q.textColumn()
	n.Error = q.errorColumns()
	n.Origin, err = decodeOrigin(q.bytesColumn())
	n.Result.ContentType = q.textColumn()
	q.at++ // large
	n.Result.Data = q.bytesColumn()
	return n, err
}

// firstNumber is the oldest number the log has, or one past its last.
func (r *reader) firstNumber() (first uint64, err error) {
	q, err := r.query(`SELECT coalesce((SELECT min(number) FROM log), last + 1) FROM head`)
	if err != nil {
		return 0, err
	}
	if q.next() {
		first = uint64(q.column())
	}
	return first, q.done()
}
