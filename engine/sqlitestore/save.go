package sqlitestore

import (
	"fmt"

	"github.com/activemessage/activemessage/engine"
)

// save remembers a checkpoint, if the owner has the message at that attempt. Only the
// first one of a message changes the message's row.
func (c *commit) save(change *engine.SaveChange) error {
	h := c.ledger.claimed(change.ID, c.g.Owner, change.Attempt)
	if h == nil {
		change.Err = fmt.Errorf("save %s: %w", change.ID, engine.ErrStale)
		return nil
	}
	data := change.Data
	if data == nil {
		data = []byte{} // nil would be NULL
	}
	if err := c.sql.saveCheckpoint.with().int(h.seq).blob(data).exec(); err != nil || h.saved {
		return err
	}
	h.saved = true
	c.ledgerChanges.saved = append(c.ledgerChanges.saved, h)
	return c.sql.markSaved.with().int(h.seq).exec()
}
