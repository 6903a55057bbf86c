package wire_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/activemessage/activemessage/engine"
	"github.com/activemessage/activemessage/internal/wire"
)

func TestDecodeSubmission(t *testing.T) {
	t.Parallel()
	for body, expected := range map[string]engine.Submission{
		`{"message_type":"a"}`:                                                          {MessageType: "a"},
		`{"message_type":"a","message_data":{"x": [1, 2.50]}}`:                          {MessageType: "a", MessageData: []byte(`{"x": [1, 2.50]}`), ContentType: "application/json"},
		`{"message_type":"a","message_data":null}`:                                      {MessageType: "a", MessageData: []byte(`null`), ContentType: "application/json"},
		`{"message_type":"a","message_data_base64":"AAE="}`:                             {MessageType: "a", MessageData: []byte{0, 1}, ContentType: "application/octet-stream"},
		` {"message_type":"a","content_type":"x/y","message_data_base64":"","key":"k"}`: {MessageType: "a", ContentType: "x/y", Key: "k"},
	} {
		got, err := wire.DecodeSubmission([]byte(body), false)
		if err != nil || got.MessageType != expected.MessageType || string(got.MessageData) != string(expected.MessageData) ||
			got.ContentType != expected.ContentType || got.Key != expected.Key {
			t.Errorf("%s: %+v, %v", body, got, err)
		}
	}
}

func TestBadSubmissionsSayWhatToChange(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ body, code, pointer, detail string }{
		{``, "malformed_json", "", "empty"},
		{`[]`, "malformed_json", "", "not an object"},
		{`{"message_type":"a"`, "malformed_json", "", "ends too early"},
		{`{"message_type":"a"} x`, "malformed_json", "", "byte"},
		{`{"message_type":"a","message_type":"b"}`, "malformed_json", "", "twice"},
		{"{\"message_type\":\"\xff\"}", "malformed_json", "", "UTF-8"},
		{`{"message_data":` + strings.Repeat("[", 70) + strings.Repeat("]", 70) + `}`, "malformed_json", "", "64"},
		{`{}`, "invalid_message", "/message_type", "missing"},
		{`{"messageType":"a"}`, "invalid_message", "/messageType", "message_type"},
		{`{"message_type":7}`, "invalid_message", "/message_type", "string"},
		{`{"message_type":"a","priority":"high"}`, "invalid_message", "/priority", "integer"},
		{`{"message_type":"a","metadata":{"a":1}}`, "invalid_message", "/metadata/a", "string"},
		{`{"message_type":"a","message_data":1,"message_data_base64":""}`, "invalid_message", "/message_data_base64", "together"},
		{`{"message_type":"a","message_data_base64":"!"}`, "invalid_message", "/message_data_base64", "base64"},
	} {
		_, err := wire.DecodeSubmission([]byte(c.body), false)
		problem, ok := errors.AsType[*wire.Problem](err)
		if !ok || problem.Code != c.code || !strings.Contains(problem.Detail, c.detail) {
			t.Errorf("%.60s: %v, expected %s about %q", c.body, err, c.code, c.detail)
			continue
		}
		if c.pointer != "" && (len(problem.Errors) != 1 || problem.Errors[0].Pointer != c.pointer) {
			t.Errorf("%.60s: points at %v, expected %s", c.body, problem.Errors, c.pointer)
		}
	}
}

func TestNotificationResults(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		result   engine.Result
		expected string
	}{
		{engine.Result{Data: []byte(`{"a":1}`), ContentType: "application/json"}, `"result":{"a":1}`},
		{engine.Result{Data: []byte(`{"a":`), ContentType: "application/json"}, `"result_base64":"eyJhIjo="`},
		{engine.Result{Data: []byte("\x00"), ContentType: "image/png"}, `"result_base64":"AA=="`},
		{engine.Result{Data: make([]byte, wire.MaxInlineResult+1)}, `"result_url":"/v1/messages/`},
	} {
		n := engine.Notification{Number: 1, State: engine.StateSucceeded, MessageType: "a", ResponseNotification: "p\"<é", Result: c.result}
		got := wire.AppendNotification(nil, &n)
		if !json.Valid(got) || !strings.Contains(string(got), c.expected) {
			t.Errorf("%s, expected %s", got, c.expected)
		}
	}
}

// FuzzDecodeSubmission: what is accepted is valid UTF-8 and keeps its meaning.
func FuzzDecodeSubmission(f *testing.F) {
	f.Add([]byte(`{"message_type":"a","message_data":{"x":1},"priority":-3,"metadata":{"a":"b"}}`))
	f.Add([]byte(`{"message_type":"\u0000","message_data_base64":"AAE="}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		s, err := wire.DecodeSubmission(body, false)
		if err != nil {
			problem, ok := errors.AsType[*wire.Problem](err)
			if !ok || problem.Detail == "" || !json.Valid(problem.AppendJSON(nil)) {
				t.Errorf("refused with %v", err)
			}
			return
		}
		if !utf8.Valid(body) {
			t.Error("accepted what is not UTF-8")
		}
		var reference struct {
			MessageType string          `json:"message_type"`
			MessageData json.RawMessage `json:"message_data"`
			Priority    int             `json:"priority"`
		}
		if err := json.Unmarshal(body, &reference); err != nil {
			t.Fatalf("accepted what encoding/json refuses: %v", err)
		}
		if s.MessageType != reference.MessageType || s.Priority != reference.Priority ||
			len(reference.MessageData) > 0 && string(s.MessageData) != string(reference.MessageData) {
			t.Errorf("%s reads as %+v", body, s)
		}
	})
}

// FuzzDecodeFrame: no frame crashes, and every refusal can be told.
func FuzzDecodeFrame(f *testing.F) {
	f.Add([]byte(`{"op":"subscribe","ref":"1","response_notification":"a*","since":"0"}`))
	f.Add([]byte(`{"op":"subscribe","message_id":"0197f9c2-5a3b-7c41-9d2e-6f1a2b3c4d5e"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		_, err := wire.DecodeFrame(data)
		if problem, ok := errors.AsType[*wire.Problem](err); err != nil && (!ok || !json.Valid(problem.AppendJSON(nil))) {
			t.Errorf("refused with %v", err)
		}
	})
}
