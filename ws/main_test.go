package ws_test

import (
	"context"
	"encoding/json"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"go.uber.org/goleak"

	"github.com/activemessage/activemessage/engine"
	"github.com/activemessage/activemessage/handlers"
	"github.com/activemessage/activemessage/internal/contract"
	"github.com/activemessage/activemessage/ws"
)

// TestMain fails the package if a test leaves a goroutine behind. As the
// benchmarks' clients, it is those instead.
func TestMain(m *testing.M) {
	if count, err := strconv.Atoi(os.Getenv(benchClients)); err == nil {
		_ = runClients(count, os.Getenv(benchAddress)) // until the benchmark ends
		os.Exit(1)
	}
	goleak.VerifyTestMain(m)
}

// node is an engine with its WebSockets on a real listener.
type node struct {
	t       testing.TB
	engine  *engine.Engine
	sockets *ws.Server
	http    *httptest.Server
	stopped bool
}

func start(t testing.TB, engineConfig engine.Config, cfg ws.Config) *node {
	t.Helper()
	e, err := engine.New(engineConfig)
	if err != nil {
		t.Fatal(err)
	}
	if err := handlers.RegisterExamples(e); err != nil {
		t.Fatal(err)
	}
	if cfg.CloseSpread == 0 {
		cfg.CloseSpread = time.Millisecond
	}
	sockets := ws.New(e, cfg)
	n := &node{t: t, engine: e, sockets: sockets, http: httptest.NewServer(contract.Handler(t, sockets))}
	t.Cleanup(n.stop)
	return n
}

// stop takes the node down as a server does.
func (n *node) stop() {
	if n.stopped {
		return
	}
	n.stopped = true
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	n.sockets.Drain()
	if err := n.engine.Drain(ctx); err != nil {
		n.t.Errorf("drain: %v", err)
	}
	if err := n.sockets.Shutdown(ctx); err != nil {
		n.t.Errorf("shutdown: %v", err)
	}
	n.http.Close()
}

func (n *node) submit(messageType, data, prefix string) engine.Receipt {
	n.t.Helper()
	receipt, err := n.engine.Submit(context.Background(), engine.Submission{
		MessageType: messageType, MessageData: []byte(data), ContentType: "application/json", ResponseNotification: prefix,
	})
	if err != nil {
		n.t.Fatal(err)
	}
	return receipt
}

// client is a WebSocket client of a node.
type client struct {
	t    testing.TB
	conn *websocket.Conn
}

func (n *node) dial(query string, protocols ...string) *client {
	n.t.Helper()
	conn, _, err := websocket.Dial(context.Background(), n.http.URL+"/v1/ws"+query, &websocket.DialOptions{Subprotocols: protocols})
	if err != nil {
		n.t.Fatal(err)
	}
	conn.SetReadLimit(-1)
	n.t.Cleanup(func() { _ = conn.CloseNow() })
	return &client{n.t, conn}
}

func (c *client) read() string {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	_, data, err := c.conn.Read(ctx)
	if err != nil {
		c.t.Fatal(err)
	}
	return string(data)
}

// frame is any frame of the server.
type frame struct {
	Op, Ref, Cursor, Protocol, ID, State, Durability, Code, Detail string
	Status                                                         int
	From, To                                                       uint64
	Items                                                          []item
}

type item struct {
	Number       uint64
	Notification string
	OK           bool
	Fraction     float64
	Result       json.RawMessage
}

// next returns the next frame, which has to be of the given op.
func (c *client) next(op string) frame {
	c.t.Helper()
	text := c.read()
	var f frame
	if err := json.Unmarshal([]byte(text), &f); err != nil {
		c.t.Fatalf("%q: %v", text, err)
	}
	if f.Op != op {
		c.t.Fatalf("got %s, expected op %q", text, op)
	}
	return f
}

// notifications returns the next n items, whatever frames they come in.
func (c *client) notifications(n int) []item {
	c.t.Helper()
	var items []item
	for len(items) < n {
		items = append(items, c.next("notifications").Items...)
	}
	if len(items) > n {
		c.t.Fatalf("%d items, expected %d", len(items), n)
	}
	return items
}

func (c *client) send(text string) {
	c.t.Helper()
	if err := c.conn.Write(context.Background(), websocket.MessageText, []byte(text)); err != nil {
		c.t.Fatal(err)
	}
}

// closed reads until the server closes, and checks with which code.
func (c *client) closed(expected websocket.StatusCode) (frames []string) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for {
		_, data, err := c.conn.Read(ctx)
		if err != nil {
			if got := websocket.CloseStatus(err); got != expected {
				c.t.Errorf("closed with %v (%v), expected %v", got, err, expected)
			}
			return frames
		}
		frames = append(frames, string(data))
	}
}

func contains(text string, parts ...string) bool {
	for _, part := range parts {
		if !strings.Contains(text, part) {
			return false
		}
	}
	return true
}
