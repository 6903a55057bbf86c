package docs_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"go.uber.org/goleak"

	"github.com/activemessage/activemessage"
	"github.com/activemessage/activemessage/internal/docs"
	"github.com/activemessage/activemessage/internal/toolchain"
)

// TestMain fails the package if a test leaves a goroutine behind.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newHandler(t *testing.T) http.Handler {
	t.Helper()
	h, err := docs.Handler()
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// A browser shows every operation, under the page's own policy, with nothing from
// elsewhere and nothing to complain of.
func TestReferenceShowsEveryOperation(t *testing.T) {
	t.Parallel()
	ctx := toolchain.Browser(t)
	reference := newHandler(t)
	mux := http.NewServeMux()
	mux.Handle("/prefix/docs", reference)
	mux.Handle("/prefix/docs/", reference)
	mux.HandleFunc("/prefix/openapi.yaml", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/yaml")
		_, _ = w.Write(activemessage.OpenAPI())
	})
	server := httptest.NewServer(mux)
	defer server.Close()

	messages := chromedp.Console(ctx)
	if err := chromedp.Do(ctx, chromedp.Navigate(server.URL+"/prefix/docs"), chromedp.WaitVisible(chromedp.CSS(".opblock"))); err != nil {
		t.Fatal(err)
	}
	shown, err := chromedp.Run(ctx, chromedp.Evaluate[int](`document.querySelectorAll('.opblock').length`))
	if err != nil {
		t.Fatal(err)
	}
	if documented := strings.Count(string(activemessage.OpenAPI()), "operationId:"); shown != documented {
		t.Errorf("%d operations are shown of %d", shown, documented)
	}
	const last = "that was all"
	if err := chromedp.Do(ctx, chromedp.Evaluate[chromedp.Void](`console.log('`+last+`')`)); err != nil {
		t.Fatal(err)
	}
	for message, err := range messages {
		if err != nil {
			t.Fatal(err)
		}
		if message.Text == last {
			return
		}
		t.Errorf("the browser says: %v", message)
	}
}

func TestReferenceFiles(t *testing.T) {
	t.Parallel()
	h := newHandler(t)
	get := func(path string, header ...string) *http.Response {
		r := httptest.NewRequest(http.MethodGet, path, nil)
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Result()
	}
	size := func(r *http.Response) int64 {
		n, err := io.Copy(io.Discard, r.Body)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	const bundle = "/docs/swagger-ui-bundle.js"
	plain, compressed := get(bundle), get(bundle, "Accept-Encoding", "br, gzip")
	if n := size(plain); plain.Header.Get("Content-Encoding") != "" || n < 1<<20 {
		t.Errorf("plain: %v, %d bytes", plain.Header, n)
	}
	if n := size(compressed); compressed.Header.Get("Content-Encoding") != "gzip" || n > 1<<20 {
		t.Errorf("compressed: %v, %d bytes", compressed.Header, n)
	}
	etag := plain.Header.Get("Etag")
	if again := get(bundle, "If-None-Match", etag); again.StatusCode != http.StatusNotModified || etag == "" {
		t.Errorf("%s again: %s", etag, again.Status)
	}
	for path, contentType := range map[string]string{
		"/docs":                "text/html; charset=utf-8",
		"/docs/swagger-ui.css": "text/css; charset=utf-8",
		"/docs/start.js":       "text/javascript; charset=utf-8",
		"/docs/LICENSE":        "text/plain; charset=utf-8",
		"/docs/none":           "application/problem+json",
		"/docs/docs.go":        "application/problem+json",
	} {
		if got := get(path).Header.Get("Content-Type"); got != contentType {
			t.Errorf("%s: %s", path, got)
		}
	}
	if policy := get("/docs").Header.Get("Content-Security-Policy"); !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") {
		t.Errorf("policy %s", policy)
	}
}
