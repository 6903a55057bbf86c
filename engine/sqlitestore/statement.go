package sqlitestore

import (
	"time"

	"github.com/ncruces/go-sqlite3"
)

// statement is a prepared statement that takes its parameters, and gives its columns, one
// after the other. The first failure stays until the statement is used again.
type statement struct {
	s      *sqlite3.Stmt
	at     int // parameters bound, or columns read
	failed error
}

// with begins a new use of the statement.
func (q *statement) with() *statement {
	q.at, q.failed = 0, nil
	return q
}

func (q *statement) check(err error) *statement {
	if q.failed == nil {
		q.failed = err
	}
	return q
}

func (q *statement) int(v int64) *statement {
	q.at++
	return q.check(q.s.BindInt64(q.at, v))
}

// optional binds NULL for 0.
func (q *statement) optional(v int64) *statement {
	q.at++
	if v == 0 {
		return q.check(q.s.BindNull(q.at))
	}
	return q.check(q.s.BindInt64(q.at, v))
}

// time binds NULL for the zero time.
func (q *statement) time(t time.Time) *statement { return q.optional(nanos(t)) }

// text binds NULL for an empty text.
func (q *statement) text(v string) *statement {
	q.at++
	if v == "" {
		return q.check(q.s.BindNull(q.at))
	}
	return q.check(q.s.BindText(q.at, v))
}

// word binds a text as it is, also an empty one.
func (q *statement) word(v string) *statement {
	q.at++
	return q.check(q.s.BindText(q.at, v))
}

// raw binds bytes as text, and NULL for none.
func (q *statement) raw(v []byte) *statement {
	q.at++
	if len(v) == 0 {
		return q.check(q.s.BindNull(q.at))
	}
	return q.check(q.s.BindRawText(q.at, v))
}

// blob binds NULL for nil.
func (q *statement) blob(v []byte) *statement {
	q.at++
	return q.check(q.s.BindBlob(q.at, v))
}

// exec runs the statement to its end.
func (q *statement) exec() error {
	if q.failed != nil {
		return q.failed
	}
	return q.s.Exec()
}

// next steps to the next row and reports whether there is one. Whoever got one resets the
// statement, or reads on until there is none.
func (q *statement) next() bool {
	if q.failed != nil {
		return false
	}
	if q.s.Step() {
		q.at = 0
		return true
	}
	return q.check(q.s.Reset()).more()
}

func (q *statement) more() bool { return false }

// done ends the reading of rows, and returns what went wrong.
func (q *statement) done() error { return q.check(q.s.Reset()).failed }

// The columns, in order.

func (q *statement) column() int64 {
	q.at++
	return q.s.ColumnInt64(q.at - 1)
}

func (q *statement) textColumn() string {
	q.at++
	return q.s.ColumnText(q.at - 1)
}

// bytesColumn returns a copy.
func (q *statement) bytesColumn() []byte {
	q.at++
	return q.s.ColumnBlob(q.at-1, nil)
}

func (q *statement) timeColumn() time.Time { return timeOf(q.column()) }

// flag binds 1 or 0.
func (q *statement) flag(v bool) *statement {
	if v {
		return q.int(1)
	}
	return q.int(0)
}

// flagOrNull binds 1 or NULL.
func (q *statement) flagOrNull(v bool) *statement {
	if v {
		return q.int(1)
	}
	return q.optional(0)
}
