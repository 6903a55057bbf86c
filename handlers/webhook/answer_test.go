package webhook

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/activemessage/activemessage/engine"
)

func TestResult(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		want   engine.Result
	}{
		"body": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "image/png")
			_, _ = io.WriteString(w, "PNG")
		}, engine.Result{Data: []byte("PNG"), ContentType: "image/png"}},
		"201": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			w.WriteHeader(http.StatusCreated)
			_, _ = io.WriteString(w, "made")
		}, engine.Result{Data: []byte("made"), ContentType: "text/plain"}},
		"in chunks": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			_, _ = io.WriteString(w, "a")
			w.(http.Flusher).Flush()
			_, _ = io.WriteString(w, "b")
		}, engine.Result{Data: []byte("ab"), ContentType: "text/plain"}},
		"empty": {func(http.ResponseWriter, *http.Request) {}, engine.Result{}},
		"204":   {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }, engine.Result{}},
		"a type too long": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", strings.Repeat("x", 256))
			_, _ = io.WriteString(w, "a")
		}, engine.Result{Data: []byte("a")}},
		"a type in Latin-1": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/\xe4")
			_, _ = io.WriteString(w, "a")
		}, engine.Result{Data: []byte("a")}},
		"at the bound": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "a/b")
			_, _ = io.WriteString(w, "12345678")
		}, engine.Result{Data: []byte("12345678"), ContentType: "a/b"}},
	} {
		got, err := start(t, Config{URL: serve(t, c.answer), MaxBody: 8}).Handle(t.Context(), message("x"))
		if err != nil || string(got.Data) != string(c.want.Data) || got.ContentType != c.want.ContentType {
			t.Errorf("%s: %q %q, %v", name, got.Data, got.ContentType, err)
		}
	}
}

// TestStatus has the engine judge every kind of status.
func TestStatus(t *testing.T) {
	t.Parallel()
	again := []int{408, 409, 425, 429, 500, 501, 502, 503, 504, 599}
	for _, status := range slices.Concat(again, []int{300, 301, 302, 303, 304, 307, 308, 400, 401, 403, 404, 405, 410, 413, 415, 418, 422, 451, 499, 600, 999}) {
		url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			if status != http.StatusNotModified {
				_, _ = io.WriteString(w, "password=hidden")
			}
		})
		h := start(t, Config{URL: url + "/?token=hidden"})
		want := engine.StateFailed
		if slices.Contains(again, status) {
			want = engine.StateRetrying
		}
		got := outcome(t, h, engine.Policy{MaxAttempts: 2, Backoff: engine.Backoff{Initial: time.Hour}})
		if got.State != want {
			t.Errorf("%d: %s, want %s", status, got.State, want)
		}
		told := got.Attempts[0].Error
		words := strings.TrimSpace(fmt.Sprintf("the endpoint answered %d %s", status, http.StatusText(status)))
		if told.Code != CodeFailed || !strings.HasPrefix(told.Message, words) || strings.Contains(told.Message, "hidden") {
			t.Errorf("%d: clients read %+v", status, told)
		}
	}
}

// TestCauseIsForTheLog wants the receiver's words bounded, and nothing secret of the URL.
func TestCauseIsForTheLog(t *testing.T) {
	t.Parallel()
	url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusTeapot)
		_, _ = io.WriteString(w, "short and\nstout "+strings.Repeat("x", 10_000))
	})
	for _, url := range []string{url, "http://127.0.0.1:1", "http://" + raw(t, strings.Repeat("x", 8<<10)+"\r\n\r\n")} {
		_, err := start(t, Config{URL: url + "/hidden?token=hidden"}).Handle(t.Context(), message("x"))
		cause := failureOf(t, err).Cause.Error()
		if !strings.HasPrefix(cause, "POST "+url+": ") || len(cause) > 1200 || strings.Contains(cause, "hidden") || strings.Contains(cause, "\n") {
			t.Errorf("%s", cause)
		}
	}
}

func TestRetryAfterWaits(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status int
		value  string
		want   time.Duration // 0 means the policy's
	}{
		{429, "120", 2 * time.Minute},
		{503, "120", 2 * time.Minute},
		{500, "120", 2 * time.Minute},
		{429, "999999999", time.Hour},
		{503, "0", 0},
		{503, "", 0},
	} {
		url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", c.value)
			w.WriteHeader(c.status)
		})
		policy := engine.Policy{MaxAttempts: 2, Backoff: engine.Backoff{Initial: 24 * time.Hour, Max: 24 * time.Hour}}
		got := outcome(t, start(t, Config{URL: url}), policy)
		wait := got.DueAt.Sub(got.Attempts[0].FinishedAt).Round(time.Second)
		if got.State != engine.StateRetrying || (c.want != 0 && wait != c.want) || (c.want == 0 && wait < 12*time.Hour) {
			t.Errorf("%d, %q: %s in %s", c.status, c.value, got.State, wait)
		}
	}
}

func TestGone(t *testing.T) {
	t.Parallel()
	url := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusGone) })
	var gone []string
	h := start(t, Config{URL: url, OnGone: func(messageType string) { gone = append(gone, messageType) }})
	if status := outcome(t, h, engine.Policy{MaxAttempts: 3}); status.State != engine.StateFailed || !slices.Equal(gone, []string{"t"}) {
		t.Errorf("%s, OnGone(%q)", status.State, gone)
	}
}

// TestGonePausesTheType is what OnGone is for, from within the engine's own call.
func TestGonePausesTheType(t *testing.T) {
	t.Parallel()
	e, err := engine.New(engine.Config{})
	if err != nil {
		t.Fatal(err)
	}
	url := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusGone) })
	paused := make(chan error, 1)
	h := start(t, Config{URL: url, OnGone: func(messageType string) {
		_, err := e.Reconfigure(messageType, func(p *engine.Policy) { p.Paused = true })
		paused <- err
	}})
	if err := e.Register("t", h, engine.Policy{}); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Submit(t.Context(), engine.Submission{MessageType: "t"}); err != nil {
		t.Fatal(err)
	}
	if err := <-paused; err != nil {
		t.Error(err)
	}
	if err := e.Drain(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestTooLarge has a receiver that would send 3 GiB, with its length told and without.
func TestTooLarge(t *testing.T) {
	t.Parallel()
	const limit = 1 << 16
	for _, length := range []string{"", "3221225472"} {
		written := make(chan int64, 1)
		url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			if length != "" {
				w.Header().Set("Content-Length", length)
			}
			n, _ := io.CopyN(w, endless{}, 3<<30)
			written <- n
		})
		h := start(t, Config{URL: url, MaxBody: limit})
		_, err := h.Handle(t.Context(), message("x"))
		if failure := failureOf(t, err); failure.Code != engine.CodeResultTooLarge {
			t.Error(err)
		}
		if n := <-written; n > 64<<20 { // what the sockets' buffers took before it was told
			t.Errorf("%d bytes were taken", n)
		}
		if h.Breaker() != "closed" {
			t.Error("it counts against the endpoint")
		}
	}
	url := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.CopyN(w, endless{}, limit+1) })
	if status := outcome(t, start(t, Config{URL: url, MaxBody: limit}), engine.Policy{MaxAttempts: 3}); status.State != engine.StateFailed || status.Error.Code != engine.CodeResultTooLarge {
		t.Errorf("%s, %v", status.State, status.Error)
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// TestUselessAnswers has receivers that break the protocol: none harms more than its own
// message.
func TestUselessAnswers(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		wire, message string
		state         engine.State
	}{
		"nothing":        {"", "the endpoint is not reachable", engine.StateRetrying},
		"no HTTP":        {"SSH-2.0-OpenSSH_9.2\r\n", "the endpoint is not reachable", engine.StateRetrying},
		"cut off":        {"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345", "the endpoint's answer was cut off", engine.StateRetrying},
		"half a chunk":   {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12", "the endpoint's answer was cut off", engine.StateRetrying},
		"long headers":   {"HTTP/1.1 200 OK\r\n" + strings.Repeat("X-A: aaaaaaaaaaaaaaaa\r\n", 10_000) + "\r\n", "the endpoint is not reachable", engine.StateRetrying},
		"other protocol": {"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n", "the endpoint answered 101 Switching Protocols", engine.StateFailed},
		"compressed": {
			"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 1\r\n\r\n1",
			"the endpoint answered with a Content-Encoding, which it was not asked for", engine.StateFailed,
		},
	} {
		h := start(t, Config{URL: "http://" + raw(t, c.wire)})
		got := outcome(t, h, engine.Policy{MaxAttempts: 2, Backoff: engine.Backoff{Initial: time.Hour}})
		if told := got.Attempts[0].Error; got.State != c.state || told == nil || told.Message != c.message || told.Code != CodeFailed {
			t.Errorf("%s: %s, %+v", name, got.State, told)
		}
	}
}

// raw listens for one connection, reads a request's headers and body from it, writes
// wire, and closes it.
func raw(t *testing.T, wire string) string {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		request := make([]byte, 4<<10)
		for n := 0; !strings.HasSuffix(string(request[:n]), "\r\n\r\nx"); {
			more, err := conn.Read(request[n:])
			if n += more; err != nil {
				t.Error(err)
				return
			}
		}
		_, _ = io.WriteString(conn, wire)
	}()
	t.Cleanup(func() { _ = listener.Close(); <-done })
	return listener.Addr().String()
}
