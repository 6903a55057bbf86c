package webhook

import (
	"context"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/activemessage/activemessage/engine"
)

func TestRequest(t *testing.T) {
	t.Parallel()
	var got *http.Request
	url := serve(t, func(_ http.ResponseWriter, r *http.Request) { got = r })
	h := start(t, Config{URL: url + "/hook?token=1", Callback: "https://am.example/base/"})
	m := message(`{"a":1}`)
	m.Origin = &engine.Origin{Traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", Tracestate: "a=b"}
	if _, err := h.Handle(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	if got.Method != http.MethodPost || got.URL.String() != "/hook?token=1" || got.ContentLength != 7 {
		t.Errorf("%s %s, %d bytes", got.Method, got.URL, got.ContentLength)
	}
	for name, want := range map[string]string{
		"Content-Type":           "application/json",
		"User-Agent":             userAgent,
		"Accept-Encoding":        "identity",
		"Webhook-Id":             m.ID.String(),
		"Activemessage-Type":     "invoice.created",
		"Activemessage-Attempt":  "2",
		"Activemessage-Lease":    "2",
		"Activemessage-Callback": "https://am.example/base/v1/work/" + m.ID.String(),
		"Traceparent":            m.Origin.Traceparent,
		"Tracestate":             "a=b",
		"Idempotency-Key":        "",
	} {
		if value := got.Header.Get(name); value != want {
			t.Errorf("%s: %q, want %q", name, value, want)
		}
	}
}

// TestRequestOfLess has no header without something to say.
func TestRequestOfLess(t *testing.T) {
	t.Parallel()
	var got *http.Request
	url := serve(t, func(_ http.ResponseWriter, r *http.Request) { got = r })
	if _, err := start(t, Config{URL: url}).Handle(t.Context(), &engine.Message{Attempt: 1}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"Content-Type", "Activemessage-Callback", "Traceparent", "Tracestate"} {
		if values, has := got.Header[name]; has {
			t.Errorf("%s: %q", name, values)
		}
	}
	if got.ContentLength != 0 || len(got.TransferEncoding) != 0 {
		t.Errorf("an empty body has length %d, %v", got.ContentLength, got.TransferEncoding)
	}
}

// TestAccepted has a receiver that answers 202, and settles later.
// A receiver that says 202 settles the message later; it may do so before, and even wait for
// the answer to that.
func TestAccepted(t *testing.T) {
	t.Parallel()
	for _, early := range []bool{false, true} {
		var e *engine.Engine
		settle := func(id engine.ID) {
			stored, err := e.Settle(engine.Lease{ID: id, Attempt: 1}, engine.Result{Data: []byte("done")}, nil)
			if err == nil {
				err = stored.Wait(t.Context())
			}
			if err != nil {
				t.Error(err)
			}
		}
		called := make(chan struct{})
		url := serve(t, func(w http.ResponseWriter, r *http.Request) {
			close(called)
			if early {
				id, err := engine.ParseID(r.Header.Get("Webhook-Id"))
				if err != nil {
					t.Error(err)
				}
				settle(id)
			}
			w.WriteHeader(http.StatusAccepted)
			_, _ = io.WriteString(w, "in a minute")
		})
		var err error
		if e, err = engine.New(engine.Config{}); err != nil {
			t.Fatal(err)
		}
		if err := e.Register("t", start(t, Config{URL: url}), engine.Policy{}); err != nil {
			t.Fatal(err)
		}
		receipt, err := e.Submit(t.Context(), engine.Submission{MessageType: "t"})
		if err != nil {
			t.Fatal(err)
		}
		if <-called; !early {
			settle(receipt.ID) // while the handler runs or after, which does not matter
		}
		status, err := e.Wait(t.Context(), receipt.ID)
		if err != nil || status.State != engine.StateSucceeded || string(status.Result.Data) != "done" {
			t.Errorf("early %t: %+v, %v", early, status, err)
		}
		if err := e.Drain(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

func TestConnectionIsReused(t *testing.T) {
	t.Parallel()
	var conns atomic.Int32
	status := http.StatusOK
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write(make([]byte, 20<<10)) // more than a buffer of either side
	}))
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			conns.Add(1)
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	h := start(t, Config{URL: server.URL, BreakerFailures: -1})
	for _, status = range []int{200, 202, 302, 404, 410, 429, 500, 503} {
		for range 3 {
			if _, err := h.Handle(t.Context(), message("x")); (err == nil) != (status == 200) {
				t.Errorf("%d: %v", status, err)
			}
		}
	}
	if n := conns.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
}

func TestTLSAndHTTP2(t *testing.T) {
	t.Parallel()
	var protocol string
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { protocol = r.Proto }))
	server.EnableHTTP2 = true
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // of certificates that are refused
	server.StartTLS()
	t.Cleanup(server.Close)
	url := strings.Replace(server.URL, "127.0.0.1", "example.com", 1)
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	for _, c := range []struct {
		url   string
		roots *x509.CertPool
		well  bool
	}{{server.URL, roots, true}, {server.URL, nil, false}, {url, roots, false}} {
		// Where example.com leads is not asked: it is refused, or its certificate is.
		_, err := start(t, Config{URL: c.url, RootCAs: c.roots}).Handle(t.Context(), message("x"))
		if (err == nil) != c.well {
			t.Errorf("%s: %v", c.url, err)
		}
	}
	if protocol != "HTTP/2.0" {
		t.Error(protocol)
	}
}

// TestContextEnds cuts an attempt short while the receiver thinks, and while it talks.
func TestContextEnds(t *testing.T) {
	t.Parallel()
	for _, talk := range []bool{false, true} {
		called, over := make(chan struct{}, 1), make(chan struct{}, 1)
		url := serve(t, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // then the server looks for the end of the connection
			if talk {
				_, _ = io.WriteString(w, "well, ")
				w.(http.Flusher).Flush()
			}
			called <- struct{}{}
			<-r.Context().Done()
			over <- struct{}{}
		})
		h := start(t, Config{URL: url, BreakerFailures: 1})
		ctx, cancel := context.WithCancelCause(t.Context())
		go func() { <-called; cancel(engine.ErrCancelled) }()
		if _, err := h.Handle(ctx, message("x")); !errors.Is(err, engine.ErrCancelled) {
			t.Error(err)
		}
		<-over // the receiver learns that nobody waits
		if h.Breaker() != "closed" {
			t.Error("a cancelled message counts against the endpoint")
		}
	}
}
