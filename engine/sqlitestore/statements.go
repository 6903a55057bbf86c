package sqlitestore

// statements are those of the connection that writes, for as long as it is open.
type statements struct {
	begin, commit, rollback *statement

	updateHead, insertType, updateType, pauseType, selectWake *statement

	insertMessage, insertData, deleteData, selectData *statement
	selectInline, resumeMessage                       *statement
	saveCheckpoint, deleteCheckpoint                  *statement
	selectCheckpoint, markSaved                       *statement
	selectRecord, selectReady, selectDue              *statement
	insertClaim, deleteClaim                          *statement

	insertReady, deleteReady, insertBlocked, deleteBlocked, insertWake, deleteWake *statement

	endMessage, queueMessage, putOffMessage, claimMessage, unblockMessage, reviveMessage, askCancel *statement

	insertLog, insertResult, deleteResult, selectResult, selectLarge *statement

	selectLane, insertLane, holdLane, passLane, deleteLane *statement
	selectBlocked, selectHeld, selectHolders               *statement

	selectIdempotency, insertIdempotency, deleteIdempotency *statement

	insertEnds, selectEnds, deleteEnds                   *statement
	deleteMessage, selectOldest, deleteLog, selectSharer *statement
}

const (
	// A message that ends drops its checkpoint, and its data if ?2, the first after its row,
	// says so.
	endMessage = `UPDATE message SET data = iif(?2, NULL, data), large = iif(?2, NULL, large), saved = NULL,
		state = ?3, due = NULL, attempt = ?4, uncounted = ?5, lost = ?6,
		started = ?7, finished = ?8, attempts = iif(?9, ?10, attempts), error_code = ?11, error_message = ?12,
		result_type = ?13, result_bytes = ?14, result_number = ?15, result = ?16 WHERE seq = ?1`
	queueMessage = `UPDATE message SET state = ?2, place = ?3, due = NULL, queued = ?4,
		attempt = ?5, uncounted = ?6, lost = ?7, started = ?8, attempts = iif(?9, ?10, attempts) WHERE seq = ?1`
	putOffMessage = `UPDATE message SET state = ?2, due = ?3,
		attempt = ?4, uncounted = ?5, lost = ?6, started = ?7, attempts = iif(?8, ?9, attempts) WHERE seq = ?1`
	claimMessage = `UPDATE message SET state = 5, attempt = ?2, started = ?3
		WHERE seq = ?1`
	resumeMessage = `UPDATE message SET state = 5, due = NULL, uncounted = ?2, lost = ?3, started = ?4, attempts = ?5
		WHERE seq = ?1`
	// A message that is retried by hand becomes as it was, and is then queued.
	reviveMessage = `UPDATE message SET finished = NULL, expires = NULL, cancel = NULL, error_code = NULL, error_message = NULL,
		result_type = NULL, result_bytes = 0, result_number = NULL, result = NULL WHERE seq = ?`

	insertMessage = `INSERT INTO message (seq, rest, type, state, attempt, uncounted, lost, priority, place,
		accepted, queued, due, expires, started, size, bytes, prefix, key, content_type, idempotency, origin, rare, large, data)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`

	insertLog = `INSERT INTO log (number, seq, rest, state, time, size, type, prefix, error_code, error_message,
		origin, result_type, large, result) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`

	selectResult = `SELECT result FROM message WHERE seq = ?`
	selectLarge  = `SELECT data FROM large_result WHERE number = ?`

	selectIdempotency = `SELECT i.fingerprint, i.state, i.cursor, i.remember, m.seq, m.rest, m.state
		FROM idempotency i JOIN message m ON m.seq = i.seq WHERE i.key = ?`
)

// prepareStatements prepares all; each is one line here, so that its SQL is found by its
// name.
func prepareStatements(c *connection) (*statements, error) {
	s := new(statements)
	for _, p := range []struct {
		into **statement
		sql  string
	}{
		{&s.begin, `BEGIN IMMEDIATE`},
		{&s.commit, `COMMIT`},
		{&s.rollback, `ROLLBACK`},

		{&s.updateHead, updateHead},
		{&s.insertType, `INSERT INTO type (name) VALUES (?) RETURNING id`},
		{&s.updateType, `UPDATE type SET scheduled = ?, queued = ?, retrying = ?, running = ?, ready = ?, bytes = ? WHERE id = ?`},
		{&s.pauseType, `UPDATE type SET paused = ? WHERE id = ?`},
		{&s.selectWake, `SELECT coalesce(min(at), 0) FROM wake`},

		{&s.insertMessage, insertMessage},
		{&s.insertData, `INSERT INTO large_data (seq, data) VALUES (?, ?)`},
		{&s.deleteData, `DELETE FROM large_data WHERE seq = ?`},
		{&s.selectData, `SELECT data FROM large_data WHERE seq = ?`},

		{&s.selectInline, `SELECT data FROM message WHERE seq = ?`},
		{&s.saveCheckpoint, `INSERT OR REPLACE INTO checkpoint (seq, data) VALUES (?, ?)`},
		{&s.deleteCheckpoint, `DELETE FROM checkpoint WHERE seq = ?`},
		{&s.selectCheckpoint, `SELECT data FROM checkpoint WHERE seq = ?`},
		{&s.markSaved, `UPDATE message SET saved = 1 WHERE seq = ?`},

		{&s.selectRecord, `SELECT ` + recordColumns + ` FROM message WHERE seq = ?`},
		{&s.selectReady, `SELECT ` + recordColumns + `, data FROM ready CROSS JOIN message ON seq = ready.message
			WHERE queue = ? ORDER BY rank, turn LIMIT ?`},
		{&s.selectDue, `SELECT ` + recordColumns + ` FROM wake CROSS JOIN message ON seq = wake.message
			WHERE at <= ? ORDER BY at, wake.message LIMIT ?`},
		{&s.insertClaim, `INSERT INTO claim (number, owner, seqs) VALUES (?, ?, ?)`},
		{&s.deleteClaim, `DELETE FROM claim WHERE number = ?`},

		{&s.insertReady, `INSERT INTO ready (queue, rank, turn, message) VALUES (?, ?, ?, ?)`},
		{&s.deleteReady, `DELETE FROM ready WHERE queue = ? AND rank = ? AND turn = ?`},
		{&s.insertBlocked, `INSERT INTO blocked (queue, behind, turn, message) VALUES (?, ?, ?, ?)`},
		{&s.deleteBlocked, `DELETE FROM blocked WHERE queue = ? AND behind = ? AND turn = ?`},
		{&s.insertWake, `INSERT INTO wake (at, message) VALUES (?, ?)`},
		{&s.deleteWake, `DELETE FROM wake WHERE at = ? AND message = ?`},

		{&s.endMessage, endMessage},
		{&s.queueMessage, queueMessage},
		{&s.putOffMessage, putOffMessage},
		{&s.claimMessage, claimMessage},
		{&s.resumeMessage, resumeMessage},
		{&s.unblockMessage, `UPDATE message SET state = 4 WHERE seq = ?`},
		{&s.reviveMessage, reviveMessage},
		{&s.askCancel, `UPDATE message SET cancel = 1 WHERE seq = ?`},

		{&s.insertLog, insertLog},
		{&s.insertResult, `INSERT INTO large_result (number, data) VALUES (?, ?)`},
		{&s.deleteResult, `DELETE FROM large_result WHERE number = ?`},
		{&s.selectResult, selectResult},
		{&s.selectLarge, selectLarge},

		{&s.selectLane, `SELECT holder, owner IS NOT NULL, owner FROM lane WHERE type = ? AND key = ?`},
		{&s.insertLane, `INSERT INTO lane (type, key, holder) VALUES (?, ?, ?)`},
		{&s.holdLane, `UPDATE lane SET owner = ?3 WHERE type = ?1 AND key = ?2`},
		{&s.passLane, `UPDATE lane SET holder = ?3, owner = NULL WHERE type = ?1 AND key = ?2`},
		{&s.deleteLane, `DELETE FROM lane WHERE type = ? AND key = ?`},
		{&s.selectBlocked, `SELECT seq, size, priority, place FROM blocked CROSS JOIN message ON seq = blocked.message
			WHERE queue = ? AND behind = ? ORDER BY turn LIMIT 1`},
		{&s.selectHeld, `SELECT type, key, owner FROM lane WHERE holder = ? AND owner IS NOT NULL`},
		{&s.selectHolders, `SELECT type, key, owner FROM lane WHERE owner IS NOT NULL`},

		{&s.selectIdempotency, selectIdempotency},
		{&s.insertIdempotency, `INSERT OR REPLACE INTO idempotency (key, fingerprint, seq, state, cursor, remember) VALUES (?, ?, ?, ?, ?, ?)`},
		{&s.deleteIdempotency, `DELETE FROM idempotency WHERE key = ? AND seq = ?`},

		{&s.insertEnds, `INSERT INTO ended (state, at, seq, number, messages) VALUES (?, ?, ?, ?, ?)`},
		{&s.selectEnds, `SELECT at, seq, number, messages FROM ended WHERE state = ? ORDER BY at, seq, number LIMIT 2`},
		{&s.deleteEnds, `DELETE FROM ended WHERE state = ? AND at = ? AND seq = ? AND number = ?`},
		{&s.deleteMessage, `DELETE FROM message WHERE seq = ?`},
		{&s.selectOldest, `SELECT number, time, size, large, seq FROM log ORDER BY number LIMIT 1`},
		{&s.deleteLog, `DELETE FROM log WHERE number = ?`},
		{&s.selectSharer, `SELECT 1 FROM message WHERE seq = ? AND result_number = ?`},
	} {
		var err error
		if *p.into, err = c.prepare(p.sql); err != nil {
			return nil, err
		}
	}
	return s, nil
}
