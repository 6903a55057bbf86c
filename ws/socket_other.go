//go:build !unix

package ws

import (
	"errors"
	"syscall"
)

// nonBlockingWrites: connections are written by their own goroutine.
const nonBlockingWrites = false

func writeNow(syscall.RawConn, []byte) (int, error) { return 0, errors.ErrUnsupported }
