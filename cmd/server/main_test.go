package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/activemessage/activemessage/internal/contract"
)

func (p *process) post(body string) int {
	p.t.Helper()
	response, err := contract.Client(p.t).Post(p.url+"/v1/messages", "application/json", strings.NewReader(body))
	if err != nil {
		return 0
	}
	_ = response.Body.Close()
	return response.StatusCode
}

// kill -TERM under load: every accepted message's notification arrives before
// the socket closes.
func TestSIGTERMUnderLoadLosesNothing(t *testing.T) {
	p := startProcess(t, "--concurrency", "4", "--store", "memory")
	conn, _, err := websocket.Dial(t.Context(), p.url+"/v1/ws?subscribe=*", &websocket.DialOptions{Subprotocols: []string{"activemessage.v1.text"}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.CloseNow() }()

	var mu sync.Mutex
	accepted := make(map[string]bool)
	enough := make(chan struct{})
	var submitting sync.WaitGroup
	for submitter := range 4 {
		submitting.Go(func() {
			for i := 0; ; i++ {
				prefix := fmt.Sprintf("request_%d_%d", submitter, i)
				if p.post(fmt.Sprintf(`{"message_type":"sleep","message_data":{"duration":"5ms"},"response_notification":%q}`, prefix)) != http.StatusAccepted {
					return
				}
				mu.Lock()
				accepted[prefix+":ok"] = true
				if len(accepted) == 300 {
					close(enough)
				}
				mu.Unlock()
			}
		})
	}
	<-enough
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	told := make(map[string]bool)
	for {
		_, data, err := conn.Read(context.Background())
		if err != nil {
			if code := websocket.CloseStatus(err); code != websocket.StatusServiceRestart {
				t.Errorf("closed with %v: %v", code, err)
			}
			break
		}
		told[string(data)] = true
	}
	submitting.Wait()
	for text := range accepted {
		if !told[text] {
			t.Errorf("accepted and never told: %s", text)
		}
	}
	if code := p.wait(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

func TestWorkThatOutlastsTheDrainTimeoutIsCancelledAndTold(t *testing.T) {
	p := startProcess(t, "--drain-timeout", "50ms", "--concurrency", "1", "--store", "memory")
	conn, _, err := websocket.Dial(t.Context(), p.url+"/v1/ws?subscribe=*", &websocket.DialOptions{Subprotocols: []string{"activemessage.v1.text"}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.CloseNow() }()
	for range 2 {
		p.post(`{"message_type":"sleep","message_data":{"duration":"1h"},"response_notification":"a"}`)
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		_, data, err := conn.Read(context.Background())
		if err != nil || string(data) != "a:err(server shut down)" {
			t.Errorf("%q, %v", data, err)
		}
	}
	if code := p.wait(); code != exitFailed {
		t.Errorf("exit code %d, expected %d", code, exitFailed)
	}
}

func TestASecondSignalEndsAtOnce(t *testing.T) {
	p := startProcess(t)
	p.post(`{"message_type":"sleep","message_data":{"duration":"1h"}}`)
	for _, message := range []string{"draining: a second signal ends at once", "ended at once"} {
		if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		p.log(message)
	}
	if code := p.wait(); code != exitInterrupted {
		t.Errorf("exit code %d, expected %d", code, exitInterrupted)
	}
}

func TestHealthcheck(t *testing.T) {
	p := startProcess(t)
	listen := strings.TrimPrefix(p.url, "http://")
	if out, err := command("--listen", listen, "--healthcheck").CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	_ = p.cmd.Process.Signal(os.Interrupt)
	p.wait()
	if out, err := command("--listen", listen, "--healthcheck").CombinedOutput(); err == nil {
		t.Errorf("a stopped server is healthy: %s", out)
	}
}

func TestCommandLine(t *testing.T) {
	t.Setenv("AM_CONCURRENCY", "7")
	var out bytes.Buffer
	cfg, done, err := parse([]string{"--queue-limit=9", "--drain-timeout=3s", "--allow-origin=a.example", "--allow-origin=b.example",
		"--retain-age=succeeded=1h;log=2h", "--retain-bytes=failed=7"}, &out, "v1")
	if err != nil || done || cfg.Concurrency != 7 || cfg.QueueLimit != 9 || cfg.DrainTimeout != 3*time.Second || len(cfg.AllowOrigin) != 2 {
		t.Errorf("%+v, %t, %v", cfg, done, err)
	}
	if r, err := cfg.retention(); err != nil || r.Succeeded.Age != time.Hour || r.Log.Age != 2*time.Hour || r.Failed.Bytes != 7 || r.Failed.Age != defaultRetention().Failed.Age {
		t.Errorf("%+v, %v", r, err)
	}
	for _, flag := range []string{"--help", "--version"} {
		out.Reset()
		if _, done, err := parse([]string{flag}, &out, "v1"); err != nil || !done || out.Len() == 0 {
			t.Errorf("%s: %t, %v, %q", flag, done, err, out.String())
		}
	}
	for args, expected := range map[string]string{
		"--log-format=xml":        "auto",
		"--log-level=loud":        "log-level",
		"--concurrency=0":         "greater than 0",
		"--concurrency=many":      "concurrency",
		"--listen=8080":           "HOST:PORT",
		"--store=disk":            "sqlite",
		"--retain-age=all=1h":     "log",
		"--retain-age=log=-1h":    "negative",
		"--retain-bytes=log=many": "retain-bytes",
		"--unknown":               "unknown",
		"extra":                   "extra",
	} {
		if _, _, err := parse([]string{args}, &out, "v1"); err == nil || !strings.Contains(err.Error(), expected) {
			t.Errorf("%s: %v, expected words about %q", args, err, expected)
		}
	}
}

func TestAnAddressInUseIsSaid(t *testing.T) {
	p := startProcess(t)
	out, err := command("--listen", strings.TrimPrefix(p.url, "http://"), "--data", t.TempDir()).CombinedOutput()
	if _, failed := errors.AsType[*exec.ExitError](err); !failed || !strings.Contains(string(out), "address already in use") {
		t.Errorf("%v: %s", err, out)
	}
	_ = p.cmd.Process.Signal(os.Interrupt)
	p.wait()
}

// A server that cannot have its data says so, and does not start.
func TestDataThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	inUse := t.TempDir()
	running := startProcess(t, "--data", inUse)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	damaged := t.TempDir()
	if err := os.WriteFile(filepath.Join(damaged, "activemessage.db"), []byte(strings.Repeat("not a database", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	for data, words := range map[string]string{
		inUse:           "another server is using",
		file:            "cannot be made",
		damaged:         "not a database",
		"/proc/nowhere": "cannot be made",
	} {
		out, err := command("--listen", "127.0.0.1:0", "--data", data).CombinedOutput()
		if err == nil || !strings.Contains(string(out), words) || !strings.Contains(string(out), data) {
			t.Errorf("%s: %v: %s", data, err, out)
		}
	}
	running.stop()
}
