package sqlitestore

import (
	"cmp"
	"encoding/binary"
	"slices"
)

// end is that a message ended, and when: what retention looks for. Those of one commit
// and state are one row of table ended, which costs less than an index of the messages. A
// row may name a message that was retried since.
type end struct {
	at  int64
	seq int64
}

// endSize is how long an end is in a row.
const endSize = 16

// noteEnd remembers that r ended, for the row.
func (t *transaction) noteEnd(r *record) {
	all := &t.ends[r.state-succeeded]
	*all = append(*all, end{nanos(r.FinishedAt), r.seq})
}

// writeEnds writes what ended.
func (t *transaction) writeEnds() error {
	for i, all := range t.ends {
		slices.SortFunc(all, func(a, b end) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.seq, b.seq)) })
		if err := t.insertEnds(state(i)+succeeded, all); err != nil {
			return err
		}
	}
	return nil
}

// insertEnds writes a row of ends in order, if there are any. It is found by its first end.
// Another row may have that too, if the message was retried, but not its number.
func (t *transaction) insertEnds(s state, all []end) error {
	if len(all) == 0 {
		return nil
	}
	text := make([]byte, 0, endSize*len(all))
	for _, e := range all {
		text = binary.BigEndian.AppendUint64(text, uint64(e.at))
		text = binary.BigEndian.AppendUint64(text, uint64(e.seq))
	}
	return t.sql.insertEnds.with().int(int64(s)).int(all[0].at).int(all[0].seq).int(t.place()).blob(text).exec()
}

// ends is the row of what ended first in a state, as retention uses it up.
type ends struct {
	first  end // as the row has it
	number int64
	left   []end
	next   end // the next row's first; zero if there is none
	loaded bool
	used   bool // left is not what the row has
}

// oldestEnd returns the message that ended first in a state, nil if there is none.
func (t *retention) oldestEnd(s state) (*record, error) {
	row := &t.rows[s-succeeded]
	for {
		if len(row.left) == 0 || row.next != (end{}) && row.left[0].after(row.next) {
			if err := t.nextEnds(s); err != nil || len(row.left) == 0 {
				return nil, err
			}
		}
		found, err := t.records(t.sql.selectRecord.with().int(row.left[0].seq))
		if err != nil {
			return nil, err
		}
		if len(found) == 1 && found[0].state == s && nanos(found[0].FinishedAt) == row.left[0].at {
			return &found[0], nil
		}
		row.use()
	}
}

func (e end) after(other end) bool {
	return cmp.Or(cmp.Compare(e.at, other.at), cmp.Compare(e.seq, other.seq)) > 0
}

// use takes out the first.
func (row *ends) use() { row.left, row.used = row.left[1:], true }

// nextEnds reads the row that is first now.
func (t *retention) nextEnds(s state) error {
	row := &t.rows[s-succeeded]
	if row.loaded && len(row.left) == 0 && row.next == (end{}) {
		return nil
	}
	if err := t.writeBack(s); err != nil {
		return err
	}
	*row = ends{loaded: true}
	q := t.sql.selectEnds.with().int(int64(s))
	if !q.next() {
		return q.done()
	}
	row.first, row.number = end{q.column(), q.column()}, q.column()
	for text := q.bytesColumn(); len(text) >= endSize; text = text[endSize:] {
		row.left = append(row.left, end{int64(binary.BigEndian.Uint64(text)), int64(binary.BigEndian.Uint64(text[8:]))})
	}
	if q.next() {
		row.next = end{q.column(), q.column()}
	}
	return q.done()
}

// writeBack leaves in the table what was not used up.
func (t *retention) writeBack(s state) error {
	row := &t.rows[s-succeeded]
	if !row.used {
		return nil
	}
	row.used = false
	if err := t.sql.deleteEnds.with().int(int64(s)).int(row.first.at).int(row.first.seq).int(row.number).exec(); err != nil {
		return err
	}
	return t.insertEnds(s, row.left)
}
