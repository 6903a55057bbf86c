package wire

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/activemessage/activemessage/engine"
)

// CloudEventMode is how a request carries CloudEvents (CloudEvents 1.0.2, HTTP
// binding, section 3).
type CloudEventMode int

// The modes.
const (
	NoCloudEvent CloudEventMode = iota
	BinaryCloudEvent
	StructuredCloudEvent
	BatchCloudEvents
)

// CloudEventModeOf tells by a request's headers.
func CloudEventModeOf(h http.Header) CloudEventMode {
	contentType := h.Get("Content-Type")
	if contentType != "application/json" {
		switch media, _, _ := mime.ParseMediaType(contentType); media {
		case "application/cloudevents+json":
			return StructuredCloudEvent
		case "application/cloudevents-batch+json":
			return BatchCloudEvents
		}
	}
	if h["Ce-Specversion"] != nil {
		return BinaryCloudEvent
	}
	return NoCloudEvent
}

// DecodeCloudEvent reads a CloudEvent in structured or binary mode as a message:
// its type names the handler, its data is the message data, and extension
// attributes are options or become metadata. The error is a *Problem.
func DecodeCloudEvent(h http.Header, body []byte) (engine.Submission, error) {
	if CloudEventModeOf(h) == StructuredCloudEvent {
		return decodeStructured(body)
	}
	return decodeBinary(h, body)
}

// DecodeCloudEvents reads a batch. A bad element is its Item's error, with pointers
// that begin at the element; the error is the *Problem of a body that is no array.
func DecodeCloudEvents(body []byte) ([]Item, error) {
	elements, err := splitArray(body)
	if err != nil {
		return nil, err
	}
	items := make([]Item, len(elements))
	for i, element := range elements {
		items[i].Submission, items[i].Err = decodeStructured(element)
	}
	return items, nil
}

// event is a CloudEvent whose attributes are in their string form.
type event struct {
	attributes map[string]string
	data       []byte
	// locate says where an attribute stands, for who has to mend it.
	locate func(attribute string) string
}

// wrong is the problem of one attribute.
func (e *event) wrong(attribute, reason string) *Problem {
	return NewProblem("invalid_message", "CloudEvent attribute "+attribute+": "+reason, FieldError{e.locate(attribute), reason})
}

// decodeStructured reads the JSON format, section 3.
func decodeStructured(body []byte) (engine.Submission, error) {
	members, err := readMembers(body)
	if err != nil {
		return engine.Submission{}, err
	}
	e := &event{attributes: make(map[string]string), locate: func(attribute string) string { return "/" + attribute }}
	data, inBase64 := members["data"], members["data_base64"]
	delete(members, "data")
	delete(members, "data_base64")
	for name, value := range members {
		if value.Kind() == 'n' {
			continue // unset
		}
		text, reason := attributeText(name, value)
		if reason != "" {
			return engine.Submission{}, e.wrong(name, reason)
		}
		e.attributes[name] = text
	}
	if err := e.setData(data, inBase64); err != nil {
		return engine.Submission{}, err
	}
	return e.submission()
}

// readMembers reads a JSON object. The error is a *Problem.
func readMembers(body []byte) (map[string]jsontext.Value, error) {
	members := make(map[string]jsontext.Value)
	if err := decode(body, &members, "", true); err != nil {
		return nil, err
	}
	return members, nil
}

// attributeText returns an attribute in its string form (CloudEvents 1.0.2,
// section 3.1), or what is wrong with it.
func attributeText(name string, value jsontext.Value) (text, reason string) {
	for _, c := range []byte(name) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return "", "is no attribute's name: use lower-case letters and digits"
		}
	}
	switch value.Kind() {
	case '"':
		unquoted, err := jsontext.AppendUnquote(nil, value)
		if err != nil {
			return "", "is not a valid string"
		}
		return string(unquoted), ""
	case 't', 'f':
		return string(value), ""
	case '0':
		if bytes.ContainsAny(value, ".eE") {
			return "", "is a number that is not an integer: send it as a string"
		}
		return string(value), ""
	}
	return "", "is a JSON " + kindName(value.Kind()) + ": an attribute is a string, an integer, true or false"
}

// setData reads the members data and data_base64.
func (e *event) setData(data, inBase64 jsontext.Value) error {
	switch {
	case data != nil && inBase64 != nil:
		return e.wrong("data_base64", "cannot be given together with data: remove one of them")
	case inBase64 != nil:
		text, reason := attributeText("", inBase64)
		decoded, err := base64.StdEncoding.DecodeString(text)
		if reason != "" || err != nil {
			return e.wrong("data_base64", "is not standard base64 with padding (RFC 4648, section 4)")
		}
		e.data = decoded
	case data == nil:
	default:
		e.data = data
		contentType := e.attributes["datacontenttype"]
		if contentType == "" {
			e.attributes["datacontenttype"] = "application/json"
		} else if !isJSON(contentType) && data.Kind() == '"' {
			text, _ := attributeText("", data)
			e.data = []byte(text)
		}
	}
	return nil
}

// decodeBinary reads attributes from headers (HTTP binding, section 3.1). The body
// is the data.
func decodeBinary(h http.Header, body []byte) (engine.Submission, error) {
	e := &event{
		attributes: make(map[string]string),
		data:       body,
		locate:     func(attribute string) string { return "ce-" + attribute },
	}
	for header, values := range h {
		name, is := strings.CutPrefix(strings.ToLower(header), "ce-")
		if !is {
			continue
		}
		if len(values) > 1 {
			return engine.Submission{}, e.wrong(name, "is given more than once")
		}
		e.attributes[name] = headerText(values[0])
	}
	if contentType := h.Get("Content-Type"); contentType != "" {
		e.attributes["datacontenttype"] = contentType
	}
	return e.submission()
}

// headerText decodes a header's value (section 3.1.3.2): out of its quotes, then
// out of percent-encoding. A value that is not encoded is taken as it is: the
// official Go SDK sends such.
func headerText(value string) string {
	if len(value) > 1 && value[0] == '"' && value[len(value)-1] == '"' {
		value = strings.NewReplacer(`\\`, `\`, `\"`, `"`).Replace(value[1 : len(value)-1])
	}
	if decoded, err := url.PathUnescape(value); err == nil {
		return decoded
	}
	return value
}

// take returns an attribute and removes it, so that those left are extensions.
func (e *event) take(name string) string {
	value := e.attributes[name]
	delete(e.attributes, name)
	return value
}

// submission makes the message of the event.
func (e *event) submission() (engine.Submission, error) {
	s := engine.Submission{MessageData: e.data, ContentType: e.take("datacontenttype")}
	if version, given := e.attributes["specversion"]; !given {
		return s, e.wrong("specversion", `is missing: send "1.0"`)
	} else if version != "1.0" {
		return s, e.wrong("specversion", fmt.Sprintf(`is %.20q: only "1.0" is spoken here`, version))
	}
	for _, name := range []string{"id", "source", "type"} {
		if e.attributes[name] == "" {
			return s, e.wrong(name, "is missing or empty")
		}
	}
	delete(e.attributes, "specversion")
	context := &engine.CloudEvent{ID: e.take("id"), Source: e.take("source"), Type: e.take("type"), Subject: e.take("subject")}
	if text := e.take("time"); text != "" {
		if reason := ParseTime(&context.Time, text); reason != "" {
			return s, e.wrong("time", reason)
		}
	}
	s.MessageType = context.Type
	s.Origin = &engine.Origin{Traceparent: e.take("traceparent"), Tracestate: e.take("tracestate"), CloudEvent: context}
	if !engine.ValidTraceparent(s.Origin.Traceparent) || !engine.ValidTracestate(s.Origin.Tracestate) {
		s.Origin.Traceparent, s.Origin.Tracestate = "", "" // as W3C Trace Context has it
	}
	return s, e.setOptions(&s)
}

// setOptions reads extension attributes: those of CloudEvents' own extensions, the
// options of a message, whose names have no underscores here, and the rest.
func (e *event) setOptions(s *engine.Submission) error {
	options := map[string]string{"partitionkey": "key", "expirytime": "expires_at"}
	for _, option := range OptionNames() {
		options[strings.ReplaceAll(option, "_", "")] = option
	}
	for name, text := range e.attributes {
		option, known := options[name]
		if !known {
			if s.Metadata == nil {
				s.Metadata = make(map[string]string)
			}
			s.Metadata[name] = text
			continue
		}
		if reason, _ := SetOption(s, option, text); reason != "" {
			return e.wrong(name, reason)
		}
	}
	return nil
}

// notificationSource is the source of our own events; with it, the log's name in
// their ids makes them unique.
const notificationSource = "/v1/notifications"

// AppendCloudEvent appends a notification as a CloudEvent in structured mode (JSON
// format, section 3). Its id is the cursor to go on from.
func AppendCloudEvent(b []byte, n *engine.Notification) []byte {
	b = appendEventHead(b, "activemessage.message."+string(n.State), n.Cursor().String())
	b = appendTime(append(b, `,"time":`...), n.Time)
	subject := ""
	if !n.ID.IsZero() {
		subject = n.ID.String()
	}
	if o := n.Origin; o != nil {
		if o.Traceparent != "" {
			b = AppendString(append(b, `,"traceparent":`...), o.Traceparent)
		}
		if o.Tracestate != "" {
			b = AppendString(append(b, `,"tracestate":`...), o.Tracestate)
		}
		if cause := o.CloudEvent; cause != nil {
			b = AppendString(append(b, `,"causationid":`...), cause.ID)
			if cause.Subject != "" {
				subject = cause.Subject
			}
		}
	}
	if subject != "" {
		b = AppendString(append(b, `,"subject":`...), subject)
	}
	b = AppendNotification(append(b, `,"data":`...), n)
	return append(b, '}')
}

// AppendGapEvent appends a gap as a CloudEvent in structured mode.
func AppendGapEvent(b []byte, gap *engine.Gap) []byte {
	b = appendEventHead(b, "activemessage.gap", "gap-"+gap.Cursor.String())
	b = appendTime(append(b, `,"time":`...), time.Now())
	b = AppendGap(append(b, `,"data":`...), gap)
	return append(b, '}')
}

func appendEventHead(b []byte, eventType, id string) []byte {
	b = AppendString(append(b, `{"specversion":"1.0","type":`...), eventType)
	b = AppendString(append(b, `,"id":`...), id)
	b = AppendString(append(b, `,"source":`...), notificationSource)
	return append(b, `,"datacontenttype":"application/json"`...)
}
