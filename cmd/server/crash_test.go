package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/activemessage/activemessage/internal/contract"
)

// ledger is what submitters were promised, and what the log tells.
type ledger struct {
	mu       sync.Mutex
	next     int
	open     []int          // submissions without an answer, to be repeated
	accepted map[int]string // the message's id, by submission
	told     map[string]int // how often, by response notification
	states   map[string]int
	cursor   string
	number   uint64 // of the last notification
}

func newLedger() *ledger {
	return &ledger{accepted: make(map[int]string), told: make(map[string]int), states: make(map[string]int), cursor: "0"}
}

// take returns the submission to make next.
func (l *ledger) take() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := len(l.open); n > 0 {
		submission := l.open[n-1]
		l.open = l.open[:n-1]
		return submission
	}
	l.next++
	return l.next
}

// submission is the body of a submission, which is the same each time it is made: its
// idempotency key makes sure that there is one message, whatever becomes of answers.
func submission(n int) string {
	options := []string{
		`"message_type":"echo"`,
		`"message_type":"sleep","message_data":{"duration":"5ms"}`,
		`"message_type":"echo","key":"k"`,
		`"message_type":"echo","delay":"10ms"`,
		`"message_type":"echo","priority":3`,
		fmt.Sprintf(`"message_type":"echo","message_data":%q`, strings.Repeat("large ", 1000)),
		`"message_type":"fail"`,
	}
	return fmt.Sprintf(`{%s,"response_notification":"request_%d","idempotency_key":"key_%d"}`, options[n%len(options)], n, n)
}

// submit makes submissions until the server is gone.
func (l *ledger) submit(url string) {
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	for {
		n := l.take()
		id, err := post(client, url, submission(n))
		l.mu.Lock()
		if err != nil {
			l.open = append(l.open, n)
			l.mu.Unlock()
			return
		}
		l.accepted[n] = id
		l.mu.Unlock()
	}
}

func post(client *http.Client, url, body string) (id string, err error) {
	response, err := client.Post(url+"/v1/messages", "application/json", strings.NewReader(body))
	if err != nil {
		return "", err
	}
	defer func() { _ = response.Body.Close() }()
	var receipt struct{ ID string }
	if err := json.NewDecoder(response.Body).Decode(&receipt); err != nil {
		return "", err
	}
	if response.StatusCode != http.StatusAccepted {
		return "", fmt.Errorf("status %d", response.StatusCode)
	}
	return receipt.ID, nil
}

// read takes over what the log has that was not read yet: the numbers go on without a
// hole.
func (l *ledger) read(p *process) {
	p.t.Helper()
	for {
		page := p.page("?limit=1000&since=" + l.cursor)
		if page.Gap != nil {
			p.t.Fatalf("a gap after %d", l.number)
		}
		for _, item := range page.Notifications {
			var n struct {
				Number               uint64
				ResponseNotification string `json:"response_notification"`
				State                string
			}
			if err := json.Unmarshal(item, &n); err != nil {
				p.t.Fatal(err)
			}
			if n.Number != l.number+1 {
				p.t.Fatalf("number %d comes after %d", n.Number, l.number)
			}
			l.number = n.Number
			l.told[n.ResponseNotification]++
			l.states[n.State]++
		}
		l.cursor = page.Cursor
		if len(page.Notifications) == 0 {
			return
		}
	}
}

// await reads the event stream until everything accepted has been told.
func (l *ledger) await(p *process) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), time.Minute)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url+"/v1/notifications", nil)
	if err != nil {
		p.t.Fatal(err)
	}
	r.Header.Set("Last-Event-ID", l.cursor)
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	for l.read(p); len(l.told) < l.next; l.read(p) {
		// Any event says that there is more to read.
		if _, err := response.Body.Read(make([]byte, 64<<10)); err != nil {
			p.t.Errorf("%d of %d messages have ended: %v", len(l.told), l.next, err)
			return
		}
	}
}

// kill -9 at any instant: what was answered 202 has exactly one outcome, and its
// notification has exactly one number.
func TestKillLosesNothing(t *testing.T) {
	t.Parallel()
	const rounds = 200
	server := startProcess(t, "--concurrency", "8", "--data", t.TempDir())
	l := newLedger()
	for range rounds {
		var submitting sync.WaitGroup
		for range 8 {
			submitting.Go(func() { l.submit(server.url) })
		}
		reading := l.cursor != "0" && rand.N(2) == 0
		if reading {
			l.read(server)
		}
		// Some rounds end while the server recovers, most while it works.
		<-time.After(rand.N(60 * time.Millisecond))
		server.kill()
		submitting.Wait()
		server = server.again()
		l.read(server)
	}
	l.complete(server)
	t.Logf("%d kills, %d messages, %v", rounds, l.next, l.states)
	server.stop()
}

// complete makes the submissions that had no answer again, and looks for exactly one
// outcome of each.
func (l *ledger) complete(p *process) {
	p.t.Helper()
	for len(l.open) > 0 {
		n := l.take()
		id, err := post(http.DefaultClient, p.url, submission(n))
		if err != nil {
			p.t.Fatal(err)
		}
		l.accepted[n] = id
	}
	l.await(p)
	for n := 1; n <= l.next; n++ {
		if times := l.told[fmt.Sprintf("request_%d", n)]; times != 1 {
			p.t.Errorf("request_%d was told %d times", n, times)
		}
	}
	l.check(p)
}

// check asks for every hundredth message what its state is.
func (l *ledger) check(p *process) {
	p.t.Helper()
	for n := 1; n <= l.next; n += 100 {
		response, err := contract.Client(p.t).Get(p.url + "/v1/messages/" + l.accepted[n])
		if err != nil {
			p.t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		var status struct{ State string }
		if err != nil || json.Unmarshal(body, &status) != nil || !slices.Contains([]string{"succeeded", "failed"}, status.State) {
			p.t.Errorf("request_%d: %s, %v", n, body, err)
		}
	}
}

// A server that is told to stop under load hands over to the next one: what it accepted
// and did not begin, and what it began and could not finish.
func TestSIGTERMHandsOver(t *testing.T) {
	t.Parallel()
	server := startProcess(t, "--concurrency", "4", "--drain-timeout", "100ms")
	l := newLedger()
	for range 5 {
		var submitting sync.WaitGroup
		for range 8 {
			submitting.Go(func() { l.submit(server.url) })
		}
		<-time.After(rand.N(200 * time.Millisecond))
		if err := server.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		submitting.Wait()
		if code := server.wait(); code != 0 && code != exitFailed {
			t.Fatalf("exit code %d", code)
		}
		server = server.again()
		l.read(server)
	}
	l.complete(server)
	server.stop()
}

// A server that is stopped while it recovers loses nothing either, and leaves the data
// to the next one.
func TestSIGTERMDuringRecovery(t *testing.T) {
	t.Parallel()
	server := startProcess(t, "--concurrency", "4")
	l := newLedger()
	var submitting sync.WaitGroup
	for range 8 {
		submitting.Go(func() { l.submit(server.url) })
	}
	<-time.After(300 * time.Millisecond)
	server.kill()
	submitting.Wait()
	for range 20 {
		cmd := command(append(server.args, "--listen", "127.0.0.1:0", "--drain-timeout", "50ms")...)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		<-time.After(rand.N(100 * time.Millisecond))
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		err := cmd.Wait()
		killed := cmd.ProcessState.Sys().(syscall.WaitStatus).Signaled() // before it listened to signals
		if code := cmd.ProcessState.ExitCode(); !killed && code != 0 && code != exitFailed {
			t.Fatalf("exit code %d: %v", code, err)
		}
	}
	server = server.again()
	l.complete(server)
	server.stop()
}

// A message that kills its server is tried max_lost times, then it has failed; others
// that ran with it go on.
func TestAMessageThatKillsItsServer(t *testing.T) {
	t.Parallel()
	server := startProcess(t, "--concurrency", "1")
	id, err := post(http.DefaultClient, server.url, `{"message_type":"sleep","message_data":{"duration":"1h"},"response_notification":"poison"}`)
	if err != nil {
		t.Fatal(err)
	}
	for lost := range 3 {
		server.eventually("running", func() bool { return server.message(id).Attempt == lost+1 && server.message(id).State == "running" })
		server.kill()
		server = server.again()
	}
	server.eventually("failed", func() bool { return server.message(id).State == "failed" })
	if m := server.message(id); m.Lost != 3 || m.Error.Code != "lost" || len(m.Attempts) != 3 {
		t.Errorf("%+v", m)
	}
	server.stop()
}

// message is a message's status.
type message struct {
	State         string
	Attempt, Lost int
	Attempts      []struct{ State string }
	Error         struct{ Code string }
}

func (p *process) message(id string) (m message) {
	p.t.Helper()
	response, err := contract.Client(p.t).Get(p.url + "/v1/messages/" + id)
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if err := json.NewDecoder(response.Body).Decode(&m); err != nil {
		p.t.Fatal(err)
	}
	return m
}

// The copy that --backup makes of a running server's data is all that was accepted
// before it; a server that has it goes on from there, and whoever comes with a cursor
// that is newer is told so.
func TestBackupAndRestore(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	server := startProcess(t, "--data", data)
	l := newLedger()
	var submitting sync.WaitGroup
	for range 4 {
		submitting.Go(func() { l.submit(server.url) })
	}
	server.eventually("under load", func() bool { return l.count() > 100 })
	first := l.ids()
	restored := t.TempDir()
	copied := filepath.Join(restored, "activemessage.db")
	if out, err := command("--data", data, "--backup", copied).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if out, err := command("--data", data, "--backup", copied).CombinedOutput(); err == nil || !strings.Contains(string(out), "is there already") {
		t.Errorf("over another file: %v: %s", err, out)
	}
	server.eventually("still under load", func() bool { return l.count() > len(first)+100 })
	server.kill()
	submitting.Wait()

	other := startProcess(t, "--data", restored)
	for _, id := range first {
		other.eventually("ended", func() bool {
			state := other.message(id).State
			return state == "succeeded" || state == "failed"
		})
	}
	page := server.again().page("?since=0&limit=1000")
	if gap := other.page("?since=" + page.Cursor).Gap; gap == nil {
		t.Error("a cursor of the log that went on is taken for one of the restored log")
	}
	other.stop()
}

// ids are those of what was accepted.
func (l *ledger) ids() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Collect(maps.Values(l.accepted))
}

// count is how many submissions were accepted.
func (l *ledger) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.accepted)
}
