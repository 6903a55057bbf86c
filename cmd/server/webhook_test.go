package main

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/activemessage/activemessage/handlers/webhook"
)

// A webhook runs as the file has it: with its secret, its allowed network and the server's
// callback; and one whose receiver is gone pauses its type.
func TestAConfiguredWebhook(t *testing.T) {
	t.Parallel()
	callbacks := make(chan string, 1)
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/gone" {
			w.WriteHeader(http.StatusGone)
			return
		}
		callbacks <- r.Header.Get("Activemessage-Callback")
		if r.Header.Get("Webhook-Signature") == "" {
			t.Error("the request is not signed")
		}
		_, _ = io.Copy(w, r.Body)
	}))
	defer receiver.Close()
	file := filepath.Join(t.TempDir(), "secret")
	rewrite(t, file, secret+"\n")
	hook := func(path string) string {
		return "{webhook: {url: '" + receiver.URL + path + "', secret_file: " + file + ", allow: [127.0.0.0/8]}}\n"
	}
	name := written(t, "callback_url: https://messages.example/base\nhandlers:\n  hook: "+hook("/hook")+"  gone: "+hook("/gone"))
	server := startProcess(t, "--config", name)
	if got := server.run("hook"); got != "hello" {
		t.Errorf("%q", got)
	}
	if callback := <-callbacks; !strings.HasPrefix(callback, "https://messages.example/base/") {
		t.Errorf("called back at %q", callback)
	}
	server.submitted("gone")
	server.log("the receiver of a webhook is gone: its message type is paused")
	var gone struct{ Policy struct{ Paused bool } }
	server.answer(http.MethodGet, "/v1/handlers/gone", "", &gone)
	if !gone.Policy.Paused {
		t.Error("not paused")
	}
	server.stop()
}

// Who reads of an endpoint that is left alone reads of which type it is; and that nobody
// can settle later is told at the start.
func TestTheLogOfAWebhook(t *testing.T) {
	t.Parallel()
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusInternalServerError)
	}))
	defer receiver.Close()
	file := filepath.Join(t.TempDir(), "secret")
	rewrite(t, file, secret+"\n")
	server := startProcess(t, "--config", written(t, "handlers:\n  hook: {webhook: {url: '"+receiver.URL+"', secret_file: "+file+", allow: [127.0.0.1]}, retry: {max_attempts: 1}}\n"))
	for range webhook.DefaultBreakerFailures {
		server.submitted("hook")
	}
	if line := server.log("webhook: the endpoint is broken and left alone"); line["message_type"] != "hook" {
		t.Errorf("%v", line)
	}
	server.stop()
}

const noCallback = "there are webhooks and no callback_url: receivers that answer 202 are not told where to settle"

// A start and a reload warn of webhooks without a callback_url, and of nothing else.
func TestWithoutCallback(t *testing.T) {
	t.Setenv("ERP_SECRET", secret)
	const hook = "handlers: {hook: {webhook: {url: https://h, secret_env: ERP_SECRET}}}\n"
	for text, warned := range map[string]bool{
		hook: true,
		hook + "callback_url: https://messages.example": false,
		"handlers: {a: {remote: {}}}":                   false,
		"":                                              false,
	} {
		in, _, err := parse([]string{"--config", written(t, text), "--store=memory"}, nil, "v1")
		if err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		app, err := New(in, slog.New(slog.NewJSONHandler(&log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		app.Reload(func() (*invocation, error) { return in, nil })
		if err := app.Stop(context.Background()); err != nil {
			t.Error(err)
		}
		want := 0
		if warned {
			want = 2
		}
		if got := strings.Count(log.String(), noCallback); got != want {
			t.Errorf("%q: warned %d times, expected %d: %s", text, got, want, log.String())
		}
	}
}
