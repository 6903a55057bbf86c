package sqlitestore

// fillResult adds the result's data to a record that was read without it.
func (t *transaction) fillResult(r *record) error {
	if r.ResultBytes == 0 {
		return nil
	}
	q := t.sql.selectResult.with().int(r.seq)
	if r.resultNumber != 0 {
		q = t.sql.selectLarge.with().int(r.resultNumber)
	}
	if q.next() {
		r.Result.Data = q.bytesColumn()
	}
	return q.done()
}

// forgetResult takes away a large result of a message that has it no more, unless the log
// still has it.
func (t *transaction) forgetResult(r *record) error {
	if r.resultNumber == 0 || uint64(r.resultNumber) >= t.head.first {
		return nil
	}
	return t.sql.deleteResult.with().int(r.resultNumber).exec()
}
