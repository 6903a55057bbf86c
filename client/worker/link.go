package worker

import (
	"net"
	"sync/atomic"
	"time"
)

// maxCorked is how much a link collects before it writes.
const maxCorked = 64 << 10

// link is the connection below a WebSocket. While it is corked, it collects what is
// written: the frames of a batch then cost one system call, not one each. Reading or
// writing that makes no headway for the timeout fails, so a connection is never stuck
// longer, and a large frame may take longer.
type link struct {
	net.Conn
	timeout atomic.Int64 // nanoseconds

	// turn has an element while somebody writes. It is no mutex, because it is held while
	// the network is waited for: as long as the timeout.
	turn chan struct{}
	// All below belongs to whoever has the turn.
	corked    bool
	collected []byte
}

func newLink(conn net.Conn, timeout time.Duration) *link {
	l := &link{Conn: conn, turn: make(chan struct{}, 1)}
	l.timeout.Store(int64(timeout))
	return l
}

// Read implements net.Conn.
func (l *link) Read(p []byte) (int, error) {
	if err := l.Conn.SetReadDeadline(time.Now().Add(time.Duration(l.timeout.Load()))); err != nil {
		return 0, err
	}
	return l.Conn.Read(p)
}

// Write implements net.Conn.
func (l *link) Write(p []byte) (int, error) {
	l.turn <- struct{}{}
	defer func() { <-l.turn }()
	if !l.corked {
		return l.write(p)
	}
	l.collected = append(l.collected, p...)
	if len(l.collected) >= maxCorked {
		if err := l.flush(); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

// SetWriteDeadline implements net.Conn: the link has deadlines of its own.
func (l *link) SetWriteDeadline(time.Time) error { return nil }

// SetReadDeadline implements net.Conn: as above.
func (l *link) SetReadDeadline(time.Time) error { return nil }

// SetDeadline implements net.Conn: as above.
func (l *link) SetDeadline(time.Time) error { return nil }

func (l *link) cork() {
	l.turn <- struct{}{}
	l.corked = true
	<-l.turn
}

// uncork writes what was collected.
func (l *link) uncork() error {
	l.turn <- struct{}{}
	defer func() { <-l.turn }()
	l.corked = false
	return l.flush()
}

// flush writes what was collected. The caller has the turn.
func (l *link) flush() error {
	_, err := l.write(l.collected)
	l.collected = l.collected[:0]
	if cap(l.collected) > 4*maxCorked {
		l.collected = nil
	}
	return err
}

// write writes in pieces, each of which has the timeout. The caller has the turn.
func (l *link) write(p []byte) (n int, err error) {
	for len(p) > n {
		piece := p[n:min(len(p), n+maxCorked)]
		if err = l.Conn.SetWriteDeadline(time.Now().Add(time.Duration(l.timeout.Load()))); err != nil {
			return n, err
		}
		written, err := l.Conn.Write(piece)
		n += written
		if err != nil {
			return n, err
		}
	}
	return n, nil
}
