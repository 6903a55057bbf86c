package contract_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/activemessage/activemessage"
	"github.com/activemessage/activemessage/internal/contract"
)

// TestMessageFaults plants faults, to prove that each of them is found.
func TestMessageFaults(t *testing.T) {
	t.Parallel()
	messages, err := contract.NewMessages(activemessage.AsyncAPI())
	if err != nil {
		t.Fatal(err)
	}
	const (
		cursor = `"cursor":"5f0c91ab.17"`
		failed = `{"number":1,"time":"2026-11-24T18:00:00.000001Z","id":"0197f9c2-5a3b-7c41-9d2e-6f1a2b3c4d5e","message_type":"fail",` +
			`"response_notification":"r","notification":"r:err(x)","ok":false,"state":"failed","error":{"code":"c","message":"x"}}`
	)
	for name, c := range map[string]struct {
		channel, message, payload string
		ok                        bool
	}{
		"right":             {"json", "gap", `{"op":"gap",` + cursor + `}`, true},
		"right numbers":     {"json", "gap", `{"op":"gap","from":1,"to":2,` + cursor + `}`, true},
		"half the numbers":  {"json", "gap", `{"op":"gap","from":1,` + cursor + `}`, false},
		"other op":          {"json", "gap", `{"op":"pong",` + cursor + `}`, false},
		"surplus member":    {"json", "gap", `{"op":"gap","x":1,` + cursor + `}`, false},
		"missing member":    {"json", "gap", `{"op":"gap"}`, false},
		"no cursor":         {"json", "gap", `{"op":"gap","cursor":"17"}`, false},
		"no JSON":           {"json", "gap", `gap`, false},
		"unknown message":   {"json", "dance", `{}`, false},
		"unknown channel":   {"mqtt", "gap", `{}`, false},
		"a client's":        {"json", "ping", `{"op":"ping"}`, false},
		"right outcome":     {"events", "message", failed, true},
		"ok, yet an error":  {"events", "message", strings.Replace(failed, "false", "true", 1), false},
		"failed, no error":  {"events", "message", strings.Replace(failed, `,"error":{"code":"c","message":"x"}`, "", 1), false},
		"failed, a result":  {"events", "message", strings.Replace(failed, `"error"`, `"result":1,"error"`, 1), false},
		"not yet an ending": {"events", "message", strings.Replace(failed, `"failed"`, `"running"`, 1), false},
		"no time":           {"events", "message", strings.Replace(failed, "2026-11-24", "2026-13-24", 1), false},
		"local time":        {"events", "message", strings.Replace(failed, "001Z", "001+02:00", 1), false},
		"id of version 4":   {"events", "message", strings.Replace(failed, "-7c41", "-4c41", 1), false},
	} {
		if err := messages.CheckSent(c.channel, c.message, []byte(c.payload)); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
	unseen := messages.Unseen()
	if slices.Contains(unseen, "json gap") || !slices.Contains(unseen, "json welcome") || slices.Contains(unseen, "json ping") {
		t.Errorf("unseen: %q", unseen)
	}
}

// TestMessageDocuments has documents that say less than they have to.
func TestMessageDocuments(t *testing.T) {
	t.Parallel()
	document := string(activemessage.AsyncAPI())
	for name, broken := range map[string]string{
		"no YAML":            "\t{",
		"no operation":       strings.Replace(document, "      - {$ref: '#/channels/json/messages/welcome'}\n", "", 1),
		"two directions":     strings.Replace(document, "messages: [{$ref: '#/channels/json/messages/ping'}]", "messages: [{$ref: '#/channels/json/messages/pong'}]", 1),
		"no such schema":     strings.Replace(document, "payload: {$ref: '#/components/schemas/Gap'}", "payload: {$ref: '#/components/schemas/Hole'}", 1),
		"two of one name":    strings.Replace(document, "name: pong", "name: welcome", 1),
		"a schema that errs": strings.Replace(document, "type: string, const: ping", "type: text, const: ping", 1),
	} {
		if broken == document {
			t.Errorf("%s: the document no longer has what is replaced", name)
		}
		if _, err := contract.NewMessages([]byte(broken)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
