package client_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/activemessage/activemessage/api"
	"github.com/activemessage/activemessage/engine"
	"github.com/activemessage/activemessage/engine/remote"
	"github.com/activemessage/activemessage/internal/toolchain"
	"github.com/activemessage/activemessage/ws"
)

// patience is for what another process does.
const patience = time.Minute

// station is a server that workers can connect to.
type station struct {
	engine  *engine.Engine
	workers *remote.Workers
	url     string
}

// newStation starts a server, which the test's end stops. It has no handlers. pages is
// served below /pages/.
func newStation(t *testing.T, pages http.Handler) *station {
	t.Helper()
	e, err := engine.New(engine.Config{})
	if err != nil {
		t.Fatal(err)
	}
	workers := remote.New(e, remote.Config{})
	sockets := ws.NewWork(workers, ws.Config{CloseSpread: time.Millisecond})
	h, err := api.New(e, api.Config{Work: sockets, Workers: workers})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/", h)
	if pages != nil {
		mux.Handle("/pages/", http.StripPrefix("/pages/", pages))
	}
	server := httptest.NewServer(mux)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := e.Drain(ctx); err != nil {
			t.Error(err)
		}
		if err := sockets.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		workers.Close()
		server.Close()
	})
	return &station{engine: e, workers: workers, url: server.URL}
}

// await returns when a worker has connected.
func (s *station) await(ctx context.Context, t *testing.T) {
	t.Helper()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for s.workers.Stats().Sessions == 0 {
		select {
		case <-again.C:
		case <-ctx.Done():
			t.Fatal("no worker has connected")
		}
	}
}

// outcome submits a message for a worker and returns how it ended, with the notes of its
// progress.
func (s *station) outcome(t *testing.T, data string) (n engine.Notification, notes []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	s.await(ctx, t)
	sub, err := s.engine.Subscribe(engine.Selector{ResponseNotification: "request_1"}, s.engine.Cursor())
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Close()
	if _, err := s.engine.Submit(ctx, engine.Submission{
		MessageType: "reverse", MessageData: []byte(data), ContentType: "application/json", ResponseNotification: "request_1",
	}); err != nil {
		t.Fatal(err)
	}
	for {
		d, err := sub.Next(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range d.Progress {
			notes = append(notes, p.Progress.Note)
		}
		if len(d.Notifications) > 0 {
			return d.Notifications[0], notes
		}
	}
}

// checkReverse holds what all examples do: they turn a text round, tell how far they are,
// and refuse what is no text.
func (s *station) checkReverse(t *testing.T) {
	t.Helper()
	n, notes := s.outcome(t, `"Straße"`)
	var text string
	if err := json.Unmarshal(n.Result.Data, &text); err != nil || text != "eßartS" || n.Result.ContentType != "application/json" {
		t.Errorf("%s %q of %s (%v)", n.String(), n.Result.Data, n.Result.ContentType, n.Error)
	}
	if !strings.Contains(strings.Join(notes, ", "), " of 10") {
		t.Errorf("no progress: %v", notes)
	}
	if n, _ = s.outcome(t, `7`); n.Error == nil || n.Error.Code != "invalid_data" {
		t.Errorf("%s: %v", n.String(), n.Error)
	}
}

// checkExample runs a worker as a process of its own. If it drains, it has to end well
// after SIGTERM.
func checkExample(t *testing.T, drains bool, line ...string) {
	t.Helper()
	s := newStation(t, nil)
	command := exec.Command(line[0], append(line[1:], s.url)...)
	var said bytes.Buffer
	command.Stdout, command.Stderr = &said, &said
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	s.checkReverse(t)
	if err := command.Process.Signal(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	if err := command.Wait(); err != nil && drains {
		t.Errorf("%v: %v\n%s", line, err, said.String())
	}
	if stats := s.workers.Stats(); stats.Leases != 0 || stats.Lost != 0 {
		t.Errorf("%+v", stats)
	}
}

func TestExampleInGo(t *testing.T) {
	t.Parallel()
	program := filepath.Join(t.TempDir(), "reverse")
	toolchain.Command{Line: []string{"go", "build", "-o", program, "./reverse"}}.Run(t)
	checkExample(t, true, program)
}

func TestExampleInTypeScript(t *testing.T) {
	t.Parallel()
	work := builtTypeScript(t)
	checkExample(t, true, "node", filepath.Join(work, "out", "example", "reverse.js"))
}

// TestExampleInPython shows that the protocol is simple.
func TestExampleInPython(t *testing.T) {
	t.Parallel()
	toolchain.Need(t, "python3")
	source := read(t, "python", "worker.py")
	if lines := bytes.Count(source, []byte("\n")); lines > 60 {
		t.Errorf("%d lines", lines)
	}
	checkExample(t, false, "python3", filepath.Join("python", "worker.py"))
}

// TestWorkerInABrowser has a page run a handler.
func TestWorkerInABrowser(t *testing.T) {
	t.Parallel()
	work := builtTypeScript(t)
	browser := toolchain.Browser(t)
	s := newStation(t, http.FileServerFS(os.DirFS(work)))
	start := `(async () => {
		const { startWorker, permanent, HandlerError } = await import("/pages/dist/index.js");
		window.worker = startWorker({ url: location.origin, handlers: { reverse: job => {
			if (typeof job.data !== "string") throw permanent(new HandlerError("invalid_data", "no text"));
			job.progress(0.1, "1 of 10");
			return [...job.data].reverse().join("");
		} } });
	})()`
	if err := chromedp.Do(browser, chromedp.Navigate(s.url), chromedp.Evaluate[chromedp.Void](start, chromedp.EvalAwaitPromise)); err != nil {
		t.Fatal(err)
	}
	s.checkReverse(t)
	if err := chromedp.Do(browser, chromedp.Evaluate[chromedp.Void](`worker.close()`, chromedp.EvalAwaitPromise)); err != nil {
		t.Error(err)
	}
}
