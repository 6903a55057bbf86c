package wire_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
	"pgregory.net/rapid"

	"github.com/activemessage/activemessage/engine"
	"github.com/activemessage/activemessage/internal/wire"
)

// drawEvent makes an event of the official SDK.
func drawEvent(t *rapid.T) event.Event {
	// The SDK does not percent-encode headers, as the HTTP binding wants it.
	text := rapid.StringMatching(`[a-zA-Z0-9 äöü/:€+,;-]{1,20}`).Filter(func(s string) bool { return strings.TrimSpace(s) == s })
	e := event.New()
	e.SetID(text.Draw(t, "id"))
	e.SetSource(rapid.StringMatching(`/[a-z0-9]{0,10}`).Draw(t, "source"))
	e.SetType(rapid.StringMatching(`[a-z]{1,10}(\.[a-z]{1,5})?`).Draw(t, "type"))
	if rapid.Bool().Draw(t, "with subject") {
		e.SetSubject(text.Draw(t, "subject"))
	}
	if rapid.Bool().Draw(t, "with time") {
		e.SetTime(time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "time"), 0).UTC())
	}
	if rapid.Bool().Draw(t, "with extension") {
		e.SetExtension("tenant", text.Draw(t, "tenant"))
		e.SetExtension("count", int(rapid.Int32().Draw(t, "count")))
		e.SetExtension("partitionkey", text.Draw(t, "key"))
	}
	var err error
	switch rapid.IntRange(0, 3).Draw(t, "data") {
	case 1:
		err = e.SetData("application/json", map[string]any{"a": text.Draw(t, "member"), "b": []int{1}})
	case 2:
		err = e.SetData("text/plain", []byte(text.Draw(t, "text")))
	case 3:
		err = e.SetData("image/png", rapid.SliceOfN(rapid.Byte(), 1, 20).Draw(t, "bytes"))
	}
	if err != nil || e.Validate() != nil {
		t.Fatal(err, e.Validate())
	}
	return e
}

// same holds our reading of an event against the SDK's event.
func same(t *rapid.T, e event.Event, s engine.Submission, err error) {
	if err != nil {
		t.Fatalf("%v\n%v", err, e)
	}
	got := s.Origin.CloudEvent
	expected := &engine.CloudEvent{ID: e.ID(), Source: e.Source(), Type: e.Type(), Subject: e.Subject(), Time: e.Time()}
	if !reflect.DeepEqual(got, expected) || s.MessageType != e.Type() {
		t.Errorf("%+v, expected %+v", got, expected)
	}
	if !bytes.Equal(s.MessageData, e.Data()) {
		t.Errorf("data %q, expected %q", s.MessageData, e.Data())
	}
	if len(e.Data()) > 0 && s.ContentType != e.DataContentType() {
		t.Errorf("content type %q, expected %q", s.ContentType, e.DataContentType())
	}
	extensions := e.Extensions()
	if tenant, given := extensions["tenant"]; given {
		if s.Metadata["tenant"] != tenant || s.Key != extensions["partitionkey"] || s.Metadata["count"] == "" {
			t.Errorf("%+v, expected %v", s, extensions)
		}
	}
}

// The official SDK is the oracle: what it sends, in each mode, is read as it was
// meant.
func TestCloudEventsOfTheOfficialSDK(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		e := drawEvent(t)
		for name, encoding := range map[string]func(*http.Request) error{
			"binary": func(r *http.Request) error {
				return cehttp.WriteRequest(binding.WithForceBinary(r.Context()), (*binding.EventMessage)(&e), r)
			},
			"structured": func(r *http.Request) error {
				return cehttp.WriteRequest(binding.WithForceStructured(r.Context()), (*binding.EventMessage)(&e), r)
			},
		} {
			r, err := http.NewRequest(http.MethodPost, "http://localhost", nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := encoding(r); err != nil {
				t.Fatal(name, err)
			}
			var body []byte
			if r.Body != nil {
				if body, err = io.ReadAll(r.Body); err != nil {
					t.Fatal(err)
				}
			}
			s, err := wire.DecodeCloudEvent(r.Header, body)
			same(t, e, s, err)
		}
		other := drawEvent(t)
		r, err := cehttp.NewHTTPRequestFromEvents(t.Context(), "http://localhost", []event.Event{e, other})
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(r.Body)
		if err != nil || wire.CloudEventModeOf(r.Header) != wire.BatchCloudEvents {
			t.Fatal(err, r.Header)
		}
		items, err := wire.DecodeCloudEvents(body)
		if err != nil || len(items) != 2 {
			t.Fatal(err, items)
		}
		same(t, e, items[0].Submission, items[0].Err)
		same(t, other, items[1].Submission, items[1].Err)
	})
}

// Our notifications are valid events to the official SDK.
func TestNotificationsAreCloudEvents(t *testing.T) {
	t.Parallel()
	origin := &engine.Origin{
		Traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		CloudEvent:  &engine.CloudEvent{ID: "cause", Source: "/s", Type: "t", Subject: "order 17"},
	}
	for _, n := range []engine.Notification{
		{Number: 1, Time: time.Now(), ID: engine.ID{1}, MessageType: "a", ResponseNotification: "p", State: engine.StateSucceeded},
		{Number: 2, Time: time.Now(), MessageType: "a", State: engine.StateFailed, Error: &engine.Error{Message: "no"}, Origin: origin},
	} {
		var e event.Event
		encoded := wire.AppendCloudEvent(nil, &n)
		if err := json.Unmarshal(encoded, &e); err != nil {
			t.Fatalf("%v: %s", err, encoded)
		}
		if err := e.Validate(); err != nil || e.Type() != "activemessage.message."+string(n.State) || e.ID() != n.Cursor().String() {
			t.Errorf("%v: %s", err, encoded)
		}
		if !bytes.Equal(e.Data(), wire.AppendNotification(nil, &n)) {
			t.Errorf("data %s", e.Data())
		}
		if n.Origin != nil && (e.Subject() != "order 17" || e.Extensions()["causationid"] != "cause" || e.Extensions()["traceparent"] != origin.Traceparent) {
			t.Errorf("%s", encoded)
		}
	}
	var gap event.Event
	encoded := wire.AppendGapEvent(nil, &engine.Gap{From: 1, To: 2, Cursor: engine.CursorAt(2)})
	if err := json.Unmarshal(encoded, &gap); err != nil || gap.Validate() != nil {
		t.Errorf("%v, %v: %s", err, gap.Validate(), encoded)
	}
}

func TestCloudEventsBecomeMessages(t *testing.T) {
	t.Parallel()
	const head = `{"specversion":"1.0","id":"1","source":"/s","type":"echo"`
	for body, check := range map[string]func(engine.Submission) bool{
		head + `,"data":{"a": 1.50}}`: func(s engine.Submission) bool {
			return string(s.MessageData) == `{"a": 1.50}` && s.ContentType == "application/json"
		},
		head + `,"data":"x"}`: func(s engine.Submission) bool { return string(s.MessageData) == `"x"` },
		head + `,"datacontenttype":"text/xml","data":"<a/>"}`: func(s engine.Submission) bool { return string(s.MessageData) == `<a/>` },
		head + `,"datacontenttype":"text/json","data":"x"}`:   func(s engine.Submission) bool { return string(s.MessageData) == `"x"` },
		head + `,"data":1,"data_base64":null}`:                func(s engine.Submission) bool { return string(s.MessageData) == `1` },
		head + `,"data":null}`:                                func(s engine.Submission) bool { return string(s.MessageData) == `null` },
		head + `,"time":"2030-01-01t00:00:00z"}`:              func(s engine.Submission) bool { return s.Origin.CloudEvent.Time.Year() == 2030 },
		head + `,"data_base64":"AAE="}`:                       func(s engine.Submission) bool { return len(s.MessageData) == 2 && s.ContentType == "" },
		head + `,"responsenotification":"p","priority":-3,"maxattempts":"2","delay":"1h","idempotencykey":"k"}`: func(s engine.Submission) bool {
			return s.ResponseNotification == "p" && s.Priority == -3 && s.MaxAttempts == 2 && s.Delay == time.Hour && s.IdempotencyKey == "k" && s.Metadata == nil
		},
		head + `,"expirytime":"2030-01-01T00:00:00Z","dataschema":"/x","flag":true,"unset":null}`: func(s engine.Submission) bool {
			return s.ExpiresAt.Year() == 2030 && s.Metadata["dataschema"] == "/x" && s.Metadata["flag"] == "true" && len(s.Metadata) == 2
		},
		head + `,"traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}`: func(s engine.Submission) bool {
			return strings.HasPrefix(s.Origin.Traceparent, "00-0af")
		},
		head + `,"traceparent":"nonsense"}`: func(s engine.Submission) bool { return s.Origin.Traceparent == "" },
	} {
		s, err := wire.DecodeCloudEvent(http.Header{"Content-Type": {"Application/CloudEvents+JSON; charset=utf-8"}}, []byte(body))
		if err != nil || !check(s) {
			t.Errorf("%s: %+v, %v", body, s, err)
		}
	}
}

func TestCloudEventHeadersAreDecoded(t *testing.T) {
	t.Parallel()
	for value, expected := range map[string]string{
		"plain":               "plain",
		"Euro%20%E2%82%AC":    "Euro €",
		`"quoted \"%22\" "`:   `quoted """ `,
		`"\a\\"`:              `a\`,
		"100% of it, as sent": "100% of it, as sent",
	} {
		h := http.Header{"Ce-Specversion": {"1.0"}, "Ce-Id": {"1"}, "Ce-Source": {"/s"}, "Ce-Type": {"echo"}, "Ce-Subject": {value}, "Content-Type": {"image/png"}}
		s, err := wire.DecodeCloudEvent(h, []byte("data"))
		if err != nil || s.Origin.CloudEvent.Subject != expected || string(s.MessageData) != "data" || s.ContentType != "image/png" {
			t.Errorf("%s: %+v, %v", value, s, err)
		}
	}
}

func TestBadCloudEventsSayWhatToChange(t *testing.T) {
	t.Parallel()
	structured := http.Header{"Content-Type": {"application/cloudevents+json"}}
	binary := func(pairs ...string) http.Header {
		h := http.Header{"Ce-Specversion": {"1.0"}, "Ce-Id": {"1"}, "Ce-Source": {"/s"}, "Ce-Type": {"echo"}}
		for i := 0; i < len(pairs); i += 2 {
			h[pairs[i]] = []string{pairs[i+1]}
		}
		return h
	}
	for _, c := range []struct {
		header        http.Header
		body, pointer string
	}{
		{structured, `[]`, ""},
		{structured, `{"id":"1","source":"/","type":"a"}`, "/specversion"},
		{structured, `{"specversion":"0.3","id":"1","source":"/","type":"a"}`, "/specversion"},
		{structured, `{"specversion":"1.0","source":"/","type":"a"}`, "/id"},
		{structured, `{"specversion":"1.0","id":"","source":"/","type":"a"}`, "/id"},
		{structured, `{"specversion":"1.0","id":"1","id":"2","source":"/","type":"a"}`, ""},
		{structured, `{"specversion":"1.0","id":"1","source":"/","type":"a","time":"now"}`, "/time"},
		{structured, `{"specversion":"1.0","id":"1","source":"/","type":"a","ext":{}}`, "/ext"},
		{structured, `{"specversion":"1.0","id":"1","source":"/","type":"a","ext":1.5}`, "/ext"},
		{structured, `{"specversion":"1.0","id":"1","source":"/","type":"a","a/b~c":1}`, "/a~1b~0c"},
		{structured, `{"specversion":"1.0","id":true,"source":"/","type":"a"}`, "/id"},
		{structured, `{"specversion":"1.0","id":"1","source":7,"type":"a"}`, "/source"},
		{structured, `{"specversion":"1.0","id":"1","source":"/","type":"a","data_base64":true}`, "/data_base64"},
		{structured, `{"specversion":"1.0","id":"1","source":"/","type":"a","Ext":1}`, "/Ext"},
		{structured, `{"specversion":"1.0","id":"1","source":"/","type":"a","data":1,"data_base64":""}`, "/data_base64"},
		{structured, `{"specversion":"1.0","id":"1","source":"/","type":"a","data_base64":"!"}`, "/data_base64"},
		{structured, `{"specversion":"1.0","id":"1","source":"/","type":"a","priority":"high"}`, "/priority"},
		{structured, `{"specversion":"1.0","id":5,"source":"/","type":"a"}`, "/id"},
		{structured, `{"specversion":"1.0","id":"1","source":"/","type":true}`, "/type"},
		{structured, `{"specversion":"1.0","id":"1","source":"/","type":"a","subject":""}`, "/subject"},
		{structured, `{"specversion":"1.0","id":"1","source":"/","type":"a","time":""}`, "/time"},
		{structured, `{"specversion":"1.0","id":"1","source":"/","type":"a","ext":2147483648}`, "/ext"},
		{structured, `{"specversion":"1.0","id":"1","source":"/","type":"a","ext":"a\u0007"}`, "/ext"},
		{structured, `{"specversion":"1.0","id":"1","source":"/","type":"a","a/b~":"x"}`, "/a~1b~0"},
		{structured, `{"specversion":"1.0","id":"1","source":"/","type":"a","":"x"}`, "/"},
		{structured, `{"specversion":"1.0","id":"1","source":"/","type":"a","key":"a","partitionkey":"a"}`, "/partitionkey"},
		{structured, `{"specversion":"1.0","id":"1","source":"/","type":"a","expiresat":"2030-01-01T00:00:00Z","expirytime":"2031-01-01T00:00:00Z"}`, "/expirytime"},
		{structured, `{"specversion":"1.0","id":"1","source":"/","type":"a","zz":{},"aa":{}}`, "/aa"},
		{binary("Ce-Id", ""), "", "ce-id"},
		{binary("Ce-My_tenant", "a"), "", "ce-my_tenant"},
		{binary("Ce-", "a"), "", "ce-"},
		{binary("Ce-Data", "a"), "", "ce-data"},
		{binary("Ce-Datacontenttype", "a"), "", "ce-datacontenttype"},
		{binary("Ce-Subject", "%FF"), "", "ce-subject"},
		{binary("Ce-Delay", "soon"), "", "ce-delay"},
	} {
		_, err := wire.DecodeCloudEvent(c.header, []byte(c.body))
		problem, ok := errors.AsType[*wire.Problem](err)
		if !ok || c.pointer != "" && (len(problem.Errors) != 1 || problem.Errors[0].Pointer != c.pointer) {
			t.Errorf("%v %s: %v, %+v, expected %s", c.header, c.body, err, problem, c.pointer)
		}
	}
}

func TestWhatTheEngineRefusesOfAnEventPointsAtItsAttribute(t *testing.T) {
	t.Parallel()
	refused := func(field string) error { return &engine.InvalidError{Field: field, Reason: "is wrong"} }
	for _, c := range []struct {
		mode           wire.CloudEventMode
		field, pointer string
	}{
		{wire.StructuredCloudEvent, "message_type", "/type"},
		{wire.BatchCloudEvents, "max_attempts", "/maxattempts"},
		{wire.BinaryCloudEvent, "idempotency_ttl", "ce-idempotencyttl"},
		{wire.StructuredCloudEvent, "metadata", ""},
		{wire.NoCloudEvent, "max_attempts", "/max_attempts"},
	} {
		problem := wire.ProblemFor(c.mode.AtAttribute(refused(c.field)))
		if problem.Code != "invalid_message" || len(problem.Errors) != 1 || problem.Errors[0] != (wire.FieldError{Pointer: c.pointer, Detail: "is wrong"}) {
			t.Errorf("%+v: %+v", c, problem)
		}
	}
	if err := wire.StructuredCloudEvent.AtAttribute(engine.ErrDraining); !errors.Is(err, engine.ErrDraining) {
		t.Error(err)
	}
}

// FuzzDecodeCloudEvent: what we accept, the official SDK accepts, with the same
// attributes and data.
func FuzzDecodeCloudEvent(f *testing.F) {
	f.Add([]byte(`{"specversion":"1.0","id":"1","source":"/s","type":"echo","data":{"a":1},"ext":7}`))
	f.Add([]byte(`{"specversion":"1.0","id":"1","source":"/s","type":"echo","datacontenttype":"text/plain","data_base64":"` + base64.StdEncoding.EncodeToString([]byte("é")) + `"}`))
	header := http.Header{"Content-Type": {"application/cloudevents+json"}}
	f.Fuzz(func(t *testing.T, body []byte) {
		s, err := wire.DecodeCloudEvent(header, body)
		if err != nil {
			problem, ok := errors.AsType[*wire.Problem](err)
			if !ok || !json.Valid(problem.AppendJSON(nil)) {
				t.Errorf("refused with %v", err)
			}
			return
		}
		var e event.Event
		if err := json.Unmarshal(body, &e); err != nil {
			return // the SDK refuses more: sources that are no URI references, times with blanks
		}
		expected := engine.CloudEvent{ID: e.ID(), Source: e.Source(), Type: e.Type(), Subject: e.Subject(), Time: s.Origin.CloudEvent.Time}
		if *s.Origin.CloudEvent != expected || !s.Origin.CloudEvent.Time.Equal(e.Time()) || e.Type() != s.MessageType {
			t.Errorf("%s reads as %+v", body, s)
		}
	})
}

// FuzzCloudEventHeaders: no header crashes, and every refusal can be told.
func FuzzCloudEventHeaders(f *testing.F) {
	f.Add("ce-id", `"a%20b\""`, "ce-ext", "%C3%A9")
	f.Fuzz(func(t *testing.T, name, value, other, otherValue string) {
		h := http.Header{"Ce-Specversion": {"1.0"}, "Ce-Id": {"1"}, "Ce-Source": {"/s"}, "Ce-Type": {"echo"}}
		h.Set(name, value)
		h.Set(other, otherValue)
		_, err := wire.DecodeCloudEvent(h, nil)
		if problem, ok := errors.AsType[*wire.Problem](err); err != nil && (!ok || !json.Valid(problem.AppendJSON(nil))) {
			t.Errorf("refused with %v", err)
		}
	})
}
