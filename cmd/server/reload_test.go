//go:build unix

package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/activemessage/activemessage/internal/contract"
)

// hangup reloads, and reads the log until a line.
func (p *process) hangup(message string) map[string]any {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		p.t.Fatal(err)
	}
	return p.log(message)
}

// SIGHUP brings new types and takes old ones, and what runs is neither stopped nor
// started again; a file that is wrong changes nothing.
func TestSIGHUP(t *testing.T) {
	t.Parallel()
	long, gone := newFIFO(t), newFIFO(t)
	name := written(t, fmt.Sprintf("handlers:\n  long: {exec: [cat, %s]}\n  gone: {exec: [cat, %s], concurrency: 1}\n  left: {exec: [cat]}\n", long, gone))
	server := startProcess(t, "--config", name)
	server.answer(http.MethodPatch, "/v1/handlers/left", `{"concurrency":3}`, nil)
	running, first, second := server.submitted("long"), server.submitted("gone"), server.submitted("gone")
	server.isRunning(running)
	server.isRunning(first)

	rewrite(t, name, "concurrency: 3\nhandlers:\n  long: {exec: [echo, changed], timeout: 30s}\n  new: {exec: [tr, a-z, A-Z]}\n  left: {exec: [cat]}\n")
	if line := server.hangup("a setting needs a restart"); line["setting"] != "concurrency" {
		t.Errorf("%v", line)
	}
	if line := server.log("reloaded"); line["handlers"] != "added new; changed long; removed gone" {
		t.Errorf("%v", line)
	}
	for messageType, want := range map[string]string{"new": "HELLO", "long": "changed\n"} {
		if got := server.run(messageType); got != want {
			t.Errorf("%s: %q", messageType, got)
		}
	}

	rewrite(t, name, "handlers:\n  new: {exec: [/nowhere]}\n")
	if line := server.hangup("the configuration is wrong"); !strings.HasPrefix(line["error"].(string), name+":2:15: handlers.new.exec: ") {
		t.Errorf("%v", line)
	}
	rewrite(t, name, "handlers: [")
	server.hangup("not reloaded: all stays as it was")
	if got := server.run("new"); got != "HELLO" {
		t.Errorf("after a broken file: %q", got)
	}
	var left struct{ Policy struct{ Concurrency int } }
	server.answer(http.MethodGet, "/v1/handlers/left", "", &left)
	if left.Policy.Concurrency != 3 {
		t.Errorf("the type that was left alone: %+v", left)
	}

	// What ran, and what waited for a type that is gone.
	for _, c := range []struct{ id, fifo string }{{running, long}, {first, gone}, {second, gone}} {
		if err := os.WriteFile(c.fifo, []byte("not disturbed"), 0o600); err != nil {
			t.Fatal(err)
		}
		if status := server.ended(c.id); status.Attempt != 1 || status.ResultBase64 != "bm90IGRpc3R1cmJlZA==" {
			t.Errorf("%+v", status)
		}
	}
	server.reloadMetrics(1, 2)
	server.stop()
}

// newFIFO is a file that a command waits at until it is written to.
func newFIFO(t *testing.T) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(name, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// isRunning returns when a message runs.
func (p *process) isRunning(id string) {
	p.t.Helper()
	p.eventually("running", func() bool {
		var status outcome
		p.answer(http.MethodGet, "/v1/messages/"+id, "", &status)
		return status.State == "running"
	})
}

func (p *process) reloadMetrics(ok, failed int) {
	p.t.Helper()
	response, err := contract.Client(p.t).Get(p.url + "/metrics")
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	want := fmt.Sprintf("activemessage_config_reloads_total{result=\"failed\"} %d\nactivemessage_config_reloads_total{result=\"ok\"} %d\n", failed, ok)
	if err != nil || !strings.Contains(string(text), want) || !strings.Contains(string(text), "\nactivemessage_config_last_reload_success_timestamp_seconds 1.") {
		p.t.Errorf("%v: no %s", err, want)
	}
}
