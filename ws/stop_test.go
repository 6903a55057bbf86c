package ws_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/activemessage/activemessage/engine"
	"github.com/activemessage/activemessage/ws"
)

// Progress has no text form; reading it must not end the reading.
func TestProgressDoesNotStallTheTextProtocol(t *testing.T) {
	t.Parallel()
	n := start(t, engine.Config{}, ws.Config{})
	for _, query := range []string{"?subscribe=request_1", "?subscribe=*"} {
		c := n.dial(query, ws.ProtocolText)
		n.submit("sleep", `{"duration":"100ms"}`, "request_1")
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		_, data, err := c.conn.Read(ctx)
		cancel()
		if err != nil || string(data) != "request_1:ok" {
			t.Errorf("%s: %q, %v", query, data, err)
		}
	}
}

// RFC 6455, section 5.5.1: no data frame follows a close frame.
func TestNothingFollowsACloseFrame(t *testing.T) {
	t.Parallel()
	n := start(t, engine.Config{}, ws.Config{})
	conn, reader := rawDial(t, n, "?subscribe=*")
	// A masked text frame that is no JSON: the server closes with 1007.
	if _, err := conn.Write([]byte{0x81, 0x81, 0, 0, 0, 0, 'x'}); err != nil {
		t.Fatal(err)
	}
	for {
		op, _, err := readFrame(reader)
		if err != nil {
			t.Fatal(err)
		}
		if op&0x0f == 8 {
			break
		}
	}
	n.submit("echo", `1`, "request_1") // while the server awaits our close frame
	_ = conn.SetReadDeadline(time.Now().Add(time.Second))
	op, payload, err := readFrame(reader)
	if e, ok := errors.AsType[net.Error](err); err == nil || ok && !e.Timeout() {
		t.Errorf("after the close frame: op %x %.80q, %v", op, payload, err)
	}
}

func TestDrainingIsAnnouncedOnce(t *testing.T) {
	t.Parallel()
	n := start(t, engine.Config{}, ws.Config{CloseSpread: 200 * time.Millisecond})
	c := n.dial("?subscribe=*")
	c.next("welcome")
	n.sockets.Drain()
	c.next("draining")
	done := make(chan struct{})
	go func() { defer close(done); n.stop() }()
	frames := c.closed(websocket.StatusServiceRestart)
	<-done
	count := 0
	for _, f := range frames {
		if bytes.Contains([]byte(f), []byte(`"draining"`)) {
			count++
		}
	}
	if count != 0 {
		t.Errorf("%d more draining frames: %q", count, frames)
	}
}

func TestShutdownTwice(t *testing.T) {
	t.Parallel()
	e, err := engine.New(engine.Config{})
	if err != nil {
		t.Fatal(err)
	}
	s := ws.New(e, ws.Config{})
	_ = e.Drain(context.Background())
	for range 2 {
		func() {
			defer func() {
				if p := recover(); p != nil {
					t.Errorf("panic: %v", p)
				}
			}()
			_ = s.Shutdown(context.Background())
		}()
	}
}

func TestTheSpreadFitsTheContext(t *testing.T) {
	t.Parallel()
	n := start(t, engine.Config{}, ws.Config{CloseSpread: time.Hour})
	c := n.dial("?subscribe=*")
	c.next("welcome")
	done := make(chan error, 1)
	go func() {
		n.sockets.Drain()
		_ = n.engine.Drain(context.Background())
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		n.stopped = true
		done <- n.sockets.Shutdown(ctx)
	}()
	c.closed(websocket.StatusServiceRestart)
	if err := <-done; err != nil {
		t.Error(err)
	}
	n.http.Close()
}
