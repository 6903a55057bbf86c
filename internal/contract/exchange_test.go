package contract_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/activemessage/activemessage"
)

// Faults on either side are found, by a server's middleware and a client's transport.
func TestExchangesAreHeldAgainstTheDocument(t *testing.T) {
	t.Parallel()
	checker := newChecker(t, activemessage.OpenAPI())
	const (
		right   = `{"id":"019a8f3e-5b7c-7d21-9a44-0c1d2e3f4a5b","state":"queued","message_type":"echo","cursor":"5f.1","durability":"fsync"}`
		problem = `{"type":"urn:problem-type:activemessage:not-found","title":"Not found","status":404,"detail":"no","code":"not_found"}`
	)
	for name, c := range map[string]struct {
		method, path, body string
		status             int
		answer             string
		fault              string
	}{
		"right":                   {"POST", "/v1/messages", `{"message_type":"echo"}`, 202, right, ""},
		"accepted wrongly":        {"POST", "/v1/messages", `{"message_type":7}`, 202, right, "is not valid"},
		"refused rightly":         {"GET", "/v2", "", 404, problem, ""},
		"an undocumented success": {"GET", "/v2", "", 200, "{}", "is not documented"},
		"an undocumented status":  {"POST", "/v1/messages", `{"message_type":"echo"}`, 201, right, "status 201"},
		"a wrong answer":          {"POST", "/v1/messages", `{"message_type":"echo"}`, 202, `{}`, "the answer"},
		"any bytes":               {"POST", "/v1/handlers/echo", "\x00", 202, right, ""},
		"HEAD":                    {"HEAD", "/livez", "", 200, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			var faults []string
			report := func(err error) { faults = append(faults, err.Error()) }
			answer := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				w.Header().Set("Content-Type", "application/json")
				if c.status >= 400 {
					w.Header().Set("Content-Type", "application/problem+json")
				}
				w.Header().Set("Location", "/v1/messages/019a8f3e-5b7c-7d21-9a44-0c1d2e3f4a5b")
				if c.method == http.MethodHead {
					w.Header().Set("Content-Type", "text/plain; charset=utf-8")
				}
				w.WriteHeader(c.status)
				_, _ = io.WriteString(w, c.answer)
			})
			server := httptest.NewServer(checker.Middleware(answer, report))
			defer server.Close()
			client := http.Client{Transport: checker.Transport(server.Client().Transport, report)}
			r, err := http.NewRequestWithContext(t.Context(), c.method, server.URL+c.path, strings.NewReader(c.body))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Content-Type", "application/json")
			response, err := client.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(response.Body)
			_ = response.Body.Close()
			if err != nil || string(body) != c.answer {
				t.Errorf("%s, %v", body, err)
			}
			want := 2 // one from each
			if c.fault == "" {
				want = 0
			}
			if len(faults) != want || want > 0 && !strings.Contains(faults[0], c.fault) {
				t.Errorf("faults %q", faults)
			}
		})
	}
}
