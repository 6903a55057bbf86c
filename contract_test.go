package activemessage_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/activemessage/activemessage"
	"github.com/activemessage/activemessage/api"
	"github.com/activemessage/activemessage/engine"
	"github.com/activemessage/activemessage/handlers"
	"github.com/activemessage/activemessage/internal/contract"
	"github.com/activemessage/activemessage/ws"
)

// unprovoked are documented responses that no test below can cause.
func unprovoked() map[string]string {
	return map[string]string{}
}

// node is a whole server on a socket, whose traffic is checked.
type node struct {
	*httptest.Server
	t       *testing.T
	engine  *engine.Engine
	sockets *ws.Server
	checker *contract.Checker
	// blocked has an element for each block handler that began.
	blocked chan struct{}
}

func newNode(t *testing.T, checker *contract.Checker, cfg engine.Config) *node {
	t.Helper()
	cfg.MaxMessageBytes = 4 << 10
	e, err := engine.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	n := &node{t: t, engine: e, checker: checker, blocked: make(chan struct{}, 16)}
	n.register("echo", engine.HandlerFunc(handlers.Echo), engine.Policy{})
	n.register("fail", engine.HandlerFunc(handlers.Fail), engine.Policy{})
	n.register("block", engine.HandlerFunc(n.block), engine.Policy{Concurrency: 1, QueueLimit: 1, Timeout: -1})
	n.sockets = ws.New(e, ws.Config{CloseSpread: time.Millisecond})
	h, err := api.New(e, api.Config{
		OpenAPI:     activemessage.OpenAPI(),
		Metrics:     http.HandlerFunc(metrics),
		WebSocket:   n.sockets,
		BodyTimeout: 100 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	n.Server = httptest.NewServer(h)
	t.Cleanup(n.stop)
	return n
}

func metrics(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	_, _ = io.WriteString(w, "up 1\n")
}

func (n *node) register(name string, h engine.Handler, p engine.Policy) {
	n.t.Helper()
	if err := n.engine.Register(name, h, p); err != nil {
		n.t.Fatal(err)
	}
}

// block runs until its context ends.
func (n *node) block(ctx context.Context, _ *engine.Message) (engine.Result, error) {
	n.blocked <- struct{}{}
	<-ctx.Done()
	return engine.Result{}, ctx.Err()
}

func (n *node) stop() {
	now, cancel := context.WithCancel(context.Background())
	cancel()
	_ = n.engine.Drain(now) // its error is that now has ended
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := n.sockets.Shutdown(ctx); err != nil {
		n.t.Error(err)
	}
	n.Client().CloseIdleConnections()
	n.Close()
}

// run submits a message and waits for its end.
func (n *node) run(messageType, data string) string {
	n.t.Helper()
	sub, err := n.engine.Subscribe(engine.Selector{ResponseNotification: "*"}, engine.Cursor{})
	if err != nil {
		n.t.Fatal(err)
	}
	defer sub.Close()
	id := n.submit(messageType, data)
	if _, err := sub.Next(n.t.Context()); err != nil {
		n.t.Fatal(err)
	}
	return id
}

func (n *node) submit(messageType, data string) string {
	n.t.Helper()
	receipt, err := n.engine.Submit(n.t.Context(), engine.Submission{
		MessageType: messageType, MessageData: []byte(data), ContentType: "application/json",
		ResponseNotification: "r", Metadata: map[string]string{"tenant": "acme"},
	})
	if err != nil {
		n.t.Fatal(err)
	}
	return receipt.ID.String()
}

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

// do sends a call and holds both sides of it against the document: what the
// server accepts must be documented as valid.
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
	if response.StatusCode != http.StatusSwitchingProtocols {
		if got, err = io.ReadAll(response.Body); err != nil {
			t.Fatal(err)
		}
	}
	n.verify(t, c, r, response, got)
}

func (n *node) verify(t *testing.T, c call, r *http.Request, response *http.Response, got []byte) {
	t.Helper()
	if response.StatusCode != c.status {
		t.Fatalf("status %d, want %d: %s", response.StatusCode, c.status, got)
	}
	// The document cannot say "any media type that ends in +json".
	if c.status < 300 && !strings.HasSuffix(r.Header.Get("Content-Type"), "+json") {
		if err := n.checker.CheckRequest(r, []byte(c.body)); err != nil {
			t.Errorf("accepted, but not valid: %v", err)
		}
	}
	check := func() error { return n.checker.CheckResponse(r, response, got) }
	if c.code == "not_found" || c.code == "method_not_allowed" {
		check = func() error { return n.checker.CheckProblem(response, got) }
	}
	if err := check(); err != nil {
		t.Errorf("response: %v\n%s", err, got)
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
	checker, err := contract.New(activemessage.OpenAPI())
	if err != nil {
		t.Fatal(err)
	}
	t.Run("submit", func(t *testing.T) { testSubmit(t, checker) })
	t.Run("read", func(t *testing.T) { testRead(t, checker) })
	t.Run("cancel", func(t *testing.T) { testCancel(t, checker) })
	t.Run("operate", func(t *testing.T) { testOperate(t, checker) })
	t.Run("full", func(t *testing.T) { testFull(t, checker) })
	t.Run("draining", func(t *testing.T) { testDraining(t, checker) })
	reasons := unprovoked()
	for _, pair := range checker.Unseen() {
		if reasons[pair] == "" {
			t.Errorf("%s is documented, and was never answered", pair)
		}
		delete(reasons, pair)
	}
	for pair := range reasons {
		t.Errorf("%s was answered: take it from the exceptions", pair)
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
		"bytes method":      {"PATCH", "/v1/handlers/echo", "x", nil, false, 405, "method_not_allowed"},
		"nothing is there":  {"POST", "/v1/nothing", "x", nil, false, 404, "not_found"},
		"bytes bad pattern": {"POST", "/v1/handlers/echo?response_notification=a*", "x", nil, false, 422, "invalid_message"},
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
		"nothing":            {"GET", "/v2", "", nil, false, 404, "not_found"},
		"delete index":       {"DELETE", "/", "", nil, false, 405, "method_not_allowed"},
		"socket":             {"GET", "/v1/ws?subscribe=a*&subscribe=b&message_type=echo&since=0", "", handshake(), false, 101, ""},
		"text socket":        {"GET", "/v1/ws?subscribe=*", "", handshake("Sec-WebSocket-Protocol", "activemessage.v1.text"), false, 101, ""},
		"socket parameter":   {"GET", "/v1/ws?subscibe=a", "", handshake(), false, 400, "malformed_request"},
		"socket protocol":    {"GET", "/v1/ws", "", handshake("Sec-WebSocket-Protocol", "mqtt"), false, 400, "malformed_request"},
		"socket cursor":      {"GET", "/v1/ws?subscribe=*&since=x", "", handshake(), false, 400, "malformed_request"},
		"socket cross-site":  {"GET", "/v1/ws", "", handshake("Origin", "https://evil.example"), false, 403, "cross_origin"},
		"socket without one": {"GET", "/v1/ws", "", nil, false, 426, "upgrade_required"},
	})
}

func testFull(t *testing.T, checker *contract.Checker) {
	n := newNode(t, checker, engine.Config{Concurrency: 1, QueueLimit: 1})
	n.submit("block", "")
	<-n.blocked
	n.submit("echo", "")
	runCalls(t, n, map[string]call{
		"json":  {"POST", "/v1/messages", `{"message_type":"echo"}`, asJSON(), false, 503, "server_full"},
		"bytes": {"POST", "/v1/handlers/echo", "x", nil, false, 503, "server_full"},
	})
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
		"ready":  {"GET", "/readyz", "", nil, false, 503, "not_ready"},
		"live":   {"GET", "/livez", "", nil, false, 200, ""},
	})
}

// TestRoutes holds the router's routes against the document, in both directions.
func TestRoutes(t *testing.T) {
	t.Parallel()
	checker, err := contract.New(activemessage.OpenAPI())
	if err != nil {
		t.Fatal(err)
	}
	var documented []string
	for _, operation := range checker.Operations() {
		documented = append(documented, operation.String())
	}
	n := newNode(t, checker, engine.Config{})
	var routed []string
	err = chi.Walk(n.Config.Handler.(chi.Routes), func(method, route string, _ http.Handler, _ ...func(http.Handler) http.Handler) error {
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
