package ws

import (
	"errors"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// maxControl bounds the control frames that wait behind a full socket. A peer
	// that provokes more, by pinging without reading, is cut.
	maxControl = 16 << 10
	// readAhead is how much is read at once of a client that sends a lot.
	readAhead = 16 << 10
	// writeChunk is how much one blocking write hands over at a time, so that
	// the deadline tells a slow peer from one that takes nothing.
	writeChunk = 16 << 10
)

// socket is the connection under the WebSocket library, with a second way to
// write: frames of ours, without blocking. Whoever writes, bytes go out in one
// order; the rest of a short write goes before anything else, or a pong would
// land inside a frame.
type socket struct {
	net.Conn
	raw     syscall.RawConn // nil: no non-blocking write
	timeout time.Duration
	ahead   []byte       // to be read first: came with the handshake, or was read ahead
	full    bool         // the last read filled the library's buffer
	heard   atomic.Int64 // when the peer last sent something, Unix nanoseconds
	// closing: a close frame was written; nothing may follow it.
	closing atomic.Bool
	// blocked is called, without locks held, when the tail is not empty after a
	// write of the library.
	blocked func()

	mu sync.Mutex
	// All below is guarded by mu.
	tail    []byte // to be written next
	taken   bool   // a chunk is being written; everything else goes to the tail
	control int    // bytes of control frames that were put to the tail since it was last taken
	failed  bool
}

func newSocket(conn net.Conn, early []byte, timeout time.Duration) *socket {
	s := &socket{Conn: conn, timeout: timeout, ahead: slices.Clone(early), blocked: func() {}}
	s.heard.Store(time.Now().UnixNano())
	if sc, ok := conn.(syscall.Conn); ok && nonBlockingWrites {
		if raw, err := sc.SyscallConn(); err == nil {
			s.raw = raw
		}
	}
	return s
}

// Read reads for the library, whose buffer is small: behind a read that filled it
// there is more, of which as much as readAhead is taken at once. An idle connection
// has no buffer for that.
func (s *socket) Read(p []byte) (int, error) {
	if len(s.ahead) == 0 && s.full && len(p) <= connectionBuffer {
		buffer := make([]byte, readAhead)
		n, err := s.receive(buffer)
		s.ahead, s.full = buffer[:n], false
		if n == 0 {
			return 0, err
		}
		// An error comes again, at the next read.
	}
	if len(s.ahead) > 0 {
		n := copy(p, s.ahead)
		s.ahead = s.ahead[n:]
		if len(s.ahead) == 0 {
			s.ahead = nil
		}
		return n, nil
	}
	n, err := s.receive(p)
	s.full = n == len(p)
	return n, err
}

func (s *socket) receive(p []byte) (int, error) {
	n, err := s.Conn.Read(p)
	if n > 0 {
		s.heard.Store(time.Now().UnixNano())
	}
	return n, err
}

// Write writes control frames for the library, which flushes one at a time. It
// does not block.
func (s *socket) Write(p []byte) (int, error) {
	s.mu.Lock()
	full, err := s.sendLocked(p)
	if p[0] == opClose {
		s.closing.Store(true)
	}
	if full {
		s.control += len(p)
	}
	if s.control > maxControl {
		s.failed, err = true, errPeerTooSlow
	}
	s.mu.Unlock()
	if err != nil {
		return 0, err
	}
	if full {
		s.blocked()
	}
	return len(p), nil
}

var errPeerTooSlow = errors.New("the peer does not read")

// send writes what the socket takes now and keeps the rest, of which full tells:
// then the caller sees to it that writeTail runs.
func (s *socket) send(p []byte) (full bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing.Load() {
		return false, nil
	}
	return s.sendLocked(p)
}

func (s *socket) sendLocked(p []byte) (full bool, err error) {
	if s.failed {
		return false, net.ErrClosed
	}
	if s.raw != nil && !s.taken && len(s.tail) == 0 {
		n, err := writeNow(s.raw, p)
		if err != nil {
			s.failed = true
			return false, err
		}
		p = p[n:]
	}
	if len(p) == 0 {
		return false, nil
	}
	s.tail = append(s.tail, p...)
	return true, nil
}

// writeTail writes the tail, blocking, until there is none.
func (s *socket) writeTail() error {
	for {
		s.mu.Lock()
		chunk := s.tail
		s.tail, s.taken, s.control = nil, len(chunk) > 0, 0
		failed := s.failed
		s.mu.Unlock()
		if failed {
			return net.ErrClosed
		}
		if len(chunk) == 0 {
			return nil
		}
		if err := s.writeChunks(chunk); err != nil {
			s.mu.Lock()
			s.failed = true
			s.mu.Unlock()
			return err
		}
	}
}

// writeChunks gives the peer the timeout anew whenever it took something.
func (s *socket) writeChunks(p []byte) error {
	for len(p) > 0 {
		if err := s.SetWriteDeadline(time.Now().Add(s.timeout)); err != nil {
			return err
		}
		n, err := s.Conn.Write(p[:min(len(p), writeChunk)])
		p = p[n:]
		if err != nil && (n == 0 || !errors.Is(err, os.ErrDeadlineExceeded)) {
			return err
		}
	}
	return s.SetWriteDeadline(time.Time{})
}
