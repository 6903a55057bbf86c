package ws_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/activemessage/activemessage/engine"
	"github.com/activemessage/activemessage/ws"
)

func TestTextProtocolIsExact(t *testing.T) {
	t.Parallel()
	n := start(t, engine.Config{}, ws.Config{})
	c := n.dial("?subscribe=request_*", ws.ProtocolText)
	n.submit("echo", `1`, "request_123")
	if got := c.read(); got != "request_123:ok" {
		t.Errorf("%q", got)
	}
	n.submit("fail", `{"message":"a \"quoted\" <tag> ünïcode:)"}`, "request_124")
	if got := c.read(); got != `request_124:err(a "quoted" <tag> ünïcode:))` {
		t.Errorf("%q", got)
	}
	c.send("hello")
	c.closed(websocket.StatusUnsupportedData)
}

func TestJSONProtocol(t *testing.T) {
	t.Parallel()
	n := start(t, engine.Config{}, ws.Config{})
	c := n.dial("")
	if welcome := c.next("welcome"); welcome.Protocol != ws.ProtocolJSON || welcome.Cursor == "" {
		t.Errorf("%+v", welcome)
	}
	c.send(`{"op":"subscribe","ref":"1","response_notification":"request_*","unknown":true}`)
	subscribed := c.next("subscribed")
	if subscribed.Ref != "1" {
		t.Errorf("%+v", subscribed)
	}
	c.send(`{"op":"submit","ref":"2","message_type":"echo","message_data":{"a":1}}`)
	if accepted := c.next("accepted"); accepted.Ref != "2" || accepted.ID == "" || accepted.State != "queued" || accepted.Durability != "memory" {
		t.Errorf("%+v", accepted)
	}
	n.submit("echo", `{"b":2}`, "request_1")
	got := c.notifications(1)[0]
	if got.Notification != "request_1:ok" || !got.OK || string(got.Result) != `{"b":2}` || got.Number != 1 {
		t.Errorf("%+v", got)
	}
	c.send(`{"op":"ping","ref":"3"}`)
	if pong := c.next("pong"); pong.Ref != "3" {
		t.Errorf("%+v", pong)
	}
	c.send(`{"op":"unsubscribe","ref":"4","response_notification":"request_*"}`)
	c.next("unsubscribed")
	n.submit("echo", `1`, "request_2")
	c.send(fmt.Sprintf(`{"op":"subscribe","response_notification":"request_*","since":%q}`, subscribed.Cursor))
	c.next("subscribed")
	for _, item := range c.notifications(2) {
		if !item.OK {
			t.Errorf("%+v", item)
		}
	}
}

// Who cannot send a frame to subscribe, and says nothing in the query, wants all.
func TestProtocolsWithoutFramesFollowEverything(t *testing.T) {
	t.Parallel()
	n := start(t, engine.Config{}, ws.Config{})
	text, events := n.dial("", ws.ProtocolText), n.dial("?since=0", ws.ProtocolCloudEvents)
	n.submit("echo", `1`, "request_1")
	if got := text.read(); got != "request_1:ok" {
		t.Errorf("%q", got)
	}
	if got := events.read(); !strings.Contains(got, `"type":"activemessage.message.succeeded"`) {
		t.Errorf("%s", got)
	}
}

// A position without a selector would be ignored in silence.
func TestSinceNeedsASelector(t *testing.T) {
	t.Parallel()
	n := start(t, engine.Config{}, ws.Config{})
	_, response, err := websocket.Dial(t.Context(), n.http.URL+"/v1/ws?since=0", nil)
	if err == nil || response.StatusCode != http.StatusBadRequest {
		t.Fatalf("%v, %v", response, err)
	}
}

// What a client says of its trace in a submit comes back on the notification, on
// each protocol that has a place for it.
func TestTraceGoesFromSubmitToNotification(t *testing.T) {
	t.Parallel()
	n := start(t, engine.Config{}, ws.Config{})
	asJSON, asEvents := n.dial("?subscribe=*"), n.dial("?subscribe=*", ws.ProtocolCloudEvents)
	asJSON.next("welcome")
	const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	asJSON.send(`{"op":"submit","message_type":"echo","response_notification":"r","traceparent":"` + traceparent + `","tracestate":"a=b"}`)
	asJSON.next("accepted")
	for _, got := range []string{asJSON.read(), asEvents.read()} {
		if !strings.Contains(got, `"traceparent":"`+traceparent+`"`) {
			t.Errorf("%s", got)
		}
	}
}

func TestAReceiptComesBeforeItsNotification(t *testing.T) {
	t.Parallel()
	n := start(t, engine.Config{}, ws.Config{})
	c := n.dial("?subscribe=*")
	c.next("welcome")
	for range 500 {
		c.send(`{"op":"submit","message_type":"echo","response_notification":"request_1"}`)
		c.next("accepted")
		c.notifications(1)
	}
}

func TestBadFramesAreAnswered(t *testing.T) {
	t.Parallel()
	n := start(t, engine.Config{}, ws.Config{})
	c := n.dial("")
	c.next("welcome")
	for frameText, code := range map[string]string{
		`{"op":"dance","ref":"r"}`:       "unknown_op",
		`{"ref":"r"}`:                    "unknown_op",
		`{"op":"subscribe","ref":"r"}`:   "invalid_message",
		`{"op":"unsubscribe","ref":"r"}`: "invalid_message",
		`{"op":"unsubscribe","ref":"r","message_type":"a","response_notification":"a"}`: "invalid_message",
		`{"op":"subscribe","ref":"r","response_notification":7}`:                        "invalid_message",
		`{"op":"subscribe","ref":"r","message_id":"x"}`:                                 "invalid_message",
		`{"op":"subscribe","ref":"r","response_notification":"a","since":"9999"}`:       "invalid_message",
		`{"op":"submit","ref":"r","message_type":"nope"}`:                               "unknown_message_type",
		`{"op":"submit","ref":"r"}`:                                                     "invalid_message",
		`{"op":"submit","ref":"r","message_type":"echo","priority":"high"}`:             "invalid_message",
	} {
		c.send(frameText)
		if f := c.next("error"); f.Code != code || f.Ref != "r" || f.Status < 400 || f.Detail == "" {
			t.Errorf("%s is answered with %+v, expected %s", frameText, f, code)
		}
	}
}

// A frame that ends the connection does not take the answers along to those before it.
func TestAnswersComeBeforeARefusal(t *testing.T) {
	t.Parallel()
	n := start(t, engine.Config{}, ws.Config{})
	for range 50 {
		conn, reader := rawDial(t, n, "")
		frames := append(clientFrame(`{"op":"submit","ref":"1","message_type":"echo"}`), clientFrame("no JSON")...)
		if _, err := conn.Write(frames); err != nil {
			t.Fatal(err)
		}
		got, err := reader.ReadBytes(0x88) // a close frame; no text has it
		if err != nil || !bytes.Contains(got, []byte(`{"op":"accepted","ref":"1"`)) {
			t.Fatalf("%q, %v", got, err)
		}
		_ = conn.Close()
	}
}

// clientFrame is a text frame of a client, masked by zeros.
func clientFrame(payload string) []byte {
	return append([]byte{0x81, 0x80 | byte(len(payload)), 0, 0, 0, 0}, payload...)
}

func TestHostileFramesClose(t *testing.T) {
	t.Parallel()
	n := start(t, engine.Config{}, ws.Config{ReadLimit: 1000})
	for _, c := range []struct {
		name string
		kind websocket.MessageType
		data string
		code websocket.StatusCode
	}{
		{"not JSON", websocket.MessageText, "hello", websocket.StatusInvalidFramePayloadData},
		{"an array", websocket.MessageText, "[]", websocket.StatusInvalidFramePayloadData},
		{"broken JSON", websocket.MessageText, `{"op":`, websocket.StatusInvalidFramePayloadData},
		{"invalid UTF-8", websocket.MessageText, "{\"op\":\"\xff\"}", websocket.StatusInvalidFramePayloadData},
		{"deep nesting", websocket.MessageText, `{"x":` + strings.Repeat("[", 400), websocket.StatusInvalidFramePayloadData},
		{"binary", websocket.MessageBinary, "{}", websocket.StatusUnsupportedData},
		{"too large", websocket.MessageText, strings.Repeat(" ", 2000), websocket.StatusMessageTooBig},
	} {
		t.Run(c.name, func(t *testing.T) {
			client := n.dial("")
			client.next("welcome")
			if err := client.conn.Write(t.Context(), c.kind, []byte(c.data)); err != nil {
				t.Fatal(err)
			}
			client.closed(c.code)
		})
	}
}

func TestRefusedUpgradesAreProblems(t *testing.T) {
	t.Parallel()
	n := start(t, engine.Config{MaxSelectors: 2}, ws.Config{MaxConnections: 1})
	n.dial("").next("welcome")
	upgrade := http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="}}
	for _, c := range []struct {
		name, query string
		header      http.Header
		status      int
		code        string
	}{
		{"no upgrade", "", http.Header{}, http.StatusUpgradeRequired, "upgrade_required"},
		{"unknown parameter", "?subscripe=a", upgrade, http.StatusBadRequest, "malformed_request"},
		{"bad cursor", "?subscribe=a&since=yesterday", upgrade, http.StatusBadRequest, "malformed_request"},
		{"cursor ahead", "?subscribe=a&since=7", upgrade, http.StatusBadRequest, "malformed_request"},
		{"too many selectors", "?subscribe=a&subscribe=b&subscribe=c", upgrade, http.StatusBadRequest, "malformed_request"},
		{"unknown protocol", "", with(upgrade, "Sec-Websocket-Protocol", "chat"), http.StatusBadRequest, "malformed_request"},
		{"one connection too many", "", upgrade, http.StatusServiceUnavailable, "server_full"},
	} {
		t.Run(c.name, func(t *testing.T) {
			request, err := http.NewRequest(http.MethodGet, n.http.URL+"/v1/ws"+c.query, nil)
			if err != nil {
				t.Fatal(err)
			}
			request.Header = c.header
			response, err := http.DefaultTransport.RoundTrip(request)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = response.Body.Close() }()
			body, _ := io.ReadAll(response.Body)
			if response.StatusCode != c.status || !contains(string(body), `"code":"`+c.code+`"`) {
				t.Errorf("%s: %s", response.Status, body)
			}
			if c.status == http.StatusServiceUnavailable && response.Header.Get("Retry-After") == "" {
				t.Error("no Retry-After")
			}
		})
	}
	if got := n.engine.Stats().Subscriptions; got != 0 {
		t.Errorf("refused upgrades left %d subscriptions", got)
	}
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
}

func with(h http.Header, name, value string) http.Header {
	h = h.Clone()
	h.Set(name, value)
	return h
}

func TestOrigins(t *testing.T) {
	t.Parallel()
	n := start(t, engine.Config{}, ws.Config{AllowOrigins: []string{"*.example"}})
	for origin, allowed := range map[string]bool{
		"":                      true,
		n.http.URL:              true,
		"https://app.example":   true,
		"https://evil.test":     false,
		"https://app.example.x": false,
	} {
		header := http.Header{}
		if origin != "" {
			header.Set("Origin", origin)
		}
		conn, response, err := websocket.Dial(t.Context(), n.http.URL+"/v1/ws", &websocket.DialOptions{HTTPHeader: header})
		if (err == nil) != allowed {
			t.Errorf("origin %q: %v", origin, err)
		}
		if err == nil {
			_ = conn.CloseNow()
		} else if response.StatusCode != http.StatusForbidden || response.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("origin %q: %s %s", origin, response.Status, response.Header)
		}
	}
}

func TestEverySubscriberSeesAllInOrder(t *testing.T) {
	t.Parallel()
	n := start(t, engine.Config{QueueLimit: 1 << 20}, ws.Config{})
	const clients, messages = 20, 2000
	var readers sync.WaitGroup
	for i := range clients {
		text := i%2 == 0
		query := []string{"?subscribe=*", "?subscribe=request_*", "?message_type=echo"}[i%3]
		c := n.dial(query, map[bool]string{true: ws.ProtocolText, false: ws.ProtocolJSON}[text])
		readers.Go(func() {
			if text {
				for range messages {
					if got := c.read(); !strings.HasSuffix(got, ":ok") {
						t.Error(got)
						return
					}
				}
				return
			}
			c.next("welcome")
			for i, item := range c.notifications(messages) {
				if item.Number != uint64(i+1) {
					t.Errorf("number %d at place %d", item.Number, i+1)
					return
				}
			}
		})
	}
	for i := range messages {
		n.submit("echo", "1", fmt.Sprintf("request_%d", i))
	}
	readers.Wait()
}

func TestGapIsTold(t *testing.T) {
	t.Parallel()
	n := start(t, engine.Config{LogLimit: 5}, ws.Config{})
	live := n.dial("?subscribe=*", ws.ProtocolText)
	for i := range 10 {
		n.submit("echo", "1", fmt.Sprintf("request_%d", i))
		live.read()
	}
	c := n.dial("?subscribe=*&since=2")
	c.next("welcome")
	if gap := c.next("gap"); gap.From != 3 || gap.To != 5 {
		t.Errorf("%+v", gap)
	}
	if items := c.notifications(5); items[0].Number != 6 {
		t.Errorf("%+v", items)
	}
	text := n.dial("?subscribe=*&since=2", ws.ProtocolText)
	if got := text.read(); got != "gap:3-5" {
		t.Error(got)
	}
	other := n.dial("?subscribe=*&since=00000001.2", ws.ProtocolText)
	if got := other.read(); got != "gap" {
		t.Error(got)
	}
}

func TestProgressIsPushed(t *testing.T) {
	t.Parallel()
	n := start(t, engine.Config{}, ws.Config{})
	c := n.dial("?subscribe=request_1")
	c.next("welcome")
	n.submit("sleep", `{"duration":"100ms"}`, "request_1")
	if items := c.next("progress").Items; len(items) != 1 || items[0].Fraction <= 0 || items[0].Fraction > 1 {
		t.Errorf("%+v", items)
	}
}

// rawDial is a client without a library, which reads only when it wants to.
func rawDial(t *testing.T, n *node, query string) (net.Conn, *bufio.Reader) {
	t.Helper()
	conn, err := net.Dial("tcp", n.http.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.(*net.TCPConn).SetReadBuffer(64 << 10); err != nil {
		t.Fatal(err)
	}
	_, err = fmt.Fprintf(conn, "GET /v1/ws%s HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", query, conn.RemoteAddr())
	if err != nil {
		t.Fatal(err)
	}
	reader := bufio.NewReader(conn)
	response, err := http.ReadResponse(reader, nil)
	if err != nil || response.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("%v, %v", response, err)
	}
	return conn, reader
}

// readFrame reads one unmasked frame, as the protocol has it.
func readFrame(r io.Reader) (op byte, payload []byte, err error) {
	var head [2]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	length := uint64(head[1])
	switch length {
	case 126:
		var more [2]byte
		_, err = io.ReadFull(r, more[:])
		length = uint64(binary.BigEndian.Uint16(more[:]))
	case 127:
		var more [8]byte
		_, err = io.ReadFull(r, more[:])
		length = binary.BigEndian.Uint64(more[:])
	}
	if err != nil {
		return 0, nil, err
	}
	payload = make([]byte, length)
	_, err = io.ReadFull(r, payload)
	return head[0], payload, err
}

// A subscriber that does not read costs the others nothing; when it reads, all
// its frames are whole, pongs among them, and nothing is missing.
func TestAStalledSubscriberHarmsNobodyAndMissesNothing(t *testing.T) {
	t.Parallel()
	const messages = 600
	n := start(t, engine.Config{LogLimit: 10 * messages}, ws.Config{})
	conn, reader := rawDial(t, n, "?subscribe=*&since=0")
	live := n.dial("?subscribe=*")
	live.next("welcome")
	data := `"` + strings.Repeat("x", 15<<10) + `"`
	for i := range messages {
		n.submit("echo", data, fmt.Sprintf("request_%d", i))
		live.notifications(1)
		if i%10 == 0 {
			// A masked ping with an empty payload.
			if _, err := conn.Write([]byte{0x89, 0x80, 1, 2, 3, 4}); err != nil {
				t.Fatal(err)
			}
		}
	}
	var numbers []uint64
	pongs := 0
	for len(numbers) < messages {
		if err := conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		op, payload, err := readFrame(reader)
		if err != nil {
			t.Fatalf("after %d notifications: %v", len(numbers), err)
		}
		switch op {
		case 0x8a:
			pongs++
		case 0x89: // the server's own ping
		case 0x81:
			var f frame
			if err := json.Unmarshal(payload, &f); err != nil {
				t.Fatalf("a frame is not whole: %v", err)
			}
			for _, item := range f.Items {
				numbers = append(numbers, item.Number)
				if item.Number != uint64(len(numbers)) {
					t.Fatalf("number %d at place %d", item.Number, len(numbers))
				}
			}
		default:
			t.Fatalf("a frame begins with %x: something landed inside another", op)
		}
	}
	if pongs == 0 {
		t.Error("no pong among them")
	}
}

// A peer that takes no byte for the write timeout is cut, and frees what it held.
func TestAPeerThatTakesNothingIsCut(t *testing.T) {
	t.Parallel()
	n := start(t, engine.Config{}, ws.Config{WriteTimeout: 200 * time.Millisecond})
	rawDial(t, n, "?subscribe=*")
	data := `"` + strings.Repeat("x", 15<<10) + `"`
	deadline := time.Now().Add(20 * time.Second)
	for i := 0; n.sockets.Stats().Connections > 0; i++ {
		if time.Now().After(deadline) {
			t.Fatal("still connected")
		}
		done := make(chan struct{})
		sub, err := n.engine.Subscribe(engine.Selector{ResponseNotification: "request_*"}, engine.Cursor{})
		if err != nil {
			t.Fatal(err)
		}
		go func() { defer close(done); _, _ = sub.Next(context.Background()) }()
		n.submit("echo", data, fmt.Sprintf("request_%d", i))
		<-done
		sub.Close()
	}
}

// A peer that is silent, and answers no ping, is cut.
func TestASilentPeerIsCut(t *testing.T) {
	t.Parallel()
	n := start(t, engine.Config{}, ws.Config{PingInterval: 20 * time.Millisecond})
	conn, reader := rawDial(t, n, "")
	talking := n.dial("?subscribe=*")
	talking.next("welcome")
	answered := make(chan struct{})
	go func() { // a library's client answers pings while it reads
		defer close(answered)
		_, _, _ = talking.conn.Read(context.Background())
	}()
	if err := conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	pings := 0
	for {
		op, _, err := readFrame(reader)
		if err != nil {
			break // cut
		}
		if op == 0x89 {
			pings++
		}
	}
	if pings == 0 {
		t.Error("cut without a ping")
	}
	n.submit("echo", "1", "request_1")
	<-answered
}

// Shutdown: draining is told first, then every outcome arrives, then the close.
func TestShutdownDeliversTheLastOutcomeBeforeTheClose(t *testing.T) {
	t.Parallel()
	n := start(t, engine.Config{Concurrency: 2}, ws.Config{CloseSpread: 50 * time.Millisecond})
	const messages = 40
	clients := make([]*client, 10)
	for i := range clients {
		clients[i] = n.dial("?subscribe=*")
		clients[i].next("welcome")
	}
	bystander := n.dial("")
	for i := range messages {
		n.submit("sleep", `{"duration":"5ms"}`, fmt.Sprintf("request_%d", i))
	}
	var stopping sync.WaitGroup
	stopping.Go(n.stop)
	for _, c := range clients {
		frames := c.closed(websocket.StatusServiceRestart)
		all := strings.Join(frames, "\n")
		if !contains(all, `"op":"draining"`) {
			t.Error("no draining frame")
		}
		if got := strings.Count(all, `:ok"`); got != messages {
			t.Errorf("%d of %d outcomes before the close", got, messages)
		}
	}
	bystander.closed(websocket.StatusServiceRestart)
	stopping.Wait()
	if got := n.sockets.Stats().Connections; got != 0 {
		t.Errorf("%d connections left", got)
	}
}

func TestTenThousandSubscribeFramesAreBounded(t *testing.T) {
	t.Parallel()
	n := start(t, engine.Config{MaxSelectors: 100}, ws.Config{})
	c := n.dial("")
	c.next("welcome")
	var sending sync.WaitGroup
	sending.Go(func() {
		for i := range 10_000 {
			if c.conn.Write(context.Background(), websocket.MessageText, fmt.Appendf(nil, `{"op":"subscribe","response_notification":"p%d"}`, i)) != nil {
				return
			}
		}
	})
	subscribed, refused := 0, 0
	for subscribed+refused < 10_000 {
		if strings.Contains(c.read(), `"op":"subscribed"`) {
			subscribed++
		} else {
			refused++
		}
	}
	sending.Wait()
	if subscribed != 100 || refused != 9_900 {
		t.Errorf("%d subscribed, %d refused", subscribed, refused)
	}
}
