package activemessage_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/activemessage/activemessage/api"
	"github.com/activemessage/activemessage/engine"
	"github.com/activemessage/activemessage/engine/remote"
	"github.com/activemessage/activemessage/internal/contract"
	"github.com/activemessage/activemessage/ws"
)

// takes is the body of a take.
func takes(members string) string {
	return `{"instance":"i1","types":[{"message_type":"work","policy":{"max_attempts":3}}],"window":2` + members + `}`
}

// testWork has a worker without a connection run messages, and say what cannot be.
func testWork(t *testing.T, checker *contract.Checker) {
	n := newNode(t, checker, engine.Config{})
	const take = "/v1/work/take"
	n.do(t, call{"POST", take, takes(""), asJSON(), false, 200, ""})
	first, second := n.submit("work", `1`), n.submit("work", `2`)
	wait := with("Prefer", "wait=10")
	n.do(t, call{"POST", take, takes(""), wait, false, 200, ""})
	n.do(t, call{"POST", take, takes(`,"held":[{"id":"` + first + `","lease":1},{"id":"` + second + `","lease":1}]`), asJSON(), false, 200, ""})
	report := func(id, what string) string { return "/v1/work/" + id + "/" + what }
	for _, c := range []call{
		{"POST", report(first, "beat"), `{"lease":1,"fraction":0.5,"note":"half","data":{"page":3}}`, asJSON(), false, 200, ""},
		{"POST", report(first, "beat"), `{"lease":2}`, asJSON(), false, 200, ""},
		{"POST", report(first, "done"), `{"lease":1,"data":{"a":1}}`, asJSON(), false, 200, ""},
		{"POST", report(first, "done"), `{"lease":1,"data_base64":"AAE=","content_type":"image/png"}`, asJSON(), false, 200, ""},
		{"POST", report(second, "fail"), `{"lease":1,"code":"busy","message":"not now","kind":"retry","after_ms":1}`, asJSON(), false, 200, ""},
		{"POST", report(second, "fail"), `{"lease":7,"kind":"permanent"}`, asJSON(), false, 200, ""},
	} {
		n.do(t, c)
	}
	huge := `{"lease":1,"data":"` + strings.Repeat("x", 6<<20) + `"}`
	runCalls(t, n, map[string]call{
		"query":          {"POST", take + "?window=1", takes(""), asJSON(), false, 400, "malformed_request"},
		"no json":        {"POST", take, `{"instance":`, asJSON(), false, 400, "malformed_json"},
		"cross-site":     {"POST", take, takes(""), crossSite(), false, 403, "cross_origin"},
		"slow":           {"POST", take, "", asJSON(), true, 408, "request_timeout"},
		"huge":           {"POST", take, huge, asJSON(), false, 413, "message_too_large"},
		"xml":            {"POST", take, "<a/>", map[string]string{"Content-Type": "text/xml"}, false, 415, "unsupported_media_type"},
		"unknown member": {"POST", take, takes(`,"windows":1`), asJSON(), false, 422, "invalid_work"},
		"no window":      {"POST", take, `{"instance":"i1","types":[{"message_type":"work"}]}`, asJSON(), false, 422, "invalid_work"},
		"bad window":     {"POST", take, `{"instance":"i1","types":[{"message_type":"work"}],"window":-1}`, asJSON(), false, 422, "invalid_work"},
		"no instance":    {"POST", take, `{"types":[{"message_type":"work"}],"window":1}`, asJSON(), false, 422, "invalid_work"},
		"no types":       {"POST", take, `{"instance":"i1","types":[],"window":1}`, asJSON(), false, 422, "invalid_work"},
		"the server's":   {"POST", take, `{"instance":"i1","types":[{"message_type":"echo"}],"window":1}`, asJSON(), false, 422, "invalid_work"},
		"bad type":       {"POST", take, `{"instance":"i1","types":[{"message_type":"a b"}],"window":1}`, asJSON(), false, 422, "invalid_work"},
		"bad policy":     {"POST", take, `{"instance":"i1","types":[{"message_type":"new","policy":{"max_attempts":-1}}],"window":1}`, asJSON(), false, 422, "invalid_work"},
		"odd policy":     {"POST", take, `{"instance":"i1","types":[{"message_type":"new","policy":{"timeout":"soon"}}],"window":1}`, asJSON(), false, 422, "invalid_work"},
		"bad lease":      {"POST", take, takes(`,"held":[{"id":"` + first + `","lease":0}]`), asJSON(), false, 422, "invalid_work"},
		"bad held":       {"POST", take, takes(`,"held":[{"id":"17","lease":1}]`), asJSON(), false, 422, "invalid_work"},
	})
	for _, what := range []string{"done", "fail", "beat"} {
		runCalls(t, n, map[string]call{
			what + " no id":      {"POST", report("17", what), `{"lease":1}`, asJSON(), false, 400, "malformed_request"},
			what + " cross-site": {"POST", report(first, what), `{"lease":1}`, crossSite(), false, 403, "cross_origin"},
			what + " slow":       {"POST", report(first, what), "", asJSON(), true, 408, "request_timeout"},
			what + " huge":       {"POST", report(first, what), huge, asJSON(), false, 413, "message_too_large"},
			what + " xml":        {"POST", report(first, what), "<a/>", map[string]string{"Content-Type": "text/xml"}, false, 415, "unsupported_media_type"},
			what + " no lease":   {"POST", report(first, what), `{}`, asJSON(), false, 422, "invalid_work"},
			what + " unknown":    {"POST", report(first, what), `{"lease":1,"results":2}`, asJSON(), false, 422, "invalid_work"},
		})
	}
	runCalls(t, n, map[string]call{
		"both data":   {"POST", report(first, "done"), `{"lease":1,"data":1,"data_base64":""}`, asJSON(), false, 422, "invalid_work"},
		"bad base64":  {"POST", report(first, "done"), `{"lease":1,"data_base64":"!"}`, asJSON(), false, 422, "invalid_work"},
		"bad kind":    {"POST", report(first, "fail"), `{"lease":1,"kind":"never"}`, asJSON(), false, 422, "invalid_work"},
		"bad after":   {"POST", report(first, "fail"), `{"lease":1,"after_ms":-1}`, asJSON(), false, 422, "invalid_work"},
		"NaN":         {"POST", report(first, "beat"), `{"lease":1,"fraction":NaN}`, asJSON(), false, 400, "malformed_json"},
		"NaN as text": {"POST", report(first, "beat"), `{"lease":1,"fraction":"NaN"}`, asJSON(), false, 422, "invalid_work"},
	})
	if got := n.workers.Stats(); got.Refused != 6 || got.Malformed == 0 || got.Stale != 2 {
		t.Errorf("%+v", got)
	}
}

// testTooManyWorkers has more than are allowed, over either transport.
func testTooManyWorkers(t *testing.T, checker *contract.Checker) {
	n := newNode(t, checker, engine.Config{})
	workers := remote.New(n.engine, remote.Config{MaxInstances: 1})
	sockets := ws.NewWork(workers, ws.Config{MaxConnections: 1, CloseSpread: time.Millisecond})
	h, err := api.New(n.engine, api.Config{Work: sockets, Workers: workers})
	if err != nil {
		t.Fatal(err)
	}
	n.Config.Handler = checker.Middleware(h, func(err error) { t.Error(err) })
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := sockets.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		workers.Close()
	}()
	n.do(t, call{"POST", "/v1/work/take", takes(""), asJSON(), false, 200, ""})
	n.do(t, call{"POST", "/v1/work/take", strings.Replace(takes(""), "i1", "i2", 1), asJSON(), false, 503, "server_full"})
	conn, _, err := websocket.Dial(t.Context(), n.URL+"/v1/work", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.CloseNow() }()
	n.do(t, call{"GET", "/v1/work", "", handshake(), false, 503, "server_full"})
}
