package ws

import (
	"github.com/activemessage/activemessage/internal/wire"
)

// flush writes what there is to tell, all in one write that does not block. It reports
// whether the socket is full: then the rest is written as the worker takes it.
func (c *workConnection) flush() (full bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.slow || c.session == nil || c.socket.closing.Load() {
		return c.slow
	}
	out := c.gather()
	if len(out) == 0 {
		return false
	}
	full, err := c.socket.send(out)
	switch {
	case err != nil:
		_ = c.socket.Close() // read then returns
	case full:
		c.startSlow()
	}
	return full
}

// gather collects what there is to tell, as frames. The caller holds mu.
func (c *workConnection) gather() []byte {
	c.session.Collect(&c.out)
	if cap(c.buffer) > keptBuffer {
		c.buffer = nil
	}
	if cap(c.payload) > keptBuffer {
		c.payload = nil
	}
	b, p := c.buffer[:0], c.payload
	b = append(b, c.welcome...)
	c.welcome = nil
	for _, s := range c.out.Settled {
		p = wire.AppendSettled(p[:0], s)
		b = appendFrame(b, p)
	}
	if c.out.Beaten {
		p = wire.AppendBeaten(p[:0], c.out.Stops)
		b = appendFrame(b, p)
	} else {
		for _, s := range c.out.Stops {
			p = wire.AppendStop(p[:0], s)
			b = appendFrame(b, p)
		}
	}
	for i := range c.out.Jobs {
		p = wire.AppendJob(p[:0], &c.out.Jobs[i])
		b = appendFrame(b, p)
	}
	if c.out.Drain {
		p = wire.AppendWorkDrain(p[:0], c.out.Within)
		b = appendFrame(b, p)
	}
	c.out.Jobs = nil
	c.buffer, c.payload = b, p
	return b
}

// writeInOwnTime gives the connection a goroutine to write what its socket does not take
// now, unless it has one.
func (c *workConnection) writeInOwnTime() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.slow {
		c.startSlow()
	}
}

// startSlow starts writeSlowly. The caller holds mu.
func (c *workConnection) startSlow() {
	c.slow = true
	if c.session != nil {
		c.session.Full(true)
	}
	c.work.goroutines.Go(c.writeSlowly)
}

// writeSlowly writes until the socket has taken all there is. Meanwhile answers and jobs stay
// with the session, and the worker's frames are read.
func (c *workConnection) writeSlowly() {
	for {
		err := c.socket.writeTail()
		c.mu.Lock()
		var out []byte
		if err == nil && c.session != nil && !c.socket.closing.Load() {
			out = c.gather()
		}
		if err == nil && len(out) > 0 {
			_, err = c.socket.send(out)
		}
		if err != nil {
			_ = c.socket.Close()
		}
		if err != nil || len(out) == 0 {
			c.slow = false
			if c.session != nil {
				c.session.Full(false)
			}
			c.mu.Unlock()
			select {
			case c.room <- struct{}{}:
			default:
			}
			return
		}
		c.mu.Unlock()
	}
}

// awaitRoom waits while too many answers wait for a worker that does not read.
func (c *workConnection) awaitRoom() {
	for {
		c.mu.Lock()
		slow := c.slow
		c.mu.Unlock()
		if !slow || c.session.Backlog() < maxBacklog {
			return
		}
		select {
		case <-c.room:
		case <-c.ctx.Done():
			return
		}
	}
}
