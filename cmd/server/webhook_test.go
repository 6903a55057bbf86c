package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
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
