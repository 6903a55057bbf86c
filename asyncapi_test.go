package activemessage_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/activemessage/activemessage"
	"github.com/activemessage/activemessage/engine"
	"github.com/activemessage/activemessage/internal/contract"
	"github.com/activemessage/activemessage/ws"
)

func asyncMessages(t *testing.T) *contract.Messages {
	t.Helper()
	messages, err := contract.NewMessages(activemessage.AsyncAPI())
	if err != nil {
		t.Fatal(err)
	}
	return messages
}

// TestAsyncAPIExamples holds each example against its own schema, which has to be
// closed.
func TestAsyncAPIExamples(t *testing.T) {
	t.Parallel()
	messages := asyncMessages(t)
	for _, message := range messages.All() {
		if message.Name == "" || message.Summary == "" || len(message.Examples) == 0 {
			t.Errorf("%s lacks a name, a summary or an example", message)
		}
		for _, example := range message.Examples {
			if err := messages.Validate(message.Channel, message.Name, example.Payload); err != nil {
				t.Errorf("example %s: %v", example.Name, err)
			}
			surplus := withSurplus(t, example.Payload)
			if messages.Validate(message.Channel, message.Name, surplus) == nil {
				t.Errorf("%s: its schema also allows %s", message, surplus)
			}
		}
	}
}

// withSurplus adds a member to an object that no schema has; a string is put into
// such an object.
func withSurplus(t *testing.T, payload []byte) []byte {
	t.Helper()
	members := make(map[string]any)
	if payload[0] == '{' {
		if err := json.Unmarshal(payload, &members); err != nil {
			t.Fatal(err)
		}
	}
	members["surplus"] = true
	more, err := json.Marshal(members)
	if err != nil {
		t.Fatal(err)
	}
	return more
}

// TestAsyncAPIClientFrames sends the examples of what clients send, each on a
// connection of its own.
func TestAsyncAPIClientFrames(t *testing.T) {
	t.Parallel()
	messages := asyncMessages(t)
	n := newNode(t, nil, engine.Config{})
	for _, message := range messages.All() {
		if message.Sent {
			continue
		}
		for _, example := range message.Examples {
			t.Run(message.Name+"/"+example.Name, func(t *testing.T) {
				l := n.listen(t, messages, message.Channel, "")
				if message.Channel == "work" && message.Name != "hello" {
					l.send(helloFrame)
				}
				l.send(string(example.Payload))
				if len(message.Replies) == 0 {
					l.send(`{"op":"beat","held":[]}`)
					l.await("beaten")
					return
				}
				if answer := l.await(message.Replies...); answer == "error" {
					t.Error("it is refused")
				}
			})
		}
	}
}

// TestAsyncAPILiveMessages has a server say everything it can say, on all streams
// at once, from an old position to the end of the server.
func TestAsyncAPILiveMessages(t *testing.T) {
	t.Parallel()
	messages := asyncMessages(t)
	const kept = 64
	n := newNode(t, nil, engine.Config{LogLimit: kept})
	release := make(chan struct{})
	n.register("large", engine.HandlerFunc(large), engine.Policy{})
	n.register("report", reporter(release), engine.Policy{})
	for range kept + 6 { // so that there is a gap
		n.run("echo", `{}`)
	}
	all := &listeners{
		json:   n.listen(t, messages, "json", "?subscribe=*&since=1"),
		text:   n.listen(t, messages, "text", "?subscribe=*&since=1"),
		events: n.listen(t, messages, "cloudevents", "?subscribe=*&since=1"),
		stream: n.listenToEvents(t, messages, "?since="+otherLog),
		work:   n.listen(t, messages, "work", ""),
	}
	all.json.converse()
	n.workInAllWays(all)
	n.endInAllWays(all)
	n.drainSlowly(all, release)
	for _, message := range messages.Unseen() {
		t.Errorf("%s is documented, and was never sent", message)
	}
}

// otherLog is a cursor of a log that no engine has: their names are odd.
const otherLog = "00000002.5"

// listeners are one of each channel; events has CloudEvents.
type listeners struct{ json, text, events, stream, work *listener }

// helloFrame begins a worker.
const helloFrame = `{"op":"hello","instance":"i1","types":[{"message_type":"work","policy":{"max_attempts":2}}],"window":2,"held":[]}`

// workInAllWays has a worker told everything but the server's end.
func (n *node) workInAllWays(all *listeners) {
	n.t.Helper()
	const lease = `"id":"` + unknown + `","lease":1`
	for _, c := range []struct{ frame, answer string }{
		{helloFrame, "welcome"},
		{`{"op":"ack",` + lease + `}`, "stop"},
		{`{"op":"progress",` + lease + `,"fraction":0.5}`, "stop"},
		{`{"op":"done",` + lease + `}`, "settled"},
		{`{"op":"beat","held":[{` + lease + `}]}`, "beaten"},
		{`{"op":"dance","held":7}`, ""},
	} {
		all.work.send(c.frame)
		if c.answer != "" {
			all.work.await(c.answer)
		}
	}
	for _, s := range []engine.Submission{
		{MessageType: "work", MessageData: []byte("{\n}"), ContentType: jsonType, Key: "k", Metadata: map[string]string{"a": "b"}},
		{MessageType: "work", MessageData: []byte{0, 1}, ContentType: "image/png", Origin: &engine.Origin{
			Traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", Tracestate: "vendor=1",
		}},
	} {
		receipt, err := n.engine.Submit(n.t.Context(), s)
		if err != nil {
			n.t.Fatal(err)
		}
		all.work.await("job")
		all.work.send(`{"op":"done","id":"` + receipt.ID.String() + `","lease":1,"data":[1]}`)
		all.work.await("settled")
	}
}

// listener reads one stream to its end and holds it against asyncapi.yaml.
type listener struct {
	t        *testing.T
	messages *contract.Messages
	channel  string
	conn     *websocket.Conn // nil for an event stream
	// heard is sent the name of each message by the reading goroutine, and closed
	// at the stream's end. It has room for more than a test hears.
	heard chan string
	err   error // with which it ended; set before heard is closed
}

// patience is how long a stream may take to tell all that a test awaits.
const patience = 30 * time.Second

func newListener(t *testing.T, messages *contract.Messages, channel string) *listener {
	return &listener{t: t, messages: messages, channel: channel, heard: make(chan string, 1<<10)}
}

// start runs read, which hears all and returns how the stream ended, on a goroutine
// that the test awaits. After cancel it has to end.
func (l *listener) start(cancel context.CancelFunc, read func() error) {
	go func() {
		defer close(l.heard)
		l.err = read()
	}()
	l.t.Cleanup(func() {
		cancel()
		_ = l.end() // as cancel wants it
	})
}

// end waits until the stream ends, and returns how.
func (l *listener) end() error {
	for range l.heard {
		continue // hear has checked it
	}
	return l.err
}

// hear checks one message.
func (l *listener) hear(name string, payload []byte) {
	if err := l.messages.CheckSent(l.channel, name, payload); err != nil {
		l.t.Errorf("%v\n%s", err, payload)
	}
	l.heard <- name
}

// await passes over messages until one of the names comes.
func (l *listener) await(names ...string) string {
	l.t.Helper()
	for name := range l.heard {
		if slices.Contains(names, name) {
			return name
		}
	}
	l.t.Fatalf("%s: the stream ended before %q: %v", l.channel, names, l.err)
	return ""
}

func (l *listener) send(frame string) {
	l.t.Helper()
	if err := l.conn.Write(l.t.Context(), websocket.MessageText, []byte(frame)); err != nil {
		l.t.Fatal(err)
	}
}

// listen opens a WebSocket.
func (n *node) listen(t *testing.T, messages *contract.Messages, channel, query string) *listener {
	t.Helper()
	l := newListener(t, messages, channel)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	protocol := map[string]string{
		"json": ws.ProtocolJSON, "text": ws.ProtocolText, "cloudevents": ws.ProtocolCloudEvents, "work": ws.ProtocolWork,
	}[channel]
	path := "/v1/ws"
	if channel == "work" {
		path = "/v1/work"
	}
	conn, _, err := websocket.Dial(ctx, n.URL+path+query, &websocket.DialOptions{Subprotocols: []string{protocol}})
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	conn.SetReadLimit(-1)
	l.conn = conn
	l.start(cancel, func() error {
		for {
			_, frame, err := conn.Read(ctx)
			if err != nil {
				return err
			}
			l.hear(identify(channel, frame))
		}
	})
	return l
}

// identify returns a frame's name in asyncapi.yaml and its payload as JSON.
func identify(channel string, frame []byte) (name string, payload []byte) {
	if channel == "text" {
		name = "notification"
		if regexp.MustCompile(`^gap(:[0-9]+-[0-9]+)?$`).Match(frame) {
			name = "gap"
		}
		payload, _ = json.Marshal(string(frame)) // strings always can be
		return name, payload
	}
	var head struct{ Op, Type string }
	_ = json.Unmarshal(frame, &head) // what is no JSON has no name
	switch {
	case channel == "work" && head.Op == "beat":
		return "beaten", frame // a worker's has other members
	case channel == "work" && head.Op == "drain":
		return "draining", frame
	case channel != "cloudevents":
		return head.Op, frame
	}
	return head.Type, frame
}

// listenToEvents opens an event stream.
func (n *node) listenToEvents(t *testing.T, messages *contract.Messages, query string) *listener {
	t.Helper()
	l := newListener(t, messages, "events")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, n.URL+"/v1/notifications"+query, nil)
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	response, err := n.Client().Do(r)
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	l.start(cancel, func() error {
		defer func() { _ = response.Body.Close() }()
		lines := bufio.NewScanner(response.Body)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			l.hearEvent(lines)
		}
		return lines.Err()
	})
	return l
}

// hearEvent reads lines up to an empty one. Those without data are no event.
func (l *listener) hearEvent(lines *bufio.Scanner) {
	event := map[string]string{"event": "message"}
	for lines.Text() != "" {
		field, value, _ := strings.Cut(lines.Text(), ": ")
		event[field] = value
		if !slices.Contains([]string{"", "id", "event", "data", "retry"}, field) {
			l.t.Errorf("the field %q is not documented", field)
		}
		if !lines.Scan() {
			return
		}
	}
	if event["data"] == "" {
		return
	}
	name := event["event"]
	if positioned := name == "message" || name == "gap"; positioned != (event["id"] != "") {
		l.t.Errorf("%s has the id %q", name, event["id"])
	}
	l.hear(name, []byte(event["data"]))
}

// converse sends every kind of request, right and wrong.
func (l *listener) converse() {
	l.t.Helper()
	for _, c := range []struct{ frame, answer string }{
		{`{"op":"subscribe","ref":"1","response_notification":"r*","since":"` + otherLog + `"}`, "subscribed"},
		{`{"op":"subscribe","message_type":"echo"}`, "subscribed"},
		{`{"op":"subscribe","message_id":"` + strings.ToUpper(unknown) + `"}`, "subscribed"},
		{`{"op":"unsubscribe","ref":"1","response_notification":"r*"}`, "unsubscribed"},
		{`{"op":"unsubscribe","message_type":"nobody"}`, "unsubscribed"},
		{`{"op":"ping","ref":"ü \" <"}`, "pong"},
		{`{"op":"ping"}`, "pong"},
		{`{"op":"submit","ref":"1","message_type":"echo","idempotency_key":"k"}`, "accepted"},
		{`{"op":"submit","ref":"2","message_type":"echo","idempotency_key":"k"}`, "accepted"},
		{`{"op":"submit","message_type":"echo","delay":"1h","response_notification":"late"}`, "accepted"},
		{`{"op":"submit","message_type":"echo","message_data":1,"idempotency_key":"k"}`, "error"},
		{`{"op":"submit","message_type":"echo","message_data":"` + strings.Repeat("x", 5<<10) + `"}`, "error"},
		{`{"op":"submit","message_type":"echo","priority":12}`, "error"},
		{`{"op":"submit","message_type":"nobody"}`, "error"},
		{`{"op":"subscribe","ref":"1"}`, "error"},
		{`{"op":"subscribe","response_notification":"*","since":"9999"}`, "error"},
		{`{"op":"ping","ref":"` + strings.Repeat("x", 65) + `"}`, "error"},
		{`{"op":"dance"}`, "error"},
	} {
		l.send(c.frame)
		if got := l.await("subscribed", "unsubscribed", "accepted", "pong", "error"); got != c.answer {
			l.t.Errorf("%.90s is answered with %s, want %s", c.frame, got, c.answer)
		}
	}
}

// large returns more than a notification carries.
func large(context.Context, *engine.Message) (engine.Result, error) {
	return engine.Result{Data: make([]byte, 17<<10), ContentType: "image/png"}, nil
}

// reporter reports progress and goes on when it is released.
func reporter(release <-chan struct{}) engine.Handler {
	return engine.HandlerFunc(func(ctx context.Context, m *engine.Message) (engine.Result, error) {
		m.Progress(0.5, "half")
		select {
		case <-release:
			return engine.Result{}, nil
		case <-ctx.Done():
			return engine.Result{}, ctx.Err()
		}
	})
}

// quickOutcomes are messages that end at once, with every form a notification has.
func quickOutcomes() map[string]engine.Submission {
	return map[string]engine.Submission{
		"JSON":       {MessageType: "echo", MessageData: []byte("{\n}"), ContentType: jsonType},
		"not JSON":   {MessageType: "echo", MessageData: []byte("{"), ContentType: jsonType},
		"bytes":      {MessageType: "echo", MessageData: []byte{0, 1, 2}, ContentType: "image/png"},
		"nothing":    {MessageType: "echo"},
		"large":      {MessageType: "large"},
		"failure":    {MessageType: "fail", MessageData: []byte(`{"message":"a\n(b): \u0000\"*"}`)},
		"no handler": {MessageType: "no body"},
		"CloudEvent": {MessageType: "echo", Origin: &engine.Origin{
			Traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
			Tracestate:  "vendor=1",
			CloudEvent:  &engine.CloudEvent{ID: "A234-1234", Source: "/orders", Type: "echo", Subject: "17", Time: time.Now()},
		}},
		"bare CloudEvent": {MessageType: "echo", Origin: &engine.Origin{
			CloudEvent: &engine.CloudEvent{ID: "A234-1235", Source: "/orders", Type: "com.acme.order"},
		}},
	}
}

// endInAllWays brings messages to every end there is.
func (n *node) endInAllWays(all *listeners) {
	n.t.Helper()
	for name, s := range quickOutcomes() {
		s.ResponseNotification = "request:1"
		if _, err := n.engine.Submit(n.t.Context(), s); err != nil && !errors.Is(err, engine.ErrUnknownType) {
			n.t.Fatalf("%s: %v", name, err)
		}
	}
	running := n.submit("block", "")
	<-n.blocked
	waiting := n.submit("block", "")
	all.json.send(`{"op":"submit","message_type":"block"}`)
	all.json.await("error") // its queue is full
	n.cancel(waiting)
	all.events.await("activemessage.message.cancelled")
	_, err := n.engine.Submit(n.t.Context(), engine.Submission{
		MessageType: "block", ResponseNotification: "request:2", ExpiresAt: time.Now().Add(10 * time.Millisecond),
	})
	if err != nil {
		n.t.Fatal(err)
	}
	all.events.await("activemessage.message.expired")
	n.cancel(running)
	all.events.await("activemessage.message.cancelled")
}

func (n *node) cancel(id string) {
	n.t.Helper()
	parsed, err := engine.ParseID(id)
	if err != nil {
		n.t.Fatal(err)
	}
	if _, err := n.engine.Cancel(parsed); err != nil {
		n.t.Fatal(err)
	}
}

// drainSlowly stops the server while one message runs, and reads all streams to
// their ends.
func (n *node) drainSlowly(all *listeners, release chan<- struct{}) {
	n.t.Helper()
	n.submit("report", "")
	all.json.await("progress")
	all.stream.await("progress")
	ctx, cancel := context.WithTimeout(n.t.Context(), patience)
	defer cancel()
	drained := make(chan error, 1)
	n.sockets.Drain()
	go func() { drained <- n.engine.Drain(ctx) }()
	all.json.await("draining")
	all.stream.await("draining")
	all.work.await("draining")
	all.json.send(`{"op":"submit","message_type":"echo"}`)
	all.json.await("error")
	close(release)
	if err := errors.Join(<-drained, n.sockets.Shutdown(ctx), n.work.Shutdown(ctx), all.stream.end()); err != nil {
		n.t.Error(err)
	}
	for _, l := range []*listener{all.json, all.text, all.events, all.work} {
		if err := l.end(); websocket.CloseStatus(err) != websocket.StatusServiceRestart {
			n.t.Errorf("%s ended with %v", l.channel, err)
		}
	}
}
