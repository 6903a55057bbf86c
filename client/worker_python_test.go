package client_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/activemessage/activemessage/internal/toolchain"
)

// The worker in Python outlives what a server and what is between may answer: odd answers
// are asked for again, a report that is refused is given up, one of a result that is too
// large fails the message, and only who is not taken ends.
func TestThePythonWorkerOutlivesOddAnswers(t *testing.T) {
	t.Parallel()
	toolchain.Need(t, "python3")
	job := func(id string) string {
		return fmt.Sprintf(`{"beat_ms":60000,"jobs":[{"id":%q,"lease":1,"message_data":"abc"}]}`, id)
	}
	answers := map[string][]string{ // by path; the last one stays
		"/v1/work/take": {
			"hijack nonsense\r\n\r\n",                              // no HTTP
			"hijack HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", // cut
			"200 <html>", "408 {}", job("large"), job("stale"), `403 {"detail":"not you"}`,
		},
		"/v1/work/large/done": {`413 {"detail":"send less"}`},
		"/v1/work/stale/done": {`422 {"detail":"no such lease"}`},
	}
	var mu sync.Mutex // guards answers and said
	var said []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var report struct{ Code, Kind string }
		_ = json.NewDecoder(r.Body).Decode(&report)
		mu.Lock()
		defer mu.Unlock()
		if !strings.HasSuffix(r.URL.Path, "/beat") {
			said = append(said, strings.TrimSpace(strings.Join([]string{r.URL.Path, report.Code, report.Kind}, " ")))
		}
		answer, status := "{}", http.StatusOK
		if all := answers[r.URL.Path]; len(all) > 0 {
			answer, answers[r.URL.Path] = all[0], all[1:]
		}
		if raw, is := strings.CutPrefix(answer, "hijack "); is {
			connection, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				_, _ = connection.Write([]byte(raw))
				_ = connection.Close()
			}
			return
		}
		if _, err := fmt.Sscanf(answer, "%d ", &status); err == nil {
			answer = answer[4:]
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(answer))
	}))
	defer server.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	command := exec.CommandContext(ctx, "python3", filepath.Join("python", "worker.py"), server.URL)
	var out bytes.Buffer
	command.Stdout, command.Stderr = &out, &out
	if err := command.Run(); command.ProcessState.ExitCode() != 1 {
		t.Errorf("%v", err)
	}
	server.Close() // no request runs: said is whole
	take := "/v1/work/take"
	want := []string{
		take, take, take, take, take,
		"/v1/work/large/done", "/v1/work/large/fail result_too_large permanent",
		take, "/v1/work/stale/done", take,
	}
	if !slices.Equal(said, want) || !strings.Contains(out.String(), "no such lease") || !strings.Contains(out.String(), "not you") {
		t.Errorf("%q\nexpected %q\n%s", said, want, out.String())
	}
}
