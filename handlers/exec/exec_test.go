//go:build unix

package exec_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/activemessage/activemessage/engine"
	"github.com/activemessage/activemessage/handlers/exec"
)

func TestResult(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ configured, want string }{{"", "application/octet-stream"}, {"text/csv; header=present", "text/csv; header=present"}} {
		h := run(t, exec.Config{ResultType: c.configured}, "cat")
		for _, data := range []string{"", "hi", "\x00\xff\n"} {
			result, err := h.Handle(t.Context(), message(data))
			if err != nil || string(result.Data) != data || result.ContentType != c.want {
				t.Errorf("%q: %+v, %v", data, result, err)
			}
		}
	}
}

func TestFailure(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ code, stderr, want string }{
		{"1", "", "exit status 1"},
		{"3", "no such\r\nfile\n\n", "exit status 3: no such\nfile"},
		{"75", "later", "exit status 75: later"},
		{"2", "AM_PROGRESS 0.5 half\n\x1b[31mred\x1b[0m \xff\x07", "exit status 2: red \uFFFD"},
		{"255", strings.Repeat("x", 5000) + "\nlast\n", "exit status 255: " + strings.Repeat("x", 1024) + "…\nlast"},
	} {
		_, err := run(t, exec.Config{}, "exit", c.code, c.stderr, "ignored").Handle(t.Context(), message("data"))
		if told := failure(t, err); told.Code != exec.CodeCommandFailed || told.Message != c.want {
			t.Errorf("exit %s: %s %q", c.code, told.Code, told.Message)
		}
	}
}

func TestHiddenStderr(t *testing.T) {
	t.Parallel()
	_, err := run(t, exec.Config{HideStderr: true}, "exit", "1", "password=1234", "").Handle(t.Context(), message(""))
	told := failure(t, err)
	if told.Message != "exit status 1" || told.Cause == nil || told.Cause.Error() != "password=1234" {
		t.Errorf("%q, cause %v", told.Message, told.Cause)
	}
}

// Attempts are the policy's, but only exit code 75 uses them.
func TestRetries(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		codes    []string
		max      int
		state    engine.State
		attempts int
	}{
		{[]string{"75", "75", "0"}, 3, engine.StateSucceeded, 3},
		{[]string{"75", "75", "0"}, 2, engine.StateFailed, 2},
		{[]string{"75", "0"}, 0, engine.StateFailed, 1},
		{[]string{"75", "1", "0"}, 3, engine.StateFailed, 2},
		{[]string{"1", "0"}, 3, engine.StateFailed, 1},
	} {
		h := run(t, exec.Config{}, "exit-attempt", c.codes...)
		e := start(t, h, engine.Policy{MaxAttempts: c.max, Backoff: engine.Backoff{Initial: time.Millisecond}})
		if status := ended(t, e, ""); status.State != c.state || status.Attempt != c.attempts {
			t.Errorf("%v of %d: %s after %d attempts", c.codes, c.max, status.State, status.Attempt)
		}
	}
}

// A signal is no verdict of the command's.
func TestKilledByASignalIsTriedAgain(t *testing.T) {
	t.Parallel()
	h, err := exec.New(exec.Config{Command: []string{"sh", "-c", `test $AM_ATTEMPT = 2 || kill -9 $$`}})
	if err != nil {
		t.Fatal(err)
	}
	e := start(t, h, engine.Policy{MaxAttempts: 2, Backoff: engine.Backoff{Initial: time.Millisecond}})
	status := ended(t, e, "")
	if status.State != engine.StateSucceeded || status.Attempts[0].Error.Message != "signal: killed" {
		t.Errorf("%+v", status)
	}
}

func TestProgress(t *testing.T) {
	t.Parallel()
	e := start(t, run(t, exec.Config{}, "exit", "0", "warming up\nAM_PROGRESS 0.25 a quarter\nAM_PROGRESS 0.75 three quarters\n", "done"), engine.Policy{})
	status := ended(t, e, "")
	if p := status.Progress; p == nil || *p != (engine.Progress{Fraction: 0.75, Note: "three quarters"}) || string(status.Result.Data) != "done" {
		t.Errorf("%+v", status)
	}
}

func TestTooMuchOutput(t *testing.T) {
	t.Parallel()
	for mode, args := range map[string][]string{"flood": nil, "exit": {"0", "", strings.Repeat("x", 5001)}} {
		e := start(t, run(t, exec.Config{MaxOutput: 5000}, mode, args...), engine.Policy{MaxAttempts: 3})
		status := ended(t, e, "")
		if status.Attempt != 1 || status.Error == nil || status.Error.Code != engine.CodeResultTooLarge ||
			status.Error.Message != "the command wrote more than the 5000 bytes that are allowed" {
			t.Errorf("%s: %+v", mode, status)
		}
	}
	result, err := run(t, exec.Config{MaxOutput: 5000}, "cat").Handle(t.Context(), message(strings.Repeat("x", 5000)))
	if err != nil || len(result.Data) != 5000 {
		t.Errorf("exactly as much: %d bytes, %v", len(result.Data), err)
	}
}

// More than any pipe holds goes in and comes out at once.
func TestLargeData(t *testing.T) {
	t.Parallel()
	data := bytes.Repeat([]byte("0123456789abcdef"), 512<<10)
	result, err := run(t, exec.Config{MaxOutput: 16 << 20}, "cat").Handle(t.Context(), &engine.Message{MessageData: data})
	if err != nil || !bytes.Equal(result.Data, data) {
		t.Errorf("%d bytes, %v", len(result.Data), err)
	}
}

// That a command does not read its input, or not all of it, is its own affair.
func TestUnreadInput(t *testing.T) {
	t.Parallel()
	data := string(bytes.Repeat([]byte("x"), 1<<20))
	result, err := run(t, exec.Config{}, "exit", "0", "", "done").Handle(t.Context(), message(data))
	if err != nil || string(result.Data) != "done" {
		t.Errorf("%+v, %v", result, err)
	}
	result, err = run(t, exec.Config{}, "talk").Handle(t.Context(), message(data))
	if err != nil || len(result.Data) != 1<<20 {
		t.Errorf("%d bytes, %v", len(result.Data), err)
	}
}

func TestEnvironment(t *testing.T) {
	t.Setenv("TOP_SECRET", "hidden")
	t.Setenv("WANTED", "from the server")
	t.Setenv("AM_TOKEN", "hidden")
	t.Setenv("LC_TIME", "C")
	t.Setenv("TZ", "UTC")
	cfg := exec.Config{Env: []string{"COLOUR=blue=green", "WANTED", "TZ=Asia/Tokyo", "EMPTY="}}
	id, err := engine.ParseID("01a2b3c4-0000-7000-8000-000000000001")
	if err != nil {
		t.Fatal(err)
	}
	m := &engine.Message{
		ID: id, MessageType: "run", Attempt: 2, ContentType: "text/plain", Key: "k\x00y; $(id)", ResponseNotification: "request_1",
		Metadata: map[string]string{"a": "line\nTWO=2"},
		Origin:   &engine.Origin{Traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", Tracestate: "a=b"},
	}
	ctx, cancel := context.WithDeadline(t.Context(), time.Date(2100, 1, 2, 3, 4, 5, 678e6, time.UTC))
	defer cancel()
	result, err := run(t, cfg, "environment").Handle(ctx, m)
	if err != nil {
		t.Fatal(err)
	}
	got := string(result.Data) + "\n"
	for _, want := range []string{
		"AM_MESSAGE_ID=" + id.String(), "AM_MESSAGE_TYPE=run", "AM_ATTEMPT=2", "AM_CONTENT_TYPE=text/plain", "AM_KEY=k\uFFFDy; $(id)",
		"AM_RESPONSE_NOTIFICATION=request_1", `AM_METADATA={"a":"line\nTWO=2"}`, "AM_DEADLINE=2100-01-02T03:04:05.678Z",
		"TRACEPARENT=00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "TRACESTATE=a=b",
		"COLOUR=blue=green", "WANTED=from the server", "TZ=Asia/Tokyo", "EMPTY=", "LC_TIME=C", "PATH=" + os.Getenv("PATH"),
	} {
		if !strings.Contains("\n"+got, "\n"+want+"\n") {
			t.Errorf("lacks %s", want)
		}
	}
	if strings.Contains(got, "hidden") || t.Failed() {
		t.Errorf("the environment is\n%s", got)
	}
}

func TestMessageWithoutAnything(t *testing.T) {
	t.Parallel()
	result, err := run(t, exec.Config{}, "environment").Handle(t.Context(), &engine.Message{Attempt: 1})
	got := "\n" + string(result.Data) + "\n"
	if err != nil || strings.Contains(got, "TRACE") || !strings.Contains(got, "\nAM_KEY=\n") || !strings.Contains(got, "\nAM_METADATA={}\n") ||
		!strings.Contains(got, "\nAM_DEADLINE=\n") {
		t.Errorf("%s, %v", got, err)
	}
}

// What a submitter writes is data, in each place where he may write.
func TestNothingReachesAShell(t *testing.T) {
	t.Parallel()
	planted := filepath.Join(t.TempDir(), "planted")
	for _, evil := range []string{"$(touch %s)", "`touch %s`", "; touch %s #", "' ; touch %[1]s ; \" touch %[1]s", "() { :;}; touch %s"} {
		evil = fmt.Sprintf(evil, planted)
		h, err := exec.New(exec.Config{Command: []string{"sh", "-c", `test $# = 0 && printf %s "$AM_KEY" && cat`}})
		if err != nil {
			t.Fatal(err)
		}
		result, err := h.Handle(t.Context(), &engine.Message{
			MessageType: evil, MessageData: []byte(evil), ContentType: evil, Key: evil, ResponseNotification: evil,
			Metadata: map[string]string{evil: evil},
		})
		if err != nil || string(result.Data) != evil+evil {
			t.Errorf("%q, %v", result.Data, err)
		}
	}
	if _, err := os.Stat(planted); err == nil {
		t.Error("a message ran a command")
	}
}

func TestArgumentsAndDirectory(t *testing.T) {
	t.Parallel()
	result, err := run(t, exec.Config{}, "arguments", "$HOME", "a b", "").Handle(t.Context(), message("data"))
	if err != nil || string(result.Data) != `["$HOME" "a b" ""]` {
		t.Errorf("%s, %v", result.Data, err)
	}
	directory, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	result, err = run(t, exec.Config{Dir: directory}, "directory").Handle(t.Context(), message(""))
	if err != nil || string(result.Data) != directory {
		t.Errorf("%s, %v", result.Data, err)
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	directory := t.TempDir()
	plain := filepath.Join(directory, "plain")
	if err := os.WriteFile(plain, []byte("#!/bin/sh\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cat := []string{"cat"}
	for _, c := range []struct {
		cfg         exec.Config
		field, want string
	}{
		{exec.Config{}, "command", "is empty"},
		{exec.Config{Command: []string{""}}, "command", "is empty"},
		{exec.Config{Command: []string{"cat", "a\x00b"}}, "command", "NUL"},
		{exec.Config{Command: []string{"no-such-program"}}, "command", "is not in PATH ("},
		{exec.Config{Command: []string{"/no/such/program"}}, "command", "does not exist"},
		{exec.Config{Command: []string{"./no-such"}, Dir: directory}, "command", directory + `/no-such" does not exist`},
		{exec.Config{Command: []string{plain}}, "command", "chmod +x"},
		{exec.Config{Command: []string{directory}}, "command", "is not an executable file"},
		{exec.Config{Command: cat, Dir: "/no/such"}, "dir", "does not exist"},
		{exec.Config{Command: cat, Dir: plain}, "dir", "is not a directory"},
		{exec.Config{Command: cat, Env: []string{"=a"}}, "env", "has no name"},
		{exec.Config{Command: cat, Env: []string{"A=\x00"}}, "env", "NUL"},
		{exec.Config{Command: cat, Env: []string{"NOT_SET_ANYWHERE"}}, "env", "is not in the server's environment"},
		{exec.Config{Command: cat, Env: []string{"AM_MESSAGE_ID=1"}}, "env", "is set for each message"},
		{exec.Config{Command: cat, ResultType: "png picture"}, "result_type", "is not a media type"},
		{exec.Config{Command: cat, MaxOutput: -1}, "max_output", "is negative"},
		{exec.Config{Command: cat, KillAfter: -1}, "kill_after", "is negative"},
	} {
		h, err := exec.New(c.cfg)
		wrong, is := errors.AsType[*engine.InvalidError](err)
		if h != nil || !is || wrong.Field != c.field || !strings.Contains(wrong.Reason, c.want) {
			t.Errorf("%+v: %v", c.cfg, err)
		}
	}
}

// A relative program is one of Dir, and stays the one it was.
func TestProgramIsResolvedOnce(t *testing.T) {
	directory, other := t.TempDir(), t.TempDir()
	for where, says := range map[string]string{directory: "right", other: "wrong"} {
		if err := os.WriteFile(filepath.Join(where, "tool"), []byte("#!/bin/sh\necho "+says), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	path := os.Getenv("PATH")
	t.Setenv("PATH", directory+":"+path)
	named, err := exec.New(exec.Config{Command: []string{"tool"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", other+":"+path)
	relative, err := exec.New(exec.Config{Command: []string{"./tool"}, Dir: directory})
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range []engine.Handler{named, relative} {
		if result, err := h.Handle(t.Context(), message("")); err != nil || string(result.Data) != "right\n" {
			t.Errorf("%q, %v", result.Data, err)
		}
	}
}

// The operator reads why, clients do not; and it may be mended by the next attempt.
func TestDoesNotStart(t *testing.T) {
	t.Parallel()
	tool := filepath.Join(t.TempDir(), "tool")
	if err := os.Symlink("/bin/cat", tool); err != nil {
		t.Fatal(err)
	}
	h, err := exec.New(exec.Config{Command: []string{tool}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(tool); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Handle(t.Context(), message("hi")); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), tool) {
		t.Error(err)
	}
	e := start(t, h, engine.Policy{MaxAttempts: 2, Backoff: engine.Backoff{Initial: time.Millisecond}})
	if status := ended(t, e, "hi"); status.Error.Message != "handler failed" || status.Attempt != 2 {
		t.Errorf("%+v", status)
	}
}

func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	h := run(t, exec.Config{}, "cat")
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			for j := range 4 {
				data := strings.Repeat(fmt.Sprint(i, j), 20_000)
				if result, err := h.Handle(t.Context(), message(data)); err != nil || string(result.Data) != data {
					t.Errorf("%d bytes of %d, %v", len(result.Data), len(data), err)
				}
			}
		})
	}
	wg.Wait()
}
