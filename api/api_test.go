package api_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/activemessage/activemessage/api"
	"github.com/activemessage/activemessage/engine"
	"github.com/activemessage/activemessage/handlers"
	"github.com/activemessage/activemessage/internal/contract"
)

// TestMain fails the package if a test leaves a goroutine behind.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start returns a server on a real listener. The contract's tests, at the root of
// the module, go through every operation; here is what a document cannot say.
func start(t *testing.T, cfg api.Config) *httptest.Server {
	t.Helper()
	e, err := engine.New(engine.Config{MaxMessageBytes: 1000})
	if err != nil {
		t.Fatal(err)
	}
	if err := handlers.RegisterExamples(e); err != nil {
		t.Fatal(err)
	}
	handler, err := api.New(e, cfg)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(contract.Handler(t, handler))
	t.Cleanup(func() {
		server.Close()
		if err := e.Drain(t.Context()); err != nil && t.Context().Err() == nil {
			t.Error(err)
		}
	})
	return server
}

// raw sends bytes as they are and returns the answer's status line and body.
func raw(t *testing.T, server *httptest.Server, request string) (status int, body string) {
	t.Helper()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	data, _ := io.ReadAll(response.Body)
	return response.StatusCode, string(data)
}

func TestHostileBodies(t *testing.T) {
	t.Parallel()
	server := start(t, api.Config{BodyTimeout: 200 * time.Millisecond})
	const head = "POST /v1/messages HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
	for _, c := range []struct {
		name, request string
		status        int
		code          string
	}{
		{"2 GiB are announced, and refused unread", head + "Content-Length: 2147483648\r\n\r\n", http.StatusRequestEntityTooLarge, "message_too_large"},
		{"chunks without end are cut off", head + "Transfer-Encoding: chunked\r\n\r\n" + strings.Repeat("4000\r\n"+strings.Repeat("x", 0x4000)+"\r\n", 6), http.StatusRequestEntityTooLarge, "message_too_large"},
		{"a body that does not come", head + "Content-Length: 5000\r\n\r\n{", http.StatusRequestTimeout, "request_timeout"},
		{"chunks that do not come", head + "Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n", http.StatusRequestTimeout, "request_timeout"},
		{"a small body that does not come", head + "Content-Length: 100\r\n\r\n{", http.StatusRequestTimeout, "request_timeout"},
		{"a body that nobody reads", "DELETE /v1/messages/17 HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{", http.StatusBadRequest, "malformed_request"},
		{"metadata twice", "POST /v1/handlers/echo?metadata.a=1&metadata%5Ba%5D=2 HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", http.StatusBadRequest, "malformed_request"},
		{"metadata of no name", "POST /v1/handlers/echo?metadata%5Ba=1 HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", http.StatusBadRequest, "malformed_request"},
		{"broken JSON", head + "Content-Length: 2\r\n\r\n{\"", http.StatusBadRequest, "malformed_json"},
		{"invalid UTF-8", head + "Content-Length: 22\r\n\r\n{\"message_type\":\"\xff\xff\xff\"}", http.StatusBadRequest, "malformed_json"},
		{"raw bytes over the limit", "POST /v1/handlers/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1001\r\n\r\n", http.StatusRequestEntityTooLarge, "message_too_large"},
		{"a type that has to be escaped", "GET /v1/handlers/a%2Fb HTTP/1.1\r\nHost: x\r\n\r\n", http.StatusNotFound, "unknown_message_type"},
		{"a type of 10 kB", "POST /v1/handlers/" + strings.Repeat("x", 10_000) + " HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", http.StatusUnprocessableEntity, "invalid_message"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			status, body := raw(t, server, c.request)
			if status != c.status || !strings.Contains(body, `"code":"`+c.code+`"`) {
				t.Errorf("%d: %s", status, body)
			}
		})
	}
}

// postWith posts with one header, unless it is empty, and returns the status.
func postWith(t *testing.T, server *httptest.Server, path, body, header, value string) int {
	t.Helper()
	request, err := http.NewRequest(http.MethodPost, server.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if value != "" {
		request.Header.Set(header, value)
	}
	response, err := server.Client().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	return response.StatusCode
}

func TestWhatCurlSaysOfABodyIsAccepted(t *testing.T) {
	t.Parallel()
	server := start(t, api.Config{})
	for contentType, status := range map[string]int{
		"application/json":                  http.StatusAccepted,
		"application/json; charset=utf-8":   http.StatusAccepted,
		"application/vnd.x+json":            http.StatusAccepted,
		"application/x-www-form-urlencoded": http.StatusAccepted,
		"":                                  http.StatusAccepted,
		"application/xml":                   http.StatusUnsupportedMediaType,
		"image/png":                         http.StatusUnsupportedMediaType,
	} {
		if got := postWith(t, server, "/v1/messages", `{"message_type":"echo"}`, "Content-Type", contentType); got != status {
			t.Errorf("%q: %d, expected %d", contentType, got, status)
		}
	}
}

func TestPagesOfOtherOriginsMayNotSubmit(t *testing.T) {
	t.Parallel()
	server := start(t, api.Config{AllowOrigins: []string{"https://app.example", "*.host.test", "http://*.scheme.test"}})
	for origin, status := range map[string]int{
		"":                      http.StatusAccepted,
		server.URL:              http.StatusAccepted,
		"https://app.example":   http.StatusAccepted,
		"https://APP.example":   http.StatusAccepted,
		"http://app.example":    http.StatusForbidden,
		"https://a.host.test":   http.StatusAccepted,
		"http://a.host.test":    http.StatusAccepted,
		"https://host.test":     http.StatusForbidden,
		"http://a.scheme.test":  http.StatusAccepted,
		"https://a.scheme.test": http.StatusForbidden,
		"https://evil.test":     http.StatusForbidden,
		"null":                  http.StatusForbidden,
	} {
		if got := postWith(t, server, "/v1/handlers/echo", "x", "Origin", origin); got != status {
			t.Errorf("origin %q: %d, expected %d", origin, got, status)
		}
	}
}

func TestAResultCannotActAsAPage(t *testing.T) {
	t.Parallel()
	server := start(t, api.Config{})
	response, err := server.Client().Post(server.URL+"/v1/handlers/echo", "text/html", strings.NewReader("<script>alert(1)</script>"))
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	location := response.Header.Get("Location")
	for {
		result, err := server.Client().Get(server.URL + location + "/result")
		if err != nil {
			t.Fatal(err)
		}
		data, _ := io.ReadAll(result.Body)
		_ = result.Body.Close()
		if result.StatusCode == http.StatusConflict {
			continue // the handler is about to return
		}
		if string(data) != "<script>alert(1)</script>" || result.Header.Get("Content-Type") != "text/html" ||
			result.Header.Get("Content-Security-Policy") != "sandbox" || result.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s %v", data, result.Header)
		}
		return
	}
}

func TestPagesLinkToTheNext(t *testing.T) {
	t.Parallel()
	server := start(t, api.Config{})
	for range 5 {
		response, err := server.Client().Post(server.URL+"/v1/handlers/echo", "text/plain", nil)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
	}
	pages, messages := 0, 0
	for next := "/v1/messages?limit=2&message_type=echo"; next != ""; pages++ {
		response, err := server.Client().Get(server.URL + next)
		if err != nil {
			t.Fatal(err)
		}
		data, _ := io.ReadAll(response.Body)
		_ = response.Body.Close()
		messages += strings.Count(string(data), `"accepted_at"`)
		next = ""
		if link := response.Header.Get("Link"); link != "" {
			if _, err := fmt.Sscanf(link, "<%s", &next); err != nil {
				t.Fatal(err)
			}
			next = strings.TrimSuffix(next, ">;")
		}
	}
	if pages != 3 || messages != 5 {
		t.Errorf("%d messages on %d pages", messages, pages)
	}
}

// A refusal points at where in the request to change it.
func TestRefusalsPointAtTheRequest(t *testing.T) {
	t.Parallel()
	server := start(t, api.Config{})
	long := strings.Repeat("x", 300)
	for _, c := range []struct {
		path, body, header, value, pointer string
	}{
		{"/v1/messages", `{"message_type":"echo","key":"` + long + `"}`, "", "", "/key"},
		{"/v1/messages", `{"message_type":"echo","tracestate":"a=b"}`, "", "", "/tracestate"},
		{"/v1/messages", `{"message_type":"echo"}`, "Idempotency-Key", long, "Idempotency-Key"},
		{"/v1/handlers/echo?key=" + long, "x", "", "", "?key"},
		{"/v1/handlers/echo", "x", "Content-Type", "text/" + long, "Content-Type"},
		{"/v1/handlers/" + long, "x", "", "", "{message_type}"},
		{"/v1/messages", `{"specversion":"1.0","id":"1","source":"/","type":"echo","maxattempts":9}`, "Content-Type", "application/cloudevents+json", "/maxattempts"},
		{"/v1/messages", `{"specversion":"1.0","id":"1","source":"/","type":"echo","datacontenttype":"text/` + long + `"}`, "Content-Type", "application/cloudevents+json", "/datacontenttype"},
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+c.path, strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		if c.header != "" {
			r.Header.Set(c.header, c.value)
		}
		response, err := server.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if err != nil || response.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(string(body), `"errors":[{"pointer":"`+c.pointer+`"`) {
			t.Errorf("%s, wanted %s: %s, %v", c.path, c.pointer, body, err)
		}
	}
}
