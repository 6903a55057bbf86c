package sqlitestore

import (
	"encoding/binary"
	"encoding/json"

	"github.com/activemessage/activemessage/engine"
	"github.com/ncruces/go-sqlite3"
)

// record is a message's row, or as much of it as was asked for.
type record struct {
	engine.StoredMessage
	seq, rest    int64
	typeID       int64
	state        state
	place        int64        // in the queue
	owner        engine.Owner // of a claim
	resultNumber int64        // the result is in large_result
	large        bool         // the data is in large_data
	saved        bool         // it has a checkpoint
	idempotency  string       // its idempotency key
	origin       []byte       // as the row has it
}

func seqOf(id engine.ID) int64  { return int64(id.Sequence()) }
func restOf(id engine.ID) int64 { return int64(binary.BigEndian.Uint64(id[8:])) }

func idOf(seq, rest int64) (id engine.ID) {
	binary.BigEndian.PutUint64(id[:8], uint64(seq))
	binary.BigEndian.PutUint64(id[8:], uint64(rest))
	return id
}

// recordColumns is all of a message but its data, its result's and its checkpoint. record reads them.
const recordColumns = `seq, rest, type, state, attempt, uncounted, lost, priority,
	place, accepted, queued, due, expires, started, finished, size, bytes, result_bytes, result_number, large,
	prefix, key, content_type, result_type, error_code, error_message, idempotency, origin, rare, attempts, cancel, saved`

// record reads recordColumns. The message type's name is the caller's to add.
func (q *statement) record() (r record, err error) {
	r.seq, r.rest = q.column(), q.column()
	r.ID = idOf(r.seq, r.rest)
	r.typeID, r.state = q.column(), state(q.column())
	r.State = r.state.engine()
	r.Attempt, r.Uncounted, r.Lost, r.Priority = int(q.column()), int(q.column()), int(q.column()), int(q.column())
	r.place = q.column()
	r.AcceptedAt, r.QueuedAt, r.DueAt = q.timeColumn(), q.timeColumn(), q.timeColumn()
	r.ExpiresAt, r.StartedAt, r.FinishedAt = q.timeColumn(), q.timeColumn(), q.timeColumn()
	r.Size, r.MessageBytes, r.ResultBytes = q.column(), int(q.column()), int(q.column())
	r.resultNumber, r.large = q.column(), q.column() != 0
	r.ResponseNotification, r.Key = q.textColumn(), q.textColumn()
	r.ContentType, r.Result.ContentType = q.textColumn(), q.textColumn()
	r.Error = q.errorColumns()
	r.idempotency, r.origin = q.textColumn(), q.bytesColumn()
	if r.Origin, err = decodeOrigin(r.origin); err != nil {
		return r, err
	}
	if text := q.bytesColumn(); len(text) > 0 {
		var columns rare
		if err := json.Unmarshal(text, &columns); err != nil {
			return r, err
		}
		columns.fill(&r.StoredMessage)
	}
	r.Attempts, err = decodeAttempts(q.bytesColumn())
	r.CancelRequested, r.saved = q.column() != 0, q.column() != 0
	return r, err
}

// errorColumns reads a code and a message; without a message there is no error.
func (q *statement) errorColumns() *engine.Error {
	q.at += 2
	if q.s.ColumnType(q.at-1) == sqlite3.NULL {
		return nil
	}
	return &engine.Error{Code: q.s.ColumnText(q.at - 2), Message: q.s.ColumnText(q.at - 1)}
}

// failure binds what errorColumns reads.
func (q *statement) failure(e *engine.Error) *statement {
	if e == nil {
		return q.text("").text("")
	}
	return q.text(e.Code).word(e.Message)
}

// wake is when something is to be done about a message that waits; 0 for never.
func (r *record) wake() int64 { return earlier(nanos(r.DueAt), nanos(r.ExpiresAt)) }

func (r *record) expiredAt(now int64) bool {
	at := nanos(r.ExpiresAt)
	return at != 0 && at <= now
}

// kept is what an ended message counts for in retention.
func (r *record) kept() int64 {
	kept := r.Size + int64(r.ResultBytes)
	if r.state == succeeded {
		kept -= int64(r.MessageBytes)
	}
	return max(kept, 0)
}
