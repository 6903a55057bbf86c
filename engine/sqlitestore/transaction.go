package sqlitestore

import (
	"github.com/activemessage/activemessage/engine"
)

// transaction is what is done under one turn, all of it or nothing. Its own changes to
// what the store has in memory are undone with it.
type transaction struct {
	*Store
	now    int64
	before map[*messageType]engine.Counts // of the types that were touched
	added  []*messageType
	was    head
	wakes  bool // which message wakes first may have changed

	ledgerChanges ledgerChanges
	ends          [4][]end // what ended, by state, from succeeded on
}

// transact runs do in a transaction. The caller has the turn.
func (s *Store) transact(now int64, do func(*transaction) error) error {
	t := &transaction{Store: s, now: now, was: s.head}
	err := s.sql.begin.with().exec()
	if err == nil {
		err = do(t)
	}
	if err == nil {
		err = t.flush()
	}
	if err == nil {
		err = s.sql.commit.with().exec()
	}
	if err == nil {
		s.room.succeeded()
		s.checkpoint()
		return nil
	}
	t.undo()
	return s.fail(err)
}

// flush writes what was claimed and counted in memory.
func (t *transaction) flush() error {
	if err := t.writeLedger(); err != nil {
		return err
	}
	if err := t.writeEnds(); err != nil {
		return err
	}
	if t.wakes {
		q := t.sql.selectWake.with()
		if q.next() {
			t.head.nextDue = q.column()
		}
		if err := q.done(); err != nil {
			return err
		}
	}
	for m, before := range t.before {
		c := m.counts
		if c == before {
			continue
		}
		err := t.sql.updateType.with().int(int64(c.Scheduled)).int(int64(c.Queued)).int(int64(c.Retrying)).
			int(int64(c.Running)).int(int64(c.Ready)).int(c.Bytes).int(m.id).exec()
		if err != nil {
			return err
		}
	}
	was := t.was
	was.first, was.nextDue = t.head.first, t.head.nextDue
	if t.head == was {
		return nil
	}
	return t.head.write(t.sql.updateHead)
}

func (t *transaction) undo() {
	if !t.writer.GetAutocommit() { // SQLite may have rolled back already
		_ = t.sql.rollback.with().exec()
	}
	t.head = t.was
	t.undoLedger()
	for m, before := range t.before {
		m.counts = before
	}
	for _, m := range t.added {
		t.types.remove(m)
	}
}

// touch returns a message type whose counts are about to change, or were asked for.
func (t *transaction) touch(m *messageType) *messageType {
	if _, touched := t.before[m]; !touched {
		if t.before == nil {
			t.before = make(map[*messageType]engine.Counts)
		}
		t.before[m] = m.counts
	}
	return m
}

// typeNamed returns a message type, new or not.
func (t *transaction) typeNamed(name string) (*messageType, error) {
	if m := t.types.byName[name]; m != nil {
		return t.touch(m), nil
	}
	m := &messageType{name: name}
	q := t.sql.insertType.with().word(name)
	if q.next() {
		m.id = q.column()
	}
	if err := q.done(); err != nil {
		return nil, err
	}
	t.types.add(m)
	t.added = append(t.added, m)
	return t.touch(m), nil
}

// count adds a record in its state to its type's counts, or takes it out with -1.
func (t *transaction) count(r *record, n int) {
	t.touch(t.types.byID[r.typeID]).count(r.state, n, r.Size)
	if r.state.ended() {
		*t.head.keptIn(r.state) += int64(n) * r.kept()
	}
}

// place returns the next place in the queues.
func (t *transaction) place() int64 {
	t.head.place++
	return t.head.place
}

// find returns a message, and whether there is one.
func (t *transaction) find(id engine.ID) (record, bool, error) {
	q := t.sql.selectRecord.with().int(seqOf(id))
	if !q.next() {
		return record{}, false, q.done()
	}
	r, err := q.record()
	if done := q.done(); err == nil {
		err = done
	}
	r.MessageType = t.typeName(r.typeID)
	return r, err == nil && r.ID == id, err
}

func (t *transaction) typeName(id int64) string {
	if m := t.types.byID[id]; m != nil {
		return m.name
	}
	return ""
}

// records reads all rows of a query of recordColumns.
func (t *transaction) records(q *statement) ([]record, error) {
	var all []record
	for q.next() {
		r, err := q.record()
		if err != nil {
			return nil, q.check(err).done()
		}
		r.MessageType = t.typeName(r.typeID)
		all = append(all, r)
	}
	return all, q.done()
}
