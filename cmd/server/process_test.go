package main

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/activemessage/activemessage/internal/contract"
)

// asServer makes the test binary the server: the real main, in a real process.
const asServer = "ACTIVEMESSAGE_TEST_AS_SERVER"

func TestMain(m *testing.M) {
	if os.Getenv(asServer) != "" {
		if err := prepareServer(); err != nil {
			panic(err)
		}
		main()
		return
	}
	os.Exit(m.Run())
}

// process is a running server.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	args []string
	url  string
	logs *bufio.Scanner
}

func command(args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), asServer+"=1")
	return cmd
}

// startProcess starts a server, with data of its own unless args say where.
func startProcess(t *testing.T, args ...string) *process {
	t.Helper()
	if !slices.ContainsFunc(args, func(arg string) bool { return strings.HasPrefix(arg, "--data") }) {
		args = append([]string{"--data", t.TempDir()}, args...)
	}
	p, err := begin(t, command(args...))
	if err != nil {
		t.Fatal(err)
	}
	p.args = args
	return p
}

// begin starts a command as a server.
func begin(t *testing.T, cmd *exec.Cmd) (*process, error) {
	t.Helper()
	cmd.Env = append(cmd.Env, "AM_LISTEN=127.0.0.1:0")
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	p := &process{t: t, cmd: cmd, logs: bufio.NewScanner(stderr)}
	p.url = "http://" + p.log("listening")["addr"].(string)
	return p, nil
}

// log reads on until a line with the message.
func (p *process) log(message string) map[string]any {
	p.t.Helper()
	for p.logs.Scan() {
		var line map[string]any
		if err := json.Unmarshal(p.logs.Bytes(), &line); err != nil {
			p.t.Fatalf("not a JSON line: %s", p.logs.Text())
		}
		if line["msg"] == message {
			return line
		}
	}
	p.t.Fatalf("the log ended without %q", message)
	return nil
}

// wait returns the exit code, once the log has ended.
func (p *process) wait() int {
	for p.logs.Scan() {
	}
	_ = p.cmd.Wait()
	return p.cmd.ProcessState.ExitCode()
}

func (p *process) stop() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
	if code := p.wait(); code != 0 {
		p.t.Fatalf("exit code %d", code)
	}
}

// kill ends a server as a crash does.
func (p *process) kill() {
	p.t.Helper()
	if err := p.cmd.Process.Kill(); err != nil {
		p.t.Fatal(err)
	}
	p.wait()
}

// restart stops a server and starts another where it was, with its data.
func (p *process) restart() *process {
	p.t.Helper()
	p.stop()
	return p.again()
}

// again starts a server where one was.
func (p *process) again() *process {
	p.t.Helper()
	return startProcess(p.t, append(slices.Clone(p.args), "--listen", p.url[len("http://"):])...)
}

// eventually asks until the answer is yes.
func (p *process) eventually(what string, ask func() bool) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), 30*time.Second)
	defer cancel()
	for tick := time.NewTicker(20 * time.Millisecond); !ask(); {
		select {
		case <-tick.C:
		case <-ctx.Done():
			p.t.Fatalf("not %s in time", what)
		}
	}
}

// get returns a status code.
func (p *process) get(path string) int {
	p.t.Helper()
	response, err := contract.Client(p.t).Get(p.url + path)
	if err != nil {
		p.t.Fatal(err)
	}
	_ = response.Body.Close()
	return response.StatusCode
}

// answer sends a request and decodes what comes.
func (p *process) answer(method, path, body string, into any) {
	p.t.Helper()
	r, err := http.NewRequestWithContext(p.t.Context(), method, p.url+path, strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/octet-stream")
	if method == http.MethodPatch {
		r.Header.Set("Content-Type", "application/json")
	}
	response, err := contract.Client(p.t).Do(r)
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	data, err := io.ReadAll(response.Body)
	if err == nil && into != nil {
		err = json.Unmarshal(data, into)
	}
	if err != nil || response.StatusCode >= http.StatusBadRequest {
		p.t.Fatalf("%s %s: %s, %v: %s", method, path, response.Status, err, data)
	}
}

// outcome is a message as far as these tests look at it.
type outcome struct {
	ID, State    string
	Attempt      int
	ResultBase64 string `json:"result_base64"`
}

// submitted posts a message and returns its id.
func (p *process) submitted(messageType string) string {
	p.t.Helper()
	var accepted outcome
	p.answer(http.MethodPost, "/v1/handlers/"+messageType, "hello", &accepted)
	return accepted.ID
}

// run posts a message and returns its result.
func (p *process) run(messageType string) string {
	p.t.Helper()
	result, err := base64.StdEncoding.DecodeString(p.ended(p.submitted(messageType)).ResultBase64)
	if err != nil {
		p.t.Fatal(err)
	}
	return string(result)
}

// ended returns a message that has succeeded.
func (p *process) ended(id string) (status outcome) {
	p.t.Helper()
	p.eventually("ended", func() bool {
		p.answer(http.MethodGet, "/v1/messages/"+id, "", &status)
		return status.State == "succeeded"
	})
	return status
}
