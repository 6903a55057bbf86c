package engine

// setStored takes over what the store counts. The caller holds mu.
func (e *Engine) setStored(t *messageType, now Counts) {
	was := t.stored
	t.stored = now
	e.durable.stored.add(now, 1)
	e.durable.stored.add(was, -1)
	e.setBehind(t, now.Ready > 0)
	e.dropIfDone(t)
}

func (c *Counts) add(o Counts, sign int) {
	c.Scheduled += sign * o.Scheduled
	c.Queued += sign * o.Queued
	c.Retrying += sign * o.Retrying
	c.Running += sign * o.Running
	c.Ready += sign * o.Ready
	c.Bytes += int64(sign) * o.Bytes
}

// waiting is how many messages wait in the store.
func (c *Counts) waiting() int { return c.Scheduled + c.Queued + c.Retrying }

// allWaiting is how many messages of all types wait, allWaitingBytes what they hold. The
// caller holds mu.
func (e *Engine) allWaiting() int {
	if e.durable == nil {
		return e.backlog.len()
	}
	return e.backlog.len() + e.durable.stored.waiting()
}

func (e *Engine) allWaitingBytes() int64 {
	if e.durable == nil {
		return e.backlog.bytes
	}
	return e.backlog.bytes + e.durable.stored.Bytes
}
