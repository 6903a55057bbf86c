package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/activemessage/activemessage/engine"
)

// What bounds results bounds those of commands and webhooks, too: one of exactly that
// size passes, one byte more does not.
func TestMaxResultBytes(t *testing.T) {
	t.Setenv("ERP_SECRET", secret)
	const bound = 2 << 20 // more than the packages' own defaults
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprint(w, strings.Repeat("x", bound+len(r.Header.Get("Content-Type"))-len("a/b")))
	}))
	defer receiver.Close()
	name := written(t, fmt.Sprintf("handlers:\n  hook: {webhook: {url: %q, secret_env: ERP_SECRET, allow: [127.0.0.0/8]}}\n"+
		"  fits: {exec: [head, -c, %q, /dev/zero]}\n  over: {exec: [head, -c, %q, /dev/zero]}\n", receiver.URL, fmt.Sprint(bound), fmt.Sprint(bound+1)))
	in, _, err := parse([]string{"--config", name, "--store=memory", "--listen=127.0.0.1:0", fmt.Sprint("--max-result-bytes=", bound)}, nil, "v1")
	if err != nil {
		t.Fatal(err)
	}
	app, err := New(in, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = app.Stop(context.Background()) }()
	for _, c := range []struct{ messageType, contentType, code string }{
		{"hook", "a/b", ""},
		{"hook", "a/bc", engine.CodeResultTooLarge},
		{"fits", "a/b", ""},
		{"over", "a/b", engine.CodeResultTooLarge},
	} {
		receipt, err := app.engine.Submit(context.Background(), engine.Submission{MessageType: c.messageType, ContentType: c.contentType})
		if err != nil {
			t.Fatal(err)
		}
		status, err := app.engine.Wait(context.Background(), receipt.ID)
		if err != nil {
			t.Fatal(err)
		}
		code := ""
		if status.Error != nil {
			code = status.Error.Code
		}
		if code != c.code {
			t.Errorf("%+v: %+v", c, status)
		}
	}
}

// A command that may write more than a result may have is told where, and what bounds it.
func TestMaxOutputAboveMaxResult(t *testing.T) {
	t.Parallel()
	name := written(t, "max_result_bytes: 10\nhandlers:\n  a: {exec: [cat], max_output_bytes: 10}\n  b: {exec: [cat], max_output_bytes: 11}\n")
	in, _, err := parse([]string{"check", "--config", name}, nil, "v1")
	if err != nil {
		t.Fatal(err)
	}
	const want = ":4:38: handlers.b.max_output_bytes: 11 is more than max_result_bytes, 10, which no result may exceed: lower it, or raise that"
	if err := in.tryHandlers(); err == nil || err.Error() != name+want {
		t.Errorf("%v, expected %s", err, want)
	}
}
