package engine

import "context"

// maxChanges bounds the changes of one group, and so how long those wait who come
// right after it.
const maxChanges = 2048

// commit is a group of changes on its way to the store. Guarded by Engine.mu until
// the committer takes it, then the committer's.
type commit struct {
	group   Group
	changes int
	settled []*record    // of group.Settles
	submits []*record    // of group.Submits; nil for one that stores nothing
	claims  []claims     // of group.Claims
	resumes []resumption // of group.Resumes
	retries []retryRoom  // of group.Retries

	// done is closed when the changes are durable and the engine knows, or err is set.
	done chan struct{}
	err  error
}

// wait returns when the commit is done. Errors: ctx's, and why nothing was stored.
func (c *commit) wait(ctx context.Context) error {
	select {
	case <-c.done:
		return c.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *commit) submit(change *SubmitChange, r *record) {
	c.group.Submits = append(c.group.Submits, change)
	c.submits = append(c.submits, r)
}

func (c *commit) settle(change *SettleChange, r *record) {
	c.group.Settles = append(c.group.Settles, change)
	c.settled = append(c.settled, r)
	r.settling = c
}

func (c *commit) retry(change *RetryChange, room retryRoom) {
	c.group.Retries = append(c.group.Retries, change)
	c.retries = append(c.retries, room)
}

// moveEssential moves what must be stored, whatever it takes, to another commit: outcomes
// of what has run. What is left is answered.
func (c *commit) moveEssential(to *commit) {
	for i, r := range c.settled {
		c.group.Settles[i].Err = nil
		to.settle(c.group.Settles[i], r)
	}
	to.group.Releases = append(to.group.Releases, c.group.Releases...)
	to.changes = len(to.group.Settles) + len(to.group.Releases)
	c.settled, c.group.Settles, c.group.Releases = nil, nil, nil
}

// openCommit returns the commit that collects changes. The caller holds mu, and adds
// one.
func (d *durable) openCommit() *commit {
	n := len(d.collecting)
	if n == 0 || d.collecting[n-1].changes >= maxChanges {
		d.collecting = append(d.collecting, &commit{done: make(chan struct{})})
		n++
	}
	c := d.collecting[n-1]
	c.changes++
	d.changes.Add(1)
	return c
}

// change adds to the next group, under mu, and waits until it is committed.
func (e *Engine) change(ctx context.Context, add func(*commit)) error {
	e.mu.Lock()
	if err := e.durable.unusable(); err != nil {
		e.mu.Unlock()
		return err
	}
	c := e.durable.openCommit()
	add(c)
	e.unlock()
	return c.wait(ctx)
}
