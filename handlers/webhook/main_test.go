package webhook

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"

	"go.uber.org/goleak"

	"github.com/activemessage/activemessage/engine"
	"github.com/activemessage/activemessage/internal/pipes"
)

// TestMain fails the package if a test leaves a goroutine behind.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// secret is the one of the standard's test vectors.
const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

func loopback() []netip.Prefix { return []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")} }

// serve runs a receiver, and returns its URL.
func serve(t testing.TB, f http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	return server.URL
}

// start returns a handler of cfg, whose URL may be on this machine.
func start(t testing.TB, cfg Config) *Handler {
	t.Helper()
	if cfg.Secrets == nil {
		cfg.Secrets = []string{secret}
	}
	if cfg.Allow == nil {
		cfg.Allow = loopback()
	}
	h, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	return h
}

func message(data string) *engine.Message {
	return &engine.Message{
		ID:          engine.ID{1, 2, 3},
		MessageType: "invoice.created",
		MessageData: []byte(data),
		ContentType: "application/json",
		Attempt:     2,
	}
}

// failureOf is what clients read of err, and the cause that goes to the log.
func failureOf(t testing.TB, err error) *engine.Error {
	t.Helper()
	failure, ok := errors.AsType[*engine.Error](err)
	if !ok {
		t.Fatalf("not a failure in words: %v", err)
	}
	return failure
}

// outcome runs one message through an engine with h as its type's handler, up to its
// first attempt's end.
func outcome(t testing.TB, h engine.Handler, p engine.Policy) engine.Status {
	t.Helper()
	e, err := engine.New(engine.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = e.Drain(ctx) // what still waits is cancelled
	}()
	ended := make(chan struct{}, 1)
	watched := engine.HandlerFunc(func(ctx context.Context, m *engine.Message) (engine.Result, error) {
		defer func() { ended <- struct{}{} }()
		return h.Handle(ctx, m)
	})
	if err := e.Register("t", watched, p); err != nil {
		t.Fatal(err)
	}
	receipt, err := e.Submit(t.Context(), engine.Submission{MessageType: "t", MessageData: []byte("x")})
	if err != nil {
		t.Fatal(err)
	}
	<-ended
	for {
		status, err := e.Get(receipt.ID)
		if err != nil {
			t.Fatal(err)
		}
		if status.State != engine.StateRunning && status.State != engine.StateQueued {
			return status
		}
	}
}

// servePipe runs a receiver in memory, and returns a handler that POSTs to it.
func servePipe(t *testing.T, cfg Config, f http.HandlerFunc) *Handler {
	t.Helper()
	listener := pipes.Listen()
	server := &http.Server{Handler: f}
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(listener) }()
	cfg.URL = "http://receiver.example/hook?token=hidden"
	h := start(t, cfg)
	h.transport.DialContext = listener.Dial
	t.Cleanup(func() {
		h.Close()
		_ = server.Shutdown(context.Background()) // waits for the receiver's goroutines
		<-done
	})
	return h
}

func readAll(t testing.TB, r io.Reader) []byte {
	t.Helper()
	data, err := io.ReadAll(r)
	if err != nil {
		t.Error(err)
	}
	return data
}
