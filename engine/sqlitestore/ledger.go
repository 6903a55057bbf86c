package sqlitestore

import (
	"encoding/binary"
	"slices"
	"time"

	"github.com/activemessage/activemessage/engine"
)

// ledger has all claims, so that the end of an attempt need not read its message. On the
// disk there is one row for all that a commit claimed, until the last of them ended: far
// less than an index of what is claimed costs, and after a crash the few rows that are
// left name every message that may still be claimed. Guarded by Store.turn.
type ledger struct {
	claims map[int64]*claim // by their messages' seq
	last   int64            // the greatest number of a row
}

// claim is a claimed message, with what the end of its attempt needs of it.
type claim struct {
	row           *claimRow // nil until the commit that made it writes it
	seq, rest     int64
	typeID        int64
	owner         engine.Owner
	attempt, lost int
	priority      int
	expires       time.Time
	size          int64
	bytes         int
	prefix, key   string
	origin        []byte
	large, saved  bool
}

// claimRow is a row of table claim.
type claimRow struct {
	number int64
	live   int // claims that have not ended
}

// claimOf is the claim of a record that runs from now on.
func claimOf(r *record, owner engine.Owner) *claim {
	return &claim{
		seq: r.seq, rest: r.rest, typeID: r.typeID, owner: owner, attempt: r.Attempt, lost: r.Lost, priority: r.Priority,
		expires: r.ExpiresAt, size: r.Size, bytes: r.MessageBytes, prefix: r.ResponseNotification, key: r.Key,
		origin: r.origin, large: r.large, saved: r.saved,
	}
}

// record is the claim's message, as far as the end of its attempt needs it.
func (h *claim) record() (r record, err error) {
	r.ID, r.seq, r.rest, r.typeID, r.state = idOf(h.seq, h.rest), h.seq, h.rest, h.typeID, running
	r.owner, r.Attempt, r.Lost, r.ExpiresAt = h.owner, h.attempt, h.lost, h.expires
	r.Priority = h.priority
	r.Size, r.MessageBytes, r.large, r.saved = h.size, h.bytes, h.large, h.saved
	r.ResponseNotification, r.Key, r.origin = h.prefix, h.key, h.origin
	r.Origin, err = decodeOrigin(h.origin)
	return r, err
}

// ledgerChanges are what a transaction did to the ledger, to be written or undone.
type ledgerChanges struct {
	made    []*claim
	saved   []*claim // that had no checkpoint before
	ended   []*claim // those made before the transaction
	emptied []*claimRow
}

// hold enters a claim.
func (t *transaction) hold(h *claim) {
	t.ledger.claims[h.seq] = h
	t.ledgerChanges.made = append(t.ledgerChanges.made, h)
}

// claimed returns the claim of a message that an owner has at an attempt, nil if it does
// not.
func (l *ledger) claimed(id engine.ID, owner engine.Owner, attempt int) *claim {
	h := l.claims[seqOf(id)]
	if h == nil || h.rest != restOf(id) || h.owner != owner || h.attempt != attempt {
		return nil
	}
	return h
}

// letGo takes a claim out.
func (t *transaction) letGo(h *claim) {
	delete(t.ledger.claims, h.seq)
	if h.row == nil {
		return // its row will not have it
	}
	t.ledgerChanges.ended = append(t.ledgerChanges.ended, h)
	if h.row.live--; h.row.live == 0 {
		t.ledgerChanges.emptied = append(t.ledgerChanges.emptied, h.row)
	}
}

// writeLedger writes what was claimed as one row, and deletes the rows of which nothing is
// claimed any more.
func (t *transaction) writeLedger() error {
	for _, row := range t.ledgerChanges.emptied {
		if err := t.sql.deleteClaim.with().int(row.number).exec(); err != nil {
			return err
		}
	}
	made := slices.DeleteFunc(t.ledgerChanges.made, func(h *claim) bool { return t.ledger.claims[h.seq] != h })
	if t.ledgerChanges.made = made; len(made) == 0 {
		return nil
	}
	row := &claimRow{number: t.ledger.last + 1, live: len(made)}
	seqs := make([]byte, 0, 8*len(made))
	for _, h := range made {
		seqs = binary.BigEndian.AppendUint64(seqs, uint64(h.seq))
	}
	if err := t.sql.insertClaim.with().int(row.number).int(int64(made[0].owner)).blob(seqs).exec(); err != nil {
		return err
	}
	for _, h := range made {
		h.row = row
	}
	t.ledger.last = row.number
	return nil
}

// undoLedger makes the ledger what it was before the transaction.
func (t *transaction) undoLedger() {
	for _, h := range t.ledgerChanges.saved {
		h.saved = false
	}
	for _, h := range t.ledgerChanges.made {
		delete(t.ledger.claims, h.seq)
	}
	for _, h := range t.ledgerChanges.ended {
		t.ledger.claims[h.seq] = h
		h.row.live++
	}
}

const (
	selectClaims  = `SELECT number, owner, seqs FROM claim ORDER BY number`
	selectRunning = `SELECT rest, type, attempt, lost, priority, expires, size, bytes, prefix, key, origin, large, saved
		FROM message WHERE seq = ? AND state = 5`
)

// readLedger finds out what is claimed. A row also names messages that ended, and those
// that were claimed again since, which are in a later row too.
func readLedger(c *connection) (all ledger, err error) {
	all.claims = make(map[int64]*claim)
	rows, err := c.prepare(selectClaims)
	if err != nil {
		return all, err
	}
	defer func() { _ = rows.s.Close() }()
	message, err := c.prepare(selectRunning)
	if err != nil {
		return all, err
	}
	defer func() { _ = message.s.Close() }()
	for rows.with(); rows.next(); {
		row := &claimRow{number: rows.column()}
		owner, seqs := engine.Owner(rows.column()), rows.bytesColumn()
		for ; len(seqs) >= 8; seqs = seqs[8:] {
			h := &claim{row: row, seq: int64(binary.BigEndian.Uint64(seqs)), owner: owner}
			if err := all.readClaim(h, message); err != nil {
				return all, err
			}
		}
		all.last = row.number
	}
	return all, rows.done()
}

// readClaim enters a claim if its message runs.
func (l *ledger) readClaim(h *claim, q *statement) error {
	if !q.with().int(h.seq).next() {
		return q.done()
	}
	h.rest, h.typeID, h.attempt, h.lost = q.column(), q.column(), int(q.column()), int(q.column())
	h.priority, h.expires = int(q.column()), q.timeColumn()
	h.size, h.bytes, h.prefix, h.key = q.column(), int(q.column()), q.textColumn(), q.textColumn()
	h.origin, h.large, h.saved = q.bytesColumn(), q.column() != 0, q.column() != 0
	if before := l.claims[h.seq]; before != nil {
		before.row.live--
	}
	l.claims[h.seq] = h
	h.row.live++
	return q.done()
}
