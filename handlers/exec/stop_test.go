//go:build unix

package exec_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/activemessage/activemessage/engine"
	"github.com/activemessage/activemessage/handlers/exec"
)

// household hears from the processes that live, until they do not.
type household struct {
	t        *testing.T
	listener net.Listener
	members  map[string]net.Conn
}

func newHousehold(t *testing.T) *household {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	return &household{t, listener, make(map[string]net.Conn)}
}

func (h *household) address() string { return h.listener.Addr().String() }

// await returns when all of these live, and no others have come.
func (h *household) await(who ...string) {
	h.t.Helper()
	for range who {
		connection, err := h.listener.Accept()
		if err != nil {
			h.t.Fatal(err)
		}
		name, err := bufio.NewReader(connection).ReadString('\n')
		if err != nil {
			h.t.Fatal(err)
		}
		h.members[strings.TrimSpace(name)] = connection
	}
	for _, name := range who {
		if h.members[name] == nil {
			h.t.Fatalf("%s does not live", name)
		}
	}
}

// gone returns when nobody lives any more.
func (h *household) gone() {
	h.t.Helper()
	for name, connection := range h.members {
		if _, err := io.Copy(io.Discard, connection); err != nil && !strings.Contains(err.Error(), "reset") {
			h.t.Errorf("%s: %v", name, err)
		}
		_ = connection.Close()
	}
}

// handled is a call of Handle that goes on.
type handled struct {
	cancel context.CancelCauseFunc
	result engine.Result
	err    error
	done   chan struct{} // closed when result and err are set
}

func handle(t *testing.T, h engine.Handler) *handled {
	ctx, cancel := context.WithCancelCause(t.Context())
	c := &handled{cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(c.done)
		c.result, c.err = h.Handle(ctx, message("data"))
	}()
	t.Cleanup(func() { cancel(nil); <-c.done })
	return c
}

func TestStopped(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		mode, want string
		killAfter  time.Duration
		who        []string
	}{
		{"live", "signal: terminated", time.Hour, []string{"command"}},
		{"stubborn", "signal: killed", 100 * time.Millisecond, []string{"command"}},
		{"parent", "signal: terminated", 100 * time.Millisecond, []string{"command", "grandchild"}},
		{"polite", "exit status 0", time.Hour, []string{"command"}}, // what it wrote may be half
	} {
		t.Run(c.mode, func(t *testing.T) {
			t.Parallel()
			house := newHousehold(t)
			call := handle(t, run(t, exec.Config{KillAfter: c.killAfter}, c.mode, house.address()))
			house.await(c.who...)
			call.cancel(engine.ErrTimeout)
			<-call.done
			if !errors.Is(call.err, engine.ErrTimeout) || !strings.Contains(call.err.Error(), c.want) || call.result.Data != nil {
				t.Errorf("%+v, %v", call.result, call.err)
			}
			house.gone()
		})
	}
}

// What follows is the engine's to say, as of any handler.
func TestStoppedByTheEngine(t *testing.T) {
	t.Parallel()
	t.Run("timeout", func(t *testing.T) {
		t.Parallel()
		h := run(t, exec.Config{}, "live", newHousehold(t).address())
		e := start(t, h, engine.Policy{Timeout: 200 * time.Millisecond, Grace: time.Hour})
		if status := ended(t, e, ""); status.Error == nil || status.Error.Code != engine.CodeTimeout {
			t.Errorf("%+v", status)
		}
	})
	t.Run("cancel", func(t *testing.T) {
		t.Parallel()
		house := newHousehold(t)
		e := start(t, run(t, exec.Config{}, "live", house.address()), engine.Policy{Grace: time.Hour})
		receipt, err := e.Submit(t.Context(), engine.Submission{MessageType: "run"})
		if err != nil {
			t.Fatal(err)
		}
		house.await("command")
		if _, err := e.Cancel(receipt.ID); err != nil {
			t.Fatal(err)
		}
		if status := await(t, e, receipt.ID); status.State != engine.StateCancelled {
			t.Errorf("%+v", status)
		}
		house.gone()
	})
	t.Run("shutdown", func(t *testing.T) {
		t.Parallel()
		house := newHousehold(t)
		e := start(t, run(t, exec.Config{}, "live", house.address()), engine.Policy{Grace: time.Hour})
		receipt, err := e.Submit(t.Context(), engine.Submission{MessageType: "run"})
		if err != nil {
			t.Fatal(err)
		}
		house.await("command")
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_ = e.Drain(ctx) // out of time at once
		if status := await(t, e, receipt.ID); status.Error == nil || status.Error.Code != engine.CodeShutdown {
			t.Errorf("%+v", status)
		}
		house.gone()
	})
}

// A command that wrote too much is not waited for.
func TestStoppedForItsOutput(t *testing.T) {
	t.Parallel()
	house := newHousehold(t)
	_, err := run(t, exec.Config{MaxOutput: 5000, KillAfter: time.Hour}, "verbose", house.address()).Handle(t.Context(), message(""))
	if told := failure(t, err); told.Code != engine.CodeResultTooLarge {
		t.Errorf("%+v", told)
	}
}

// What a command leaves behind is killed, and its open output delays nothing.
func TestLeftBehind(t *testing.T) {
	t.Parallel()
	house := newHousehold(t)
	call := handle(t, run(t, exec.Config{}, "leaver", house.address()))
	house.await("command", "grandchild")
	if _, err := house.members["command"].Write([]byte("!")); err != nil {
		t.Fatal(err)
	}
	<-call.done
	if call.err != nil || string(call.result.Data) != "left" {
		t.Errorf("%q, %v", call.result.Data, call.err)
	}
	house.gone()
}

// What has a session of its own lives on, holds the output open, and holds up nobody.
func TestEscaped(t *testing.T) {
	t.Parallel()
	house := newHousehold(t)
	call := handle(t, run(t, exec.Config{}, "escaper", house.address()))
	house.await("command", "grandchild")
	escaped := house.members["grandchild"]
	if _, err := house.members["command"].Write([]byte("!")); err != nil {
		t.Fatal(err)
	}
	<-call.done
	if call.err != nil || string(call.result.Data) != "left" {
		t.Errorf("%q, %v", call.result.Data, call.err)
	}
	if _, err := escaped.Write([]byte("!")); err != nil { // it ends when it hears this
		t.Error(err)
	}
	house.gone()
}

func TestEndedBefore(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(engine.ErrCancelled)
	if _, err := run(t, exec.Config{}, "cat").Handle(ctx, message("")); !errors.Is(err, engine.ErrCancelled) {
		t.Error(err)
	}
}

// What the command wrote is the result, even if nobody had time to read it.
func TestReleasedPipeIsReadToItsEnd(t *testing.T) {
	t.Parallel()
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = reader.Close() }()
	defer func() { _ = writer.Close() }() // open until the end, as an escaped process has it
	if _, err := writer.WriteString(strings.Repeat("x", 50_000)); err != nil {
		t.Fatal(err)
	}
	if got := exec.CopyReleased(reader); len(got) != 50_000 {
		t.Errorf("%d bytes", len(got))
	}
}
