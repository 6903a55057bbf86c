package api_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/activemessage/activemessage/api"
)

// follow opens an event stream.
func follow(t *testing.T, url string) *bufio.Scanner {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = response.Body.Close() })
	return bufio.NewScanner(response.Body)
}

// What is not for a subscriber still moves its position: coming back, it need not be
// looked through again, and is no gap.
func TestHeartbeatsMoveThePosition(t *testing.T) {
	t.Parallel()
	server := start(t, api.Config{Heartbeat: 5 * time.Millisecond})
	lines := follow(t, server.URL+"/v1/notifications?subscribe=mine_*")
	for range 3 {
		if got := postWith(t, server, "/v1/handlers/echo?response_notification=other_1", "x", "", ""); got != http.StatusAccepted {
			t.Fatal(got)
		}
	}
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "data:") {
			t.Errorf("it is told %s", lines.Text())
		}
		if strings.HasPrefix(lines.Text(), "id:") && strings.HasSuffix(lines.Text(), ".3") {
			return
		}
	}
	t.Errorf("the stream ended: %v", lines.Err())
}

// A client that takes nothing is cut, and does not hold what is for it.
func TestAReaderThatTakesNothingIsCut(t *testing.T) {
	t.Parallel()
	ended := make(chan struct{})
	server := start(t, api.Config{
		WriteTimeout: 50 * time.Millisecond,
		Middleware: []func(http.Handler) http.Handler{func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				next.ServeHTTP(w, r)
				if r.URL.Path == "/v1/notifications" {
					close(ended)
				}
			})
		}},
	})
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := io.WriteString(conn, "GET /v1/notifications HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := bufio.NewReaderSize(conn, 16).ReadString('\n'); err != nil { // it began
		t.Fatal(err)
	}
	result := strings.Repeat("x", 900)
	for number := 0; ; number++ {
		if number == 100_000 {
			t.Fatal("90 MB are waiting for it")
		}
		postWith(t, server, fmt.Sprintf("/v1/handlers/echo?response_notification=request_%d", number), result, "", "")
		select {
		case <-ended:
			return
		default:
		}
	}
}

func TestNotificationsAreNegotiated(t *testing.T) {
	t.Parallel()
	server := start(t, api.Config{})
	for _, c := range []struct {
		accept []string
		status int
		media  string
	}{
		{nil, http.StatusOK, "text/event-stream"},
		{[]string{"*/*"}, http.StatusOK, "text/event-stream"},
		{[]string{"application/json"}, http.StatusOK, "application/json"},
		{[]string{"text/event-stream;q=0, */*"}, http.StatusOK, "application/json"},
		{[]string{"image/png", "application/cloudevents-batch+json"}, http.StatusOK, "application/cloudevents-batch+json"},
		{[]string{"application/json;q=0, text/event-stream;q=0"}, http.StatusNotAcceptable, "application/problem+json"},
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/v1/notifications", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header["Accept"] = c.accept
		response, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if media := response.Header.Get("Content-Type"); response.StatusCode != c.status || media != c.media {
			t.Errorf("%q: %d %s", c.accept, response.StatusCode, media)
		}
	}
}
