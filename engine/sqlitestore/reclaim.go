package sqlitestore

import (
	"cmp"
	"slices"

	"github.com/activemessage/activemessage/engine"
)

// maxAttempts bounds the attempts that are remembered.
const maxAttempts = 20

// reclaim queues again what was claimed by owners that are gone, and frees the keys that
// they hold.
func (c *commit) reclaim() error {
	if c.g.Reclaim <= 0 {
		return nil
	}
	if err := c.reclaimKeys(); err != nil {
		return err
	}
	lost, err := c.lost(c.g.Reclaim)
	if err != nil {
		return err
	}
	c.g.Reclaimed = len(lost)
	for i := range lost {
		if err := c.lose(&lost[i]); err != nil {
			return err
		}
	}
	return nil
}

// lost returns messages claimed by owners that are gone, the oldest accepted first. They
// are claimed no more.
func (c *commit) lost(limit int) ([]record, error) {
	var gone []*claim
	for _, h := range c.ledger.claims {
		if c.gone(h.owner) {
			gone = append(gone, h)
		}
	}
	slices.SortFunc(gone, func(a, b *claim) int { return cmp.Compare(a.seq, b.seq) })
	var all []record
	for _, h := range gone[:min(limit, len(gone))] {
		found, err := c.records(c.sql.selectRecord.with().int(h.seq))
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
		c.letGo(h)
	}
	return all, nil
}

func (c *commit) reclaimKeys() error {
	held, err := holds(c.sql.selectHolders.with())
	if err != nil {
		return err
	}
	for _, h := range held {
		if c.gone(h.owner) {
			if err := c.passKey(h.typeID, h.key); err != nil {
				return err
			}
		}
	}
	return nil
}

// gone reports whether an owner's lease is over: one of an earlier process, or one that
// set a lease and let it pass.
func (c *commit) gone(owner engine.Owner) bool {
	lease, known := c.leases[owner]
	return !known || !lease.IsZero() && !lease.After(c.g.Now)
}

// lose queues a message whose owner ended while it ran.
func (c *commit) lose(r *record) error {
	if err := c.leave(r); err != nil {
		return err
	}
	attempts := append(slices.Clone(r.Attempts), engine.Attempt{
		Number: r.Attempt, State: engine.StateQueued, StartedAt: r.StartedAt, FinishedAt: c.g.Now,
		Error: &engine.Error{Code: engine.CodeLost, Message: "the server died while it ran"},
	})
	r.Attempts = attempts[max(len(attempts)-maxAttempts, 0):]
	r.Uncounted++
	r.Lost++
	return c.queue(r, r.Attempts)
}
