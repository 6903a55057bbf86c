package contract_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/activemessage/activemessage"
	"github.com/activemessage/activemessage/internal/contract"
)

// TestFaults plants faults, to prove that the checker finds each of them.
func TestFaults(t *testing.T) {
	t.Parallel()
	checker := newChecker(t, activemessage.OpenAPI())
	const (
		id      = "019a8f3e-5b7c-7d21-9a44-0c1d2e3f4a5b"
		receipt = `{"id":"` + id + `","state":"queued","message_type":"echo","cursor":"5f.1","durability":"fsync"}`
		full    = `{"type":"urn:problem-type:activemessage:queue-full","title":"Full","status":429,"detail":"full","code":"queue_full"}`
	)
	accepted := map[string]string{"Content-Type": "application/json", "Location": "/v1/messages/" + id}
	problem := map[string]string{"Content-Type": "application/problem+json", "Retry-After": "1"}
	for name, c := range map[string]struct {
		path   string
		status int
		header map[string]string
		body   string
		ok     bool
	}{
		"right":           {"/v1/messages", 202, accepted, receipt, true},
		"right problem":   {"/v1/messages", 429, problem, full, true},
		"wrong status":    {"/v1/messages", 201, accepted, receipt, false},
		"default only":    {"/v1/messages", 500, problem, full, false},
		"wrong path":      {"/v1/message", 202, accepted, receipt, false},
		"missing member":  {"/v1/messages", 202, accepted, strings.Replace(receipt, `,"cursor":"5f.1"`, "", 1), false},
		"extra member":    {"/v1/messages", 202, accepted, strings.Replace(receipt, "{", `{"x":1,`, 1), false},
		"wrong type":      {"/v1/messages", 202, accepted, strings.Replace(receipt, `"echo"`, "7", 1), false},
		"wrong enum":      {"/v1/messages", 202, accepted, strings.Replace(receipt, "queued", "lost", 1), false},
		"no such promise": {"/v1/messages", 202, accepted, strings.Replace(receipt, "fsync", "forever", 1), false},
		"wrong format":    {"/v1/messages", 202, accepted, strings.Replace(receipt, "019a8f3e-", "zzzzzzzz-", 1), false},
		"no JSON":         {"/v1/messages", 202, accepted, "{", false},
		"wrong media":     {"/v1/messages", 202, map[string]string{"Content-Type": "text/html", "Location": "/v1/messages/" + id}, receipt, false},
		"missing header":  {"/v1/messages", 202, map[string]string{"Content-Type": "application/json"}, receipt, false},
		"no Retry-After":  {"/v1/messages", 429, map[string]string{"Content-Type": "application/problem+json"}, full, false},
		"bad Retry-After": {"/v1/messages", 429, map[string]string{"Content-Type": "application/problem+json", "Retry-After": "soon"}, full, false},
		"unknown code":    {"/v1/messages", 429, problem, strings.Replace(full, "queue_full", "odd", 1), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, err := http.NewRequest(http.MethodPost, "http://127.0.0.1:8080"+c.path, nil)
			if err != nil {
				t.Fatal(err)
			}
			response := &http.Response{StatusCode: c.status, Header: make(http.Header), Request: r}
			for name, value := range c.header {
				response.Header.Set(name, value)
			}
			if err := checker.CheckResponse(r, response, []byte(c.body)); (err == nil) != c.ok {
				t.Errorf("got %v, want it to pass: %t", err, c.ok)
			}
		})
	}
}

// TestBadRequests plants faults in requests.
func TestBadRequests(t *testing.T) {
	t.Parallel()
	checker := newChecker(t, activemessage.OpenAPI())
	for body, want := range map[string]bool{
		`{"message_type":"echo","message_data":[1]}`:                     true,
		`{"message_data":[1]}`:                                           false,
		`{"message_type":"echo","priority":10}`:                          false,
		`{"message_type":"echo","messageData":1}`:                        false,
		`{"message_type":"a b"}`:                                         false,
		`{"message_type":"echo","metadata":{"a":1}}`:                     false,
		`{"message_type":"e","message_data":1,"message_data_base64":""}`: false,
	} {
		r, err := http.NewRequest(http.MethodPost, "http://127.0.0.1:8080/v1/messages", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		if err := checker.CheckRequest(r, []byte(body)); (err == nil) != want {
			t.Errorf("%s: got %v, want it to pass: %t", body, err, want)
		}
	}
}

func newChecker(t *testing.T, document []byte) *contract.Checker {
	t.Helper()
	checker, err := contract.New(document)
	if err != nil {
		t.Fatal(err)
	}
	return checker
}
