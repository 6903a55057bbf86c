package worker

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// counted counts what is written, and how often.
type counted struct {
	net.Conn
	writes int
	bytes.Buffer
}

func (c *counted) Write(p []byte) (int, error) {
	c.writes++
	return c.Buffer.Write(p)
}

func (c *counted) Read(p []byte) (int, error)       { return c.Buffer.Read(p) }
func (c *counted) SetWriteDeadline(time.Time) error { return nil }

func TestACorkedLinkWritesOnce(t *testing.T) {
	t.Parallel()
	c := &counted{}
	l := newLink(c, time.Second)
	l.cork()
	for range 100 {
		if _, err := io.WriteString(l, "frame"); err != nil {
			t.Fatal(err)
		}
	}
	if c.writes != 0 {
		t.Errorf("%d writes while it is corked", c.writes)
	}
	if err := l.uncork(); err != nil || c.writes != 1 || c.Len() != 500 {
		t.Errorf("%d writes of %d bytes, %v", c.writes, c.Len(), err)
	}
	if _, err := io.WriteString(l, "pong"); err != nil || c.writes != 2 {
		t.Errorf("%d writes, %v", c.writes, err)
	}
	// What is large does not pile up.
	l.cork()
	if _, err := l.Write(make([]byte, 3*maxCorked)); err != nil || c.writes != 5 {
		t.Errorf("%d writes, %v", c.writes, err)
	}
}

// The timeout is for headway, not for the whole.
func TestALinkFailsWhenNothingMoves(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		here, there := net.Pipe()
		defer func() { _ = here.Close() }()
		l := newLink(here, 15*time.Second)
		began := time.Now()
		go func() { // slow, but not gone
			for range 10 {
				time.Sleep(10 * time.Second)
				_, _ = io.CopyN(io.Discard, there, maxCorked)
			}
		}()
		if n, err := l.Write(make([]byte, 10*maxCorked)); err != nil || time.Since(began) < 90*time.Second {
			t.Errorf("%d bytes in %s: %v", n, time.Since(began), err)
		}
		began = time.Now()
		if _, err := l.Write([]byte("x")); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) != 15*time.Second {
			t.Errorf("%v after %s", err, time.Since(began))
		}
		if _, err := l.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) != 30*time.Second {
			t.Errorf("%v after %s", err, time.Since(began))
		}
	})
}
