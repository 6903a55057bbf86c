package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/activemessage/activemessage/client/worker"
)

// What a worker runs outlives the server: it goes on while that is away, however it ended,
// and is not run again.
func TestAWorkersJobOutlivesTheServer(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*process){
		"kill -9": (*process).kill,
		"SIGTERM, and too little time": func(p *process) {
			p.t.Helper()
			if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
				p.t.Fatal(err)
			}
			if code := p.wait(); code != exitFailed {
				p.t.Errorf("exit code %d", code)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config := written(t, "handlers:\n  far: {remote: {}, timeout: 1h}\n")
			server := startProcess(t, "--config", config, "--drain-timeout", "100ms")
			var runs atomic.Int64
			began, finish := make(chan struct{}, 8), make(chan struct{})
			ctx, stop := context.WithCancel(t.Context())
			stopped := make(chan error, 1)
			go func() {
				stopped <- worker.Run(ctx, worker.Config{
					URL:    server.url,
					Logger: slog.New(slog.DiscardHandler),
					Handlers: map[string]worker.Handler{"far": func(ctx context.Context, job *worker.Job) (worker.Result, error) {
						runs.Add(1)
						began <- struct{}{}
						select {
						case <-finish:
							return worker.Result{Data: job.Data}, nil
						case <-ctx.Done():
							return worker.Result{}, context.Cause(ctx)
						}
					}},
				})
			}()
			var ids []string
			for range 3 {
				ids = append(ids, server.submitted("far"))
				<-began
			}
			end(server)
			close(finish) // they end while nobody is there to be told
			server = server.again()
			for _, id := range ids {
				if status := server.ended(id); status.Attempt != 1 || status.ResultBase64 != "aGVsbG8=" {
					t.Errorf("%+v", status)
				}
			}
			stop()
			if err := <-stopped; err != nil || runs.Load() != int64(len(ids)) {
				t.Errorf("%d runs of %d messages, %v", runs.Load(), len(ids), err)
			}
			server.stop()
		})
	}
}

// A webhook that answers 202 settles the message later, by a callback with its lease.
func TestAWebhookSettlesLater(t *testing.T) {
	type call struct{ callback, lease string }
	calls := make(chan call, 1)
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls <- call{r.Header.Get("Activemessage-Callback"), r.Header.Get("Activemessage-Lease")}
		w.WriteHeader(http.StatusAccepted)
	}))
	defer receiver.Close()
	t.Setenv("HOOK_SECRET", secret)
	config := written(t, "handlers:\n  hook: {webhook: {url: '"+receiver.URL+"', secret_env: HOOK_SECRET, allow: [127.0.0.0/8]}}\n")
	server := startProcess(t, "--config", config, "--callback-url", "http://messages.example")
	id := server.submitted("hook")
	c := <-calls
	path, ours := strings.CutPrefix(c.callback, "http://messages.example")
	if !ours || path != "/v1/work/"+id {
		t.Fatalf("called back at %s", c.callback)
	}
	post := func(what, body string) string {
		response, err := http.Post(server.url+path+what, "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = response.Body.Close() }()
		answer, _ := io.ReadAll(response.Body)
		return fmt.Sprint(response.StatusCode, " ", string(answer))
	}
	if got := post("/beat", `{"lease":`+c.lease+`,"fraction":0.5}`); !strings.HasPrefix(got, "200") || strings.Contains(got, "stop") {
		t.Error(got)
	}
	if got := post("/done", `{"lease":`+c.lease+`,"data":"later"}`); !strings.HasPrefix(got, "200") || strings.Contains(got, "stale") {
		t.Error(got)
	}
	var status struct{ State, Result string }
	server.answer(http.MethodGet, "/v1/messages/"+id, "", &status)
	if status.State != "succeeded" || status.Result != "later" {
		t.Errorf("%+v", status)
	}
	if got := post("/done", `{"lease":7,"data":"of another attempt"}`); !strings.HasPrefix(got, "200") || !strings.Contains(got, `"stale":true`) {
		t.Error(got)
	}
	server.stop()
}
