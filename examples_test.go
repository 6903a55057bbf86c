package activemessage_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/activemessage/activemessage/engine"
)

// TestExamples sends every request that openapi.yaml shows, each to a server of its
// own, and every one is answered with success.
func TestExamples(t *testing.T) {
	t.Parallel()
	checker := newChecker(t)
	examples, err := checker.Examples()
	if err != nil {
		t.Fatal(err)
	}
	for _, example := range examples {
		t.Run(example.Operation.String()+" "+example.Name, func(t *testing.T) {
			t.Parallel()
			n := newNode(t, checker, engine.Config{})
			example.Path = strings.Replace(example.Path, "0197f9c2-5a3b-7c41-9d2e-6f1a2b3c4d5e", n.messageFor(example.Operation.String()), 1)
			r, err := example.HTTP(t.Context(), n.URL)
			if err != nil {
				t.Fatal(err)
			}
			if r.URL.Path == "/v1/ws" {
				r.URL.RawQuery += "&subscribe=r" // since needs one
				for name, value := range handshake() {
					r.Header.Set(name, value)
				}
			}
			if r.URL.Path == "/v1/work" {
				for name, value := range handshake() {
					r.Header.Set(name, value)
				}
			}
			if strings.Contains(r.URL.RawQuery, "limit=") {
				r.Header.Set("Accept", "application/json") // an event stream has no limit
			}
			response, err := n.Client().Transport.RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = response.Body.Close() }()
			if response.StatusCode >= http.StatusBadRequest {
				t.Errorf("%s", response.Status)
			}
		})
	}
}

// messageFor returns the id of a message with which an operation succeeds.
func (n *node) messageFor(operation string) string {
	switch operation {
	case "POST /v1/messages/{id}/retry":
		return n.run("fail", `{}`)
	case "DELETE /v1/messages/{id}":
		return n.submit("block", `{}`)
	}
	return n.run("echo", `{}`)
}
