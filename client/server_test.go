package client_test

import (
	"context"
	"net/http/httptest"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/activemessage/activemessage"
	"github.com/activemessage/activemessage/api"
	"github.com/activemessage/activemessage/engine"
	"github.com/activemessage/activemessage/handlers"
	"github.com/activemessage/activemessage/internal/contract"
	"github.com/activemessage/activemessage/ws"
)

// TestMain fails the package if a test leaves a goroutine behind.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve starts a whole server, which the test's end stops, and returns its URL. It
// has the example handlers, and "one": one message runs, until it is cancelled,
// and one waits.
func serve(t *testing.T) string {
	t.Helper()
	e, err := engine.New(engine.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if err := handlers.RegisterExamples(e); err != nil {
		t.Fatal(err)
	}
	block := engine.HandlerFunc(func(ctx context.Context, _ *engine.Message) (engine.Result, error) {
		<-ctx.Done()
		return engine.Result{}, ctx.Err()
	})
	if err := e.Register("one", block, engine.Policy{Concurrency: 1, QueueLimit: 1}); err != nil {
		t.Fatal(err)
	}
	sockets := ws.New(e, ws.Config{CloseSpread: time.Millisecond})
	h, err := api.New(e, api.Config{OpenAPI: activemessage.OpenAPI(), WebSocket: sockets})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(contract.Handler(t, h))
	t.Cleanup(func() {
		now, cancel := context.WithCancel(context.Background())
		cancel()
		_ = e.Drain(now) // its error is that now has ended
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := sockets.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		server.Close()
	})
	return server.URL
}
