package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/coder/websocket"

	"github.com/activemessage/activemessage/internal/contract"
	"github.com/activemessage/activemessage/internal/toolchain"
)

// publisher posts messages one after the other until it is stopped; those that were
// not accepted it posts again, wherever the server has gone.
type publisher struct {
	stop     context.CancelFunc
	working  sync.WaitGroup
	mu       sync.Mutex
	accepted int
	signal   chan struct{} // gets an element after each; capacity 1, never closed
}

func publish(t *testing.T, url string) *publisher {
	ctx, stop := context.WithCancel(t.Context())
	p := &publisher{stop: stop, signal: make(chan struct{}, 1)}
	p.working.Go(func() {
		for number := 0; ctx.Err() == nil; {
			target := process{t: t, url: url}
			if target.post(fmt.Sprintf(`{"message_type":"echo","response_notification":"request_%d"}`, number)) != http.StatusAccepted {
				continue
			}
			number++
			p.mu.Lock()
			p.accepted = number
			p.mu.Unlock()
			select {
			case p.signal <- struct{}{}:
			default:
			}
		}
	})
	t.Cleanup(func() {
		stop()
		p.working.Wait()
	})
	return p
}

// await returns when n more messages are accepted.
func (p *publisher) await(t *testing.T, n int) {
	t.Helper()
	for target := p.count() + n; p.count() < target; {
		select {
		case <-p.signal:
		case <-time.After(30 * time.Second):
			t.Fatal("no message is accepted")
		}
	}
}

func (p *publisher) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.accepted
}

// An EventSource in a browser goes on by itself while the server is stopped and killed
// under load: it is told of each message once, and nothing is lost.
func TestEventSourceGoesOnAfterRestarts(t *testing.T) {
	t.Parallel()
	browser := toolchain.Browser(t)
	server := startProcess(t)
	if err := chromedp.Do(browser, chromedp.Navigate(server.url), chromedp.Evaluate[chromedp.Void](`
		window.told = [];
		window.gaps = 0;
		const source = new EventSource('/v1/notifications?subscribe=request_*');
		source.onmessage = event => told.push(JSON.parse(event.data).response_notification);
		source.addEventListener('gap', () => gaps++);
		new Promise(resolve => source.onopen = resolve)`, chromedp.EvalAwaitPromise)); err != nil {
		t.Fatal(err)
	}
	publishing := publish(t, server.url)
	for _, end := range []func(){func() { server.stop() }, func() { server.kill() }} {
		publishing.await(t, 50)
		end()
		server = server.again()
	}
	publishing.await(t, 50)
	publishing.stop()
	publishing.working.Wait()
	awaitPage(t, browser, fmt.Sprintf(`window.told.length >= %d`, publishing.count()))
	told, err := chromedp.Run(browser, chromedp.Evaluate[[]string](`window.told`))
	if err != nil {
		t.Fatal(err)
	}
	times := make(map[string]int)
	for _, notification := range told {
		times[notification]++
	}
	for number := range publishing.count() {
		if notification := fmt.Sprintf("request_%d", number); times[notification] != 1 {
			t.Errorf("%s was told %d times", notification, times[notification])
		}
	}
	gaps, err := chromedp.Run(browser, chromedp.Evaluate[int](`window.gaps`))
	if err != nil || gaps != 0 {
		t.Errorf("%d gaps, %v", gaps, err)
	}
}

// awaitPage returns when an expression of a page is true.
func awaitPage(t *testing.T, browser context.Context, expression string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(browser, 30*time.Second)
	defer cancel()
	if _, err := chromedp.Run(ctx, chromedp.Poll[bool](expression, chromedp.WithPollingTimeout(0))); err != nil {
		t.Errorf("%s: %v", expression, err)
	}
}

// Cursors outlive a crash, on every transport.
func TestCursorsOutliveACrash(t *testing.T) {
	t.Parallel()
	server := startProcess(t)
	const submission = `{"message_type":"echo","response_notification":"request_1"}`
	server.post(submission)
	server.events("0", 2)
	cursor := server.page("?since=0").Cursor
	server.post(submission)
	server.kill()
	server = server.again()
	server.post(submission)

	if events := server.events(cursor, 3); !strings.Contains(events[1], `"number":2,`) || !strings.Contains(events[2], `"number":3,`) {
		t.Errorf("the event stream: %q", events)
	}
	if page := server.page("?since=" + cursor); page.Gap != nil || len(page.Notifications) != 2 {
		t.Errorf("the page: %+v", page)
	}
	conn, _, err := websocket.Dial(t.Context(), server.url+"/v1/ws?subscribe=*&since="+cursor, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, op := range []string{"welcome", "notifications"} {
		if _, frame, err := conn.Read(t.Context()); err != nil || !strings.HasPrefix(string(frame), `{"op":"`+op+`"`) {
			t.Fatalf("expected %s: %s, %v", op, frame, err)
		}
	}
	_ = conn.CloseNow()
	server.stop()
}

// A restart loses the log that is in memory. Whoever comes back with its cursor is
// told so, on every transport, and then what the new log has.
func TestALostLogIsToldAsAGap(t *testing.T) {
	t.Parallel()
	server := startProcess(t, "--store", "memory")
	const submission = `{"message_type":"echo","response_notification":"request_1"}`
	server.post(submission)
	cursor := server.page("?since=0").Cursor
	server = server.restart()
	server.post(submission)

	// The stream first: it waits until there is something to tell.
	if events := server.events(cursor, 3); !strings.HasPrefix(events[1], "event: gap\n") || !strings.Contains(events[2], `"request_1:ok"`) {
		t.Errorf("the event stream: %q", events)
	}
	page := server.page("?since=" + cursor)
	if page.Gap == nil || len(page.Notifications) != 1 {
		t.Errorf("the page: %+v", page)
	}
	conn, _, err := websocket.Dial(t.Context(), server.url+"/v1/ws?subscribe=*&since="+cursor, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, op := range []string{"welcome", "gap", "notifications"} {
		if _, frame, err := conn.Read(t.Context()); err != nil || !strings.HasPrefix(string(frame), `{"op":"`+op+`"`) {
			t.Fatalf("expected %s: %s, %v", op, frame, err)
		}
	}
	_ = conn.CloseNow()
	server.stop()
}

// page is a page of notifications.
type page struct {
	Notifications []json.RawMessage
	Cursor        string
	Gap           *struct{ Cursor string }
}

func (p *process) page(query string) page {
	p.t.Helper()
	r, err := http.NewRequestWithContext(p.t.Context(), http.MethodGet, p.url+"/v1/notifications"+query, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	r.Header.Set("Accept", "application/json")
	response, err := contract.Client(p.t).Do(r)
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	var got page
	if err := json.NewDecoder(response.Body).Decode(&got); err != nil {
		p.t.Fatal(err)
	}
	return got
}

// events returns the first events of a stream that goes on from a cursor.
func (p *process) events(cursor string, count int) []string {
	p.t.Helper()
	r, err := http.NewRequestWithContext(p.t.Context(), http.MethodGet, p.url+"/v1/notifications", nil)
	if err != nil {
		p.t.Fatal(err)
	}
	r.Header.Set("Last-Event-ID", cursor)
	response, err := contract.Client(p.t).Do(r)
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	var events []string
	event := ""
	for lines := bufio.NewScanner(response.Body); len(events) < count; {
		if !lines.Scan() {
			p.t.Fatalf("the stream ended: %v", lines.Err())
		}
		if event += lines.Text() + "\n"; lines.Text() == "" {
			events, event = append(events, event), ""
		}
	}
	return events
}
