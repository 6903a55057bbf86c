package sqlitestore

// Messages that wait are in tables of their own, by what they wait for: their turn in
// table ready, their key in table blocked, and a time in table wake. Those that are born
// claimed, which are most of them where there is no backlog, are never there; an index on
// the messages would be looked at with every change of every message.

// enter counts a record in its state, and lets it wait, or notes its end.
func (t *transaction) enter(r *record) error {
	t.count(r, 1)
	if r.state.ended() {
		t.noteEnd(r)
	}
	if !r.state.waits() {
		return nil
	}
	if at := r.wake(); at != 0 {
		t.wakes = true
		if err := t.sql.insertWake.with().int(at).int(r.seq).exec(); err != nil {
			return err
		}
	}
	switch r.state {
	case ready:
		return t.sql.insertReady.with().int(r.typeID).int(-int64(r.Priority)).int(r.place).int(r.seq).exec()
	case blocked:
		return t.sql.insertBlocked.with().int(r.typeID).word(r.Key).int(r.place).int(r.seq).exec()
	}
	return nil
}

// leave undoes enter, before the record is changed.
func (t *transaction) leave(r *record) error {
	t.count(r, -1)
	if !r.state.waits() {
		return nil
	}
	if at := r.wake(); at != 0 {
		t.wakes = true
		if err := t.sql.deleteWake.with().int(at).int(r.seq).exec(); err != nil {
			return err
		}
	}
	switch r.state {
	case ready:
		return t.sql.deleteReady.with().int(r.typeID).int(-int64(r.Priority)).int(r.place).exec()
	case blocked:
		return t.sql.deleteBlocked.with().int(r.typeID).word(r.Key).int(r.place).exec()
	}
	return nil
}
