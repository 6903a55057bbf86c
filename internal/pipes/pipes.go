// Package pipes has a net.Listener whose connections are in memory, so that a whole
// server and its clients live in a testing/synctest bubble. It is for tests.
package pipes

import (
	"context"
	"net"
	"sync"
)

// Listener hands out the far ends of what Dial makes.
type Listener struct {
	accepted chan net.Conn // from Dial to Accept; never closed
	closed   chan struct{} // closed by Close
	once     sync.Once
}

// Listen makes a Listener.
func Listen() *Listener {
	return &Listener{accepted: make(chan net.Conn), closed: make(chan struct{})}
}

// Accept implements net.Listener.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.accepted:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener. Connections stay open.
func (l *Listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// Addr implements net.Listener.
func (l *Listener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

// Dial connects, whatever the network and the address are: it is a DialContext. It waits
// until the connection is accepted. Errors: ctx's; net.ErrClosed after Close.
func (l *Listener) Dial(ctx context.Context, _, _ string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	if err := l.Connect(ctx, theirs); err != nil {
		return nil, err
	}
	return ours, nil
}

// Connect has a connection accepted whose other end the caller has. Errors: as Dial.
func (l *Listener) Connect(ctx context.Context, theirs net.Conn) error {
	select {
	case l.accepted <- theirs:
		return nil
	case <-l.closed:
		return net.ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}
