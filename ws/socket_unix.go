//go:build unix

package ws

import (
	"errors"
	"syscall"
)

const nonBlockingWrites = true

// writeNow writes what fits without waiting; Go's sockets do not block.
func writeNow(raw syscall.RawConn, p []byte) (n int, err error) {
	outer := raw.Write(func(fd uintptr) bool {
		for n < len(p) && err == nil {
			var m int
			if m, err = syscall.Write(int(fd), p[n:]); m > 0 {
				n += m
			}
			if errors.Is(err, syscall.EINTR) {
				err = nil
			}
		}
		return true // never wait
	})
	if errors.Is(err, syscall.EAGAIN) {
		err = nil
	}
	if outer != nil {
		return n, outer
	}
	return n, err
}
