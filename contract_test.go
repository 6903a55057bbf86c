package activemessage_test

import (
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/go-chi/chi/v5"

	"github.com/activemessage/activemessage/engine"
	"github.com/activemessage/activemessage/engine/memstore"
	"github.com/activemessage/activemessage/internal/contract"
)

// call is one request, and how it shall be answered.
type call struct {
	method, path, body string
	header             map[string]string
	// slow sends a body that never ends.
	slow   bool
	status int
	// code is the problem's.
	code string
}

// do sends a call, whose both sides the node's checker sees, and verifies the status
// and the problem.
func (n *node) do(t *testing.T, c call) {
	t.Helper()
	var body io.Reader = strings.NewReader(c.body)
	if c.slow {
		never, end := io.Pipe()
		defer func() { _ = end.Close() }()
		body = never
	}
	r, err := http.NewRequestWithContext(t.Context(), c.method, n.URL+c.path, body)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range c.header {
		r.Header.Set(name, value)
	}
	response, err := n.Client().Transport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	var got []byte
	if response.StatusCode != http.StatusSwitchingProtocols && response.Header.Get("Content-Type") != "text/event-stream" {
		if got, err = io.ReadAll(response.Body); err != nil {
			t.Fatal(err)
		}
	}
	if response.StatusCode != c.status {
		t.Fatalf("status %d, want %d: %s", response.StatusCode, c.status, got)
	}
	if c.status >= 400 {
		verifyProblem(t, c, response, got)
	}
}

func verifyProblem(t *testing.T, c call, response *http.Response, got []byte) {
	t.Helper()
	var problem struct {
		Type, Code string
		Status     int
	}
	if err := json.Unmarshal(got, &problem); err != nil {
		t.Fatal(err)
	}
	wantType := "urn:problem-type:activemessage:" + strings.ReplaceAll(c.code, "_", "-")
	if problem.Code != c.code || problem.Status != c.status || problem.Type != wantType {
		t.Errorf("problem %+v, want code %s, status %d", problem, c.code, c.status)
	}
	if ct := response.Header.Get("Content-Type"); ct != "application/problem+json" {
		t.Errorf("Content-Type %q", ct)
	}
	if c.status == http.StatusMethodNotAllowed && response.Header.Get("Allow") == "" {
		t.Error("405 without Allow")
	}
}

const (
	jsonType = "application/json"
	unknown  = "019a8f3e-5b7c-7d21-9a44-0c1d2e3f4a5b"
)

func asJSON() map[string]string { return map[string]string{"Content-Type": jsonType} }

func crossSite() map[string]string {
	return map[string]string{"Content-Type": jsonType, "Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}
}

func handshake(more ...string) map[string]string {
	h := map[string]string{
		"Connection": "Upgrade", "Upgrade": "websocket",
		"Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
	}
	for i := 0; i+1 < len(more); i += 2 {
		h[more[i]] = more[i+1]
	}
	return h
}

// TestContract causes every documented response, and checks that there is no other.
func TestContract(t *testing.T) {
	t.Parallel()
	checker := newChecker(t)
	t.Run("submit", func(t *testing.T) { testSubmit(t, checker) })
	t.Run("read", func(t *testing.T) { testRead(t, checker) })
	t.Run("prefer", func(t *testing.T) { testPrefer(t, checker) })
	t.Run("batch", func(t *testing.T) { testBatch(t, checker) })
	t.Run("retry", func(t *testing.T) { testRetry(t, checker) })
	t.Run("notifications", func(t *testing.T) { testNotifications(t, checker) })
	t.Run("update", func(t *testing.T) { testUpdate(t, checker) })
	t.Run("cancel", func(t *testing.T) { testCancel(t, checker) })
	t.Run("operate", func(t *testing.T) { testOperate(t, checker) })
	t.Run("work", func(t *testing.T) { testWork(t, checker) })
	t.Run("too many workers", func(t *testing.T) { testTooManyWorkers(t, checker) })
	t.Run("full", func(t *testing.T) { testFull(t, checker) })
	t.Run("storage full", func(t *testing.T) { testStorageFull(t, checker) })
	t.Run("store failed", func(t *testing.T) { testStoreFailed(t, checker) })
	t.Run("draining", func(t *testing.T) { testDraining(t, checker) })
	for _, pair := range checker.Unseen() {
		t.Errorf("%s is documented, and was never answered", pair)
	}
}

func runCalls(t *testing.T, n *node, calls map[string]call) {
	t.Helper()
	for name, c := range calls {
		t.Run(name, func(t *testing.T) { n.do(t, c) })
	}
}

func testSubmit(t *testing.T, checker *contract.Checker) {
	n := newNode(t, checker, engine.Config{})
	const envelope = `{"message_type":"echo","message_data":{"a":[1,null]},"response_notification":"request_1","key":"k","priority":-9,"metadata":{"tenant":"acme"}}`
	huge := `{"message_type":"echo","message_data":"` + strings.Repeat("x", 80<<10) + `"}`
	runCalls(t, n, map[string]call{
		"json":              {"POST", "/v1/messages", envelope, asJSON(), false, 202, ""},
		"base64":            {"POST", "/v1/messages", `{"message_type":"echo","message_data_base64":"AAEC/w=="}`, asJSON(), false, 202, ""},
		"json suffix":       {"POST", "/v1/messages", envelope, map[string]string{"Content-Type": "application/vnd.acme+json"}, false, 202, ""},
		"query":             {"POST", "/v1/messages?x=1", envelope, asJSON(), false, 400, "malformed_request"},
		"no json":           {"POST", "/v1/messages", `{"message_type":`, asJSON(), false, 400, "malformed_json"},
		"duplicate":         {"POST", "/v1/messages", `{"key":"a","key":"b"}`, asJSON(), false, 400, "malformed_json"},
		"cross-site":        {"POST", "/v1/messages", envelope, crossSite(), false, 403, "cross_origin"},
		"unknown type":      {"POST", "/v1/messages", `{"message_type":"nobody"}`, asJSON(), false, 404, "unknown_message_type"},
		"slow":              {"POST", "/v1/messages", "", asJSON(), true, 408, "request_timeout"},
		"huge":              {"POST", "/v1/messages", huge, asJSON(), false, 413, "message_too_large"},
		"large":             {"POST", "/v1/messages", huge[:39+5<<10] + `"}`, asJSON(), false, 413, "message_too_large"},
		"xml":               {"POST", "/v1/messages", "<a/>", map[string]string{"Content-Type": "text/xml"}, false, 415, "unsupported_media_type"},
		"unknown member":    {"POST", "/v1/messages", `{"message_type":"echo","messageData":1}`, asJSON(), false, 422, "invalid_message"},
		"missing type":      {"POST", "/v1/messages", `{}`, asJSON(), false, 422, "invalid_message"},
		"unit alone":        {"POST", "/v1/messages", `{"message_type":"echo","delay":"s"}`, asJSON(), false, 422, "invalid_message"},
		"both data":         {"POST", "/v1/messages", `{"message_type":"echo","message_data":1,"message_data_base64":""}`, asJSON(), false, 422, "invalid_message"},
		"method":            {"PUT", "/v1/messages", "", nil, false, 405, "method_not_allowed"},
		"bytes":             {"POST", "/v1/handlers/echo?response_notification=r&key=k&priority=9&metadata.tenant=acme", "\x00\xff", map[string]string{"Content-Type": "image/png"}, false, 202, ""},
		"no bytes":          {"POST", "/v1/handlers/echo", "", nil, false, 202, ""},
		"bytes parameter":   {"POST", "/v1/handlers/echo?priorty=1", "x", nil, false, 400, "malformed_request"},
		"bytes cross-site":  {"POST", "/v1/handlers/echo", "x", crossSite(), false, 403, "cross_origin"},
		"bytes unknown":     {"POST", "/v1/handlers/nobody", "x", nil, false, 404, "unknown_message_type"},
		"bytes slow":        {"POST", "/v1/handlers/echo", "", nil, true, 408, "request_timeout"},
		"bytes huge":        {"POST", "/v1/handlers/echo", huge, nil, false, 413, "message_too_large"},
		"bytes priority":    {"POST", "/v1/handlers/echo?priority=12", "x", nil, false, 422, "invalid_message"},
		"bytes method":      {"PUT", "/v1/handlers/echo", "x", nil, false, 405, "method_not_allowed"},
		"nothing is there":  {"POST", "/v1/nothing", "x", nil, false, 404, "not_found"},
		"bytes bad pattern": {"POST", "/v1/handlers/echo?response_notification=a*", "x", nil, false, 422, "invalid_message"},
	})
}

// with returns JSON's headers and more.
func with(pairs ...string) map[string]string {
	h := asJSON()
	for i := 0; i+1 < len(pairs); i += 2 {
		h[pairs[i]] = pairs[i+1]
	}
	return h
}

// testPrefer needs its calls in order.
func testPrefer(t *testing.T, checker *contract.Checker) {
	n := newNode(t, checker, engine.Config{})
	const one, other = `{"message_type":"echo","message_data":1}`, `{"message_type":"echo","message_data":2}`
	for _, c := range []call{
		{"POST", "/v1/messages", one, with("Prefer", "wait=10"), false, 200, ""},
		{"POST", "/v1/messages", `{"message_type":"retry"}`, with("Prefer", "wait=10"), false, 200, ""},
		{"POST", "/v1/messages", one, with("Prefer", "respond-async"), false, 202, ""},
		{"POST", "/v1/messages", one, with("Idempotency-Key", `"k"`), false, 202, ""},
		{"POST", "/v1/messages", one, with("Idempotency-Key", "k", "Prefer", "wait=10"), false, 200, ""},
		{"POST", "/v1/messages", other, with("Idempotency-Key", "k"), false, 422, "idempotency_key_reused"},
		{"POST", "/v1/messages", other, with("Idempotency-Key", ""), false, 400, "malformed_request"},
		{"POST", "/v1/messages", one[:len(one)-1] + `,"idempotency_key":"l"}`, with("Idempotency-Key", "k"), false, 400, "malformed_request"},
		{"POST", "/v1/handlers/echo", "x", map[string]string{"Prefer": "wait=10"}, false, 200, ""},
		{"POST", "/v1/handlers/echo?delay=1h&expires_at=2999-01-01T00:00:00Z", "x", nil, false, 422, "invalid_message"},
		{"POST", "/v1/handlers/retry?delay=1h&timeout=1s&max_attempts=2&idempotency_key=m&idempotency_ttl=until_terminal", "x", nil, false, 202, ""},
		{"POST", "/v1/handlers/echo?delay=soon", "x", nil, false, 400, "malformed_request"},
		{"POST", "/v1/handlers/echo?max_attempts=3", "x", nil, false, 422, "invalid_message"},
		{"POST", "/v1/messages", `{"message_type":"block","delay":"1h","priority":1,"traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}`, with("Prefer", "wait=1"), false, 202, ""},
		{"POST", "/v1/messages", `{"message_type":"echo","timeout":"1h"}`, asJSON(), false, 422, "invalid_message"},
		{"POST", "/v1/messages", `{"message_type":"echo","deliver_at":"tomorrow"}`, asJSON(), false, 422, "invalid_message"},
	} {
		n.do(t, c)
	}
	id := n.submit("echo", "1")
	n.do(t, call{"GET", "/v1/messages/" + id, "", map[string]string{"Prefer": "wait=10"}, false, 200, ""})
}

func testBatch(t *testing.T, checker *contract.Checker) {
	n := newNode(t, checker, engine.Config{})
	ndjson := map[string]string{"Content-Type": "application/x-ndjson"}
	const path = "/v1/messages/batch"
	huge := "[" + strings.Repeat(" ", 17<<20) + "]"
	const event = `{"specversion":"1.0","id":"1","source":"/s","type":"echo","data":1}`
	structured := map[string]string{"Content-Type": "application/cloudevents+json"}
	events := map[string]string{"Content-Type": "application/cloudevents-batch+json"}
	binary := map[string]string{"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/s", "ce-type": "com.example.odd", "Content-Type": "image/png"}
	runCalls(t, n, map[string]call{
		"array":      {"POST", path, `[{"message_type":"echo"},{"message_type":"echo","message_data":[1]}]`, asJSON(), false, 207, ""},
		"lines":      {"POST", path, "{\"message_type\":\"echo\"}\n\n{\"message_type\":", ndjson, false, 207, ""},
		"event":      {"POST", "/v1/messages", event, structured, false, 202, ""},
		"no event":   {"POST", "/v1/messages", `{"specversion":"1.0"}`, structured, false, 422, "invalid_message"},
		"odd event":  {"POST", "/v1/messages", `{"specversion":"1.0","id":true,"source":"/s","type":"echo"}`, structured, false, 422, "invalid_message"},
		"events":     {"POST", "/v1/messages", "[" + event + "]", events, false, 207, ""},
		"events to":  {"POST", "/v1/handlers/echo?key=k", "[" + event + "]", events, false, 207, ""},
		"event to":   {"POST", "/v1/handlers/echo", event, structured, false, 202, ""},
		"binary to":  {"POST", "/v1/handlers/echo", "\x00", binary, false, 202, ""},
		"xml event":  {"POST", "/v1/messages", "<a/>", map[string]string{"Content-Type": "application/cloudevents+xml"}, false, 415, "unsupported_media_type"},
		"empty":      {"POST", path, `[]`, asJSON(), false, 207, ""},
		"no array":   {"POST", path, `{}`, asJSON(), false, 400, "malformed_json"},
		"half":       {"POST", path, `[{"message_type":"echo"}`, asJSON(), false, 400, "malformed_json"},
		"key":        {"POST", path, `[]`, with("Idempotency-Key", "k"), false, 400, "malformed_request"},
		"cross-site": {"POST", path, `[]`, crossSite(), false, 403, "cross_origin"},
		"slow":       {"POST", path, "", asJSON(), true, 408, "request_timeout"},
		"huge":       {"POST", path, huge, asJSON(), false, 413, "message_too_large"},
		"too many":   {"POST", path, "[" + strings.Repeat("{},", 1000) + "{}]", asJSON(), false, 413, "message_too_large"},
		"xml":        {"POST", path, "<a/>", map[string]string{"Content-Type": "text/xml"}, false, 415, "unsupported_media_type"},
	})
}

// testRetry needs its calls in order.
func testRetry(t *testing.T, checker *contract.Checker) {
	n := newNode(t, checker, engine.Config{})
	failed, succeeded := n.run("fail", `{}`), n.run("echo", `{}`)
	running := n.submit("block", "")
	<-n.blocked
	waiting := n.submit("block", "")
	for _, c := range []call{
		{"POST", "/v1/messages/" + failed + "/retry", "", nil, false, 202, ""},
		{"POST", "/v1/messages/" + succeeded + "/retry", "", nil, false, 409, "not_retryable"},
		{"POST", "/v1/messages/" + running + "/retry", "", nil, false, 409, "not_retryable"},
		{"POST", "/v1/messages/17/retry", "", nil, false, 400, "malformed_request"},
		{"POST", "/v1/messages/" + unknown + "/retry", "", nil, false, 404, "message_not_found"},
		{"POST", "/v1/messages/" + failed + "/retry", "", crossSite(), false, 403, "cross_origin"},
		{"DELETE", "/v1/messages/" + waiting, "", nil, false, 200, ""},
		{"POST", "/v1/messages", `{"message_type":"block"}`, asJSON(), false, 202, ""},
		{"POST", "/v1/messages/" + waiting + "/retry", "", nil, false, 429, "queue_full"},
		{"POST", "/v1/messages/retry?state=cancelled&message_type=block", "", nil, false, 200, ""},
		{"POST", "/v1/messages/retry?limit=5&accepted_after=2020-01-01T00:00:00Z", "", nil, false, 200, ""},
		{"POST", "/v1/messages/retry?state=odd", "", nil, false, 400, "malformed_request"},
		{"POST", "/v1/messages/retry", "", crossSite(), false, 403, "cross_origin"},
	} {
		n.do(t, c)
	}
}

func testNotifications(t *testing.T, checker *contract.Checker) {
	n := newNode(t, checker, engine.Config{})
	for range 3 {
		n.run("echo", `{"a":1}`)
	}
	n.run("fail", `{}`)
	accept := func(media string, more ...string) map[string]string { return with(append(more, "Accept", media)...) }
	const path = "/v1/notifications"
	runCalls(t, n, map[string]call{
		"stream":         {"GET", path + "?subscribe=a*&message_type=echo", "", accept("text/event-stream"), false, 200, ""},
		"resumed":        {"GET", path, "", accept("*/*", "Last-Event-ID", "1"), false, 200, ""},
		"bad event id":   {"GET", path, "", accept("*/*", "Last-Event-ID", "x"), false, 400, "malformed_request"},
		"page":           {"GET", path, "", accept("application/json"), false, 200, ""},
		"lost":           {"GET", path + "?since=00000001.5&limit=2", "", accept("application/json"), false, 200, ""},
		"ahead":          {"GET", path + "?since=99", "", accept("application/json"), false, 400, "malformed_request"},
		"bad limit":      {"GET", path + "?limit=0", "", accept("application/json"), false, 400, "malformed_request"},
		"no limit":       {"GET", path + "?limit=", "", accept("application/json"), false, 400, "malformed_request"},
		"two limits":     {"GET", path + "?limit=1&limit=2", "", accept("application/json"), false, 400, "malformed_request"},
		"bad parameter":  {"GET", path + "?prefix=a", "", accept("application/json"), false, 400, "malformed_request"},
		"events":         {"GET", path + "?since=0", "", accept("application/cloudevents-batch+json"), false, 200, ""},
		"not acceptable": {"GET", path, "", accept("image/png"), false, 406, "not_acceptable"},
	})
	full := newNode(t, checker, engine.Config{})
	full.streams(t)
}

// streams opens as many event streams as are allowed, and one more.
func (n *node) streams(t *testing.T) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, n.URL+"/v1/notifications", nil)
	if err != nil {
		t.Fatal(err)
	}
	for range maxStreams {
		response, err := n.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = response.Body.Close() }()
	}
	n.do(t, call{"GET", "/v1/notifications", "", nil, false, 503, "server_full"})
}

func testUpdate(t *testing.T, checker *contract.Checker) {
	n := newNode(t, checker, engine.Config{})
	const path = "/v1/handlers/echo"
	huge := `{"timeout":"` + strings.Repeat("x", 80<<10) + `"}`
	runCalls(t, n, map[string]call{
		"pause":        {"PATCH", path, `{"paused":true,"concurrency":3,"queue_limit":5,"queue_bytes":1000}`, asJSON(), false, 200, ""},
		"merge":        {"PATCH", path, `{"timeout":"never","grace":"1s","max_attempts":3,"max_lost":2,"backoff":{"initial":"1s","max":"1m"}}`, map[string]string{"Content-Type": "application/merge-patch+json"}, false, 200, ""},
		"query":        {"PATCH", path + "?paused=true", `{}`, asJSON(), false, 400, "malformed_request"},
		"cross-site":   {"PATCH", path, `{}`, crossSite(), false, 403, "cross_origin"},
		"unknown type": {"PATCH", "/v1/handlers/nobody", `{}`, asJSON(), false, 404, "unknown_message_type"},
		"slow":         {"PATCH", path, "", asJSON(), true, 408, "request_timeout"},
		"huge":         {"PATCH", path, huge, asJSON(), false, 413, "message_too_large"},
		"xml":          {"PATCH", path, "<a/>", map[string]string{"Content-Type": "text/xml"}, false, 415, "unsupported_media_type"},
		"negative":     {"PATCH", path, `{"concurrency":-1}`, asJSON(), false, 422, "invalid_policy"},
		"never lost":   {"PATCH", path, `{"max_lost":-1}`, asJSON(), false, 422, "invalid_policy"},
		"wrong type":   {"PATCH", path, `{"paused":"yes"}`, asJSON(), false, 422, "invalid_policy"},
		"bad backoff":  {"PATCH", path, `{"backoff":{"initial":"2m","max":"1m"}}`, asJSON(), false, 422, "invalid_policy"},
		"unknown":      {"PATCH", path, `{"pause":true}`, asJSON(), false, 422, "invalid_policy"},
		"bad duration": {"PATCH", path, `{"backoff":{"max":"soon"}}`, asJSON(), false, 422, "invalid_policy"},
	})
}

func testRead(t *testing.T, checker *contract.Checker) {
	n := newNode(t, checker, engine.Config{})
	succeeded, failed := n.run("echo", `{"a":1}`), n.run("fail", `{}`)
	running := n.submit("block", "")
	<-n.blocked
	runCalls(t, n, map[string]call{
		"succeeded":        {"GET", "/v1/messages/" + succeeded, "", nil, false, 200, ""},
		"failed":           {"GET", "/v1/messages/" + failed, "", nil, false, 200, ""},
		"running":          {"GET", "/v1/messages/" + running, "", nil, false, 200, ""},
		"no id":            {"GET", "/v1/messages/17", "", nil, false, 400, "malformed_request"},
		"no message":       {"GET", "/v1/messages/" + unknown, "", nil, false, 404, "message_not_found"},
		"result":           {"GET", "/v1/messages/" + succeeded + "/result", "", nil, false, 200, ""},
		"result no id":     {"GET", "/v1/messages/17/result", "", nil, false, 400, "malformed_request"},
		"result unknown":   {"GET", "/v1/messages/" + unknown + "/result", "", nil, false, 404, "message_not_found"},
		"result early":     {"GET", "/v1/messages/" + running + "/result", "", nil, false, 409, "result_not_ready"},
		"result of failed": {"GET", "/v1/messages/" + failed + "/result", "", nil, false, 409, "result_unavailable"},
		"list":             {"GET", "/v1/messages", "", nil, false, 200, ""},
		"page":             {"GET", "/v1/messages?limit=1&message_type=echo&state=succeeded", "", nil, false, 200, ""},
		"first page":       {"GET", "/v1/messages?limit=1", "", nil, false, 200, ""},
		"bad limit":        {"GET", "/v1/messages?limit=0", "", nil, false, 400, "malformed_request"},
		"bad state":        {"GET", "/v1/messages?state=odd", "", nil, false, 400, "malformed_request"},
		"filters":          {"GET", "/v1/messages?key=k&accepted_after=2020-01-01T00:00:00Z&accepted_before=2999-01-01T00:00:00Z", "", nil, false, 200, ""},
		"bad time":         {"GET", "/v1/messages?accepted_after=today", "", nil, false, 400, "malformed_request"},
		"bad cursor":       {"GET", "/v1/messages?cursor=!", "", nil, false, 400, "malformed_request"},
		"handlers":         {"GET", "/v1/handlers", "", nil, false, 200, ""},
		"handler":          {"GET", "/v1/handlers/block", "", nil, false, 200, ""},
		"no handler":       {"GET", "/v1/handlers/nobody", "", nil, false, 404, "unknown_message_type"},
	})
}

// testCancel needs its calls in order.
func testCancel(t *testing.T, checker *contract.Checker) {
	n := newNode(t, checker, engine.Config{})
	running := n.submit("block", "")
	<-n.blocked
	waiting := n.submit("block", "")
	for _, c := range []call{
		{"POST", "/v1/messages", `{"message_type":"block"}`, asJSON(), false, 429, "queue_full"},
		{"POST", "/v1/handlers/block", "x", nil, false, 429, "queue_full"},
		{"DELETE", "/v1/messages/17", "", nil, false, 400, "malformed_request"},
		{"DELETE", "/v1/messages/" + unknown, "", nil, false, 404, "message_not_found"},
		{"DELETE", "/v1/messages/" + waiting, "", crossSite(), false, 403, "cross_origin"},
		{"DELETE", "/v1/messages/" + waiting, "", nil, false, 200, ""},
		{"DELETE", "/v1/messages/" + waiting, "", nil, false, 409, "already_ended"},
		{"DELETE", "/v1/messages/" + running, "", nil, false, 202, ""},
	} {
		n.do(t, c)
	}
}

func testOperate(t *testing.T, checker *contract.Checker) {
	n := newNode(t, checker, engine.Config{})
	runCalls(t, n, map[string]call{
		"index":              {"GET", "/", "", nil, false, 200, ""},
		"live":               {"GET", "/livez", "", nil, false, 200, ""},
		"ready":              {"GET", "/readyz", "", nil, false, 200, ""},
		"ready verbose":      {"GET", "/readyz?verbose", "", nil, false, 200, ""},
		"ready typo":         {"GET", "/readyz?verbos", "", nil, false, 400, "malformed_request"},
		"metrics":            {"GET", "/metrics", "", nil, false, 200, ""},
		"contract":           {"GET", "/openapi.yaml", "", nil, false, 200, ""},
		"stream contract":    {"GET", "/asyncapi.yaml", "", nil, false, 200, ""},
		"reference":          {"GET", "/docs", "", nil, false, 200, ""},
		"reference's script": {"GET", "/docs/start.js", "", nil, false, 200, ""},
		"page as held":       {"GET", "/docs", "", map[string]string{"If-None-Match": "*"}, false, 304, ""},
		"file as held":       {"GET", "/docs/start.js", "", map[string]string{"If-None-Match": "*"}, false, 304, ""},
		"no such file":       {"GET", "/docs/other.js", "", nil, false, 404, "not_found"},
		"nothing":            {"GET", "/v2", "", nil, false, 404, "not_found"},
		"delete index":       {"DELETE", "/", "", nil, false, 405, "method_not_allowed"},
		"odd method":         {"BREW", "/v1/handlers/echo", "", nil, false, 405, "method_not_allowed"},
		"odd method nowhere": {"BREW", "/v2", "", nil, false, 404, "not_found"},
		"escaped twice":      {"GET", "/v1/handlers/ech%256f", "", nil, false, 404, "unknown_message_type"},
		"escaped once":       {"GET", "/v1/handlers/ech%6f", "", nil, false, 200, ""},
		"escaped":            {"PUT", "/v1/handlers/a%2Fb", "", nil, false, 405, "method_not_allowed"},
		"socket":             {"GET", "/v1/ws?subscribe=a*&subscribe=b&message_type=echo&since=0", "", handshake(), false, 101, ""},
		"text socket":        {"GET", "/v1/ws?subscribe=*", "", handshake("Sec-WebSocket-Protocol", "activemessage.v1.text"), false, 101, ""},
		"socket parameter":   {"GET", "/v1/ws?subscibe=a", "", handshake(), false, 400, "malformed_request"},
		"socket protocol":    {"GET", "/v1/ws", "", handshake("Sec-WebSocket-Protocol", "mqtt"), false, 400, "malformed_request"},
		"socket cursor":      {"GET", "/v1/ws?subscribe=*&since=x", "", handshake(), false, 400, "malformed_request"},
		"socket cross-site":  {"GET", "/v1/ws", "", handshake("Origin", "https://evil.example"), false, 403, "cross_origin"},
		"socket without one": {"GET", "/v1/ws", "", nil, false, 426, "upgrade_required"},
		"work socket":        {"GET", "/v1/work", "", handshake("Sec-WebSocket-Protocol", "activemessage.worker.v1.json"), false, 101, ""},
		"work parameter":     {"GET", "/v1/work?window=1", "", handshake(), false, 400, "malformed_request"},
		"work protocol":      {"GET", "/v1/work", "", handshake("Sec-WebSocket-Protocol", "activemessage.v1.json"), false, 400, "malformed_request"},
		"work cross-site":    {"GET", "/v1/work", "", handshake("Origin", "https://evil.example"), false, 403, "cross_origin"},
		"work without one":   {"GET", "/v1/work", "", nil, false, 426, "upgrade_required"},
	})
}

func testFull(t *testing.T, checker *contract.Checker) {
	n := newNode(t, checker, engine.Config{Concurrency: 1, QueueLimit: 1})
	failed := n.run("fail", "{}")
	n.submit("block", "")
	<-n.blocked
	n.submit("echo", "")
	runCalls(t, n, map[string]call{
		"json":  {"POST", "/v1/messages", `{"message_type":"echo"}`, asJSON(), false, 503, "server_full"},
		"bytes": {"POST", "/v1/handlers/echo", "x", nil, false, 503, "server_full"},
		"retry": {"POST", "/v1/messages/" + failed + "/retry", "", nil, false, 503, "server_full"},
	})
}

func testStorageFull(t *testing.T, checker *contract.Checker) {
	store := &failingStore{Store: memstore.New()}
	n := newNode(t, checker, engine.Config{Store: store})
	failed := n.run("fail", "{}")
	store.full.Store(true)
	runCalls(t, n, map[string]call{
		"json":  {"POST", "/v1/messages", `{"message_type":"echo"}`, asJSON(), false, 507, "storage_full"},
		"bytes": {"POST", "/v1/handlers/echo", "x", nil, false, 507, "storage_full"},
		"retry": {"POST", "/v1/messages/" + failed + "/retry", "", nil, false, 507, "storage_full"},
		"ready": {"GET", "/readyz", "", nil, false, 503, "not_ready"},
		"read":  {"GET", "/v1/messages/" + failed, "", nil, false, 200, ""},
	})
	store.full.Store(false)
	n.run("echo", "")
}

func testStoreFailed(t *testing.T, checker *contract.Checker) {
	store := &failingStore{Store: memstore.New()}
	n := newNode(t, checker, engine.Config{Store: store})
	id := n.run("echo", "")
	store.failed.Store(true)
	runCalls(t, n, map[string]call{
		"get":    {"GET", "/v1/messages/" + id, "", nil, false, 503, "store_failed"},
		"list":   {"GET", "/v1/messages", "", nil, false, 503, "store_failed"},
		"result": {"GET", "/v1/messages/" + id + "/result", "", nil, false, 503, "store_failed"},
		"cancel": {"DELETE", "/v1/messages/" + id, "", nil, false, 503, "store_failed"},
		"submit": {"POST", "/v1/messages", `{"message_type":"echo"}`, asJSON(), false, 503, "store_failed"},
	})
	<-n.engine.Failed()
	for _, what := range []string{"done", "fail", "beat"} {
		n.do(t, call{"POST", "/v1/work/" + id + "/" + what, `{"lease":1}`, asJSON(), false, 503, "store_failed"})
	}
}

func testDraining(t *testing.T, checker *contract.Checker) {
	n := newNode(t, checker, engine.Config{})
	n.sockets.Drain()
	if err := n.engine.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	runCalls(t, n, map[string]call{
		"json":   {"POST", "/v1/messages", `{"message_type":"echo"}`, asJSON(), false, 503, "draining"},
		"bytes":  {"POST", "/v1/handlers/echo", "x", nil, false, 503, "draining"},
		"socket": {"GET", "/v1/ws?subscribe=a", "", handshake(), false, 503, "draining"},
		"take":   {"POST", "/v1/work/take", `{"instance":"i","types":[{"message_type":"work"}],"window":1}`, asJSON(), false, 503, "draining"},
		"ready":  {"GET", "/readyz", "", nil, false, 503, "not_ready"},
		"live":   {"GET", "/livez", "", nil, false, 200, ""},
	})
}

// TestRoutes holds the router's routes against the document, in both directions.
func TestRoutes(t *testing.T) {
	t.Parallel()
	checker := newChecker(t)
	var documented []string
	for _, operation := range checker.Operations() {
		documented = append(documented, operation.String())
	}
	n := newNode(t, checker, engine.Config{})
	var routed []string
	err := chi.Walk(n.routes, func(method, route string, _ http.Handler, _ ...func(http.Handler) http.Handler) error {
		if method != http.MethodHead { // goes with GET
			routed = append(routed, method+" "+route)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(documented)
	slices.Sort(routed)
	if !slices.Equal(documented, routed) {
		t.Errorf("documented:\n%s\nrouted:\n%s", strings.Join(documented, "\n"), strings.Join(routed, "\n"))
	}
}
