package activemessage_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/coder/websocket"
	"github.com/pb33f/jsonschema/v6"

	"github.com/activemessage/activemessage/engine"
	"github.com/activemessage/activemessage/handlers"
)

// typedNode has a handler that refuses what does not fit, below middleware.
func typedNode(t *testing.T) *node {
	n := newNode(t, nil, engine.Config{})
	plain := func(next engine.Handler) engine.Handler {
		return engine.HandlerFunc(func(ctx context.Context, m *engine.Message) (engine.Result, error) { return next.Handle(ctx, m) })
	}
	n.register("count", engine.Chain(engine.Typed((&handlers.Counter{}).Count), plain), engine.Policy{})
	return n
}

// ask returns an answer's status and body.
func (n *node) ask(t *testing.T, c call) (status int, body []byte) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), c.method, n.URL+c.path, strings.NewReader(c.body))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range c.header {
		r.Header.Set(name, value)
	}
	response, err := n.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if body, err = io.ReadAll(response.Body); err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, body
}

// Whichever way data comes, what does not fit its handler is refused with 422 and a
// pointer at the member.
func TestBadDataIsRefusedAtEveryDoor(t *testing.T) {
	t.Parallel()
	n := typedNode(t)
	event := map[string]string{"Content-Type": jsonType, "Ce-Specversion": "1.0", "Ce-Id": "1", "Ce-Source": "/a", "Ce-Type": "count"}
	structured := `{"specversion":"1.0","id":"1","source":"/a","type":"count","data":{"by":"x"}}`
	inBase64 := base64.StdEncoding.EncodeToString([]byte("no JSON"))
	doors := []struct {
		call
		pointer string
	}{
		{call{method: "POST", path: "/v1/messages", body: `{"message_type":"count","message_data":{"by":"x"}}`, header: asJSON()}, "/message_data/by"},
		{call{method: "POST", path: "/v1/messages", body: `{"message_type":"count","message_data_base64":"` + inBase64 + `"}`, header: asJSON()}, "/message_data"},
		{call{method: "POST", path: "/v1/messages", body: `{"message_type":"count","message_data":{"by":"x"},"idempotency_key":"k"}`, header: asJSON()}, "/message_data/by"},
		{call{method: "POST", path: "/v1/handlers/count", body: `{"by":"x"}`, header: asJSON()}, "/by"},
		{call{method: "POST", path: "/v1/handlers/count", body: `[]`, header: asJSON()}, ""},
		{call{method: "POST", path: "/v1/messages", body: `{"by":"x"}`, header: event}, "/by"},
		{call{method: "POST", path: "/v1/handlers/count", body: `{"by":"x"}`, header: event}, "/by"},
		{call{method: "POST", path: "/v1/messages", body: structured, header: map[string]string{"Content-Type": "application/cloudevents+json"}}, "/data/by"},
	}
	for _, door := range doors {
		door.status, door.code = http.StatusUnprocessableEntity, "invalid_message"
		n.do(t, door.call) // by the contract
		_, body := n.ask(t, door.call)
		if !strings.Contains(string(body), `"errors":[{"pointer":"`+door.pointer+`",`) || strings.Contains(string(body), "int64") {
			t.Errorf("%s %s %s: %s", door.method, door.path, door.body, body)
		}
	}
	for _, batch := range []struct {
		path, contentType, body string
	}{
		{"/v1/messages/batch", jsonType, `[{"message_type":"count","message_data":{"by":"x"}},{"message_type":"count"}]`},
		{"/v1/messages", "application/cloudevents-batch+json", `[` + structured + `,` + strings.Replace(structured, `"x"`, `1`, 1) + `]`},
		{"/v1/handlers/count", "application/cloudevents-batch+json", `[` + structured + `,` + strings.Replace(structured, `"x"`, `1`, 1) + `]`},
	} {
		status, body := n.ask(t, call{method: "POST", path: batch.path, body: batch.body, header: map[string]string{"Content-Type": batch.contentType}})
		if status != http.StatusMultiStatus || !strings.Contains(string(body), `"accepted":1,"refused":1`) || !strings.Contains(string(body), `data/by","detail":"is a JSON string: send an integer of 64 bits"`) {
			t.Errorf("%s %s: %d %s", batch.path, batch.body, status, body)
		}
	}
	conn, _, err := websocket.Dial(t.Context(), n.URL+"/v1/ws", &websocket.DialOptions{Subprotocols: []string{"activemessage.v1.json"}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.CloseNow() }()
	if err := conn.Write(t.Context(), websocket.MessageText, []byte(`{"op":"submit","ref":"1","message_type":"count","message_data":{"by":"x"}}`)); err != nil {
		t.Fatal(err)
	}
	var answers []byte
	for !bytes.Contains(answers, []byte(`"ref":"1"`)) {
		_, frame, err := conn.Read(t.Context())
		if err != nil {
			t.Fatalf("%v after %s", err, answers)
		}
		answers = append(answers, frame...)
	}
	if !strings.Contains(string(answers), `"errors":[{"pointer":"/message_data/by",`) {
		t.Errorf("%s", answers)
	}
	// Twice each door, and the others once.
	if got, expected := n.engine.Stats().Types["count"].Refused[engine.RefusedInvalid], uint64(2*len(doors)+4); got != expected {
		t.Errorf("%d refusals are counted, expected %d", got, expected)
	}
}

// What the published schema refuses is refused, and what it takes is run; lists, and
// handlers without types, have none.
func TestTheSchemaIsPublishedAndHeldTo(t *testing.T) {
	t.Parallel()
	n := typedNode(t)
	n.do(t, call{method: "GET", path: "/v1/handlers/count", status: http.StatusOK}) // by the contract
	_, body := n.ask(t, call{method: "GET", path: "/v1/handlers/count"})
	schemas := make(map[string]*jsonschema.Schema)
	for _, name := range []string{"data_schema", "result_schema"} {
		var members map[string]json.RawMessage
		if err := json.Unmarshal(body, &members); err != nil {
			t.Fatal(err)
		}
		schema, err := jsonschema.UnmarshalJSON(bytes.NewReader(members[name]))
		if err != nil {
			t.Fatalf("%s: %v in %s", name, err, body)
		}
		c := jsonschema.NewCompiler()
		if err := c.AddResource("schema://"+name, schema); err != nil {
			t.Fatal(err)
		}
		if schemas[name], err = c.Compile("schema://" + name); err != nil {
			t.Fatal(err)
		}
	}
	for _, data := range []string{`{}`, `{"by":3}`, `{"by":null}`, `null`, `{"more":[]}`, `{"by":"3"}`, `{"by":1.5}`, `[]`, `1`, `{"by":{}}`} {
		status, body := n.ask(t, call{method: "POST", path: "/v1/handlers/count", body: data, header: map[string]string{"Content-Type": jsonType, "Prefer": "wait=10"}})
		value, err := jsonschema.UnmarshalJSON(strings.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		fault := schemas["data_schema"].Validate(value)
		if (fault == nil) != (status == http.StatusOK) || (fault != nil) != (status == http.StatusUnprocessableEntity) {
			t.Errorf("%s: %d %s, schema %v", data, status, body, fault)
		}
		if status != http.StatusOK {
			continue
		}
		var message struct{ Result json.RawMessage }
		if err := json.Unmarshal(body, &message); err != nil {
			t.Fatal(err)
		}
		result, err := jsonschema.UnmarshalJSON(bytes.NewReader(message.Result))
		if err != nil {
			t.Fatalf("%v in %s", err, body)
		}
		if err := schemas["result_schema"].Validate(result); err != nil {
			t.Errorf("%s: %v", body, err)
		}
	}
	for _, path := range []string{"/v1/handlers", "/v1/handlers/echo"} {
		if _, body := n.ask(t, call{method: "GET", path: path}); strings.Contains(string(body), "_schema") {
			t.Errorf("%s: %s", path, body)
		}
	}
}
