package wire

import (
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

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

// locate says where an attribute stands: in a header, or by JSON Pointer.
func (m CloudEventMode) locate(attribute string) string {
	if m == BinaryCloudEvent {
		return "ce-" + attribute
	}
	return string(jsontext.Pointer("").AppendToken(attribute))
}

// AtAttribute makes an *engine.InvalidError point at the attribute of the event that
// the field came from. It returns other errors, and those of other messages, as they
// are.
func (m CloudEventMode) AtAttribute(err error) error {
	bad, is := errors.AsType[*engine.InvalidError](err)
	if !is || m == NoCloudEvent {
		return err
	}
	attribute := strings.ReplaceAll(bad.Field, "_", "")
	switch bad.Field {
	case "message_type":
		attribute = "type"
	case "content_type":
		if m == BinaryCloudEvent {
			return InvalidAt("Content-Type", bad.Reason)
		}
		attribute = "datacontenttype"
	case "metadata":
		return NewProblem("invalid_message", "the event's extension attributes: "+bad.Reason, FieldError{"", bad.Reason})
	}
	inData, is := InData(bad)
	switch {
	case !is:
		return m.wrong(attribute, bad.Reason)
	case m == BinaryCloudEvent:
		return AtBody(bad, inData)
	}
	return InvalidAt("/data"+inData, bad.Reason)
}

// wrong is the problem of one attribute.
func (m CloudEventMode) wrong(attribute, reason string) *Problem {
	return NewProblem("invalid_message", "CloudEvent attribute "+attribute+": "+reason, FieldError{m.locate(attribute), reason})
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
	mode       CloudEventMode
	attributes map[string]string
	data       []byte
}

func newEvent(mode CloudEventMode) *event {
	return &event{mode: mode, attributes: make(map[string]string)}
}

// decodeStructured reads the JSON format, section 3.
func decodeStructured(body []byte) (engine.Submission, error) {
	members, err := readMembers(body)
	if err != nil {
		return engine.Submission{}, err
	}
	e := newEvent(StructuredCloudEvent)
	data, inBase64 := members["data"], members["data_base64"]
	delete(members, "data")
	delete(members, "data_base64")
	for _, name := range slices.Sorted(maps.Keys(members)) {
		value := members[name]
		if value.Kind() == 'n' {
			continue // unset
		}
		text, reason := attributeText(name, value)
		if reason != "" {
			return engine.Submission{}, e.mode.wrong(name, reason)
		}
		if err := e.set(name, text); err != nil {
			return engine.Submission{}, err
		}
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
// section 3.1), or what is wrong with it. Only extensions may be other than strings.
func attributeText(name string, value jsontext.Value) (text, reason string) {
	kind := value.Kind()
	if kind == '"' {
		unquoted, err := jsontext.AppendUnquote(nil, value)
		if err != nil {
			return "", "is not a valid string"
		}
		return string(unquoted), ""
	}
	if slices.Contains(contextAttributes(), name) {
		return "", "is a JSON " + kindName(kind) + ": send a string"
	}
	switch kind {
	case 't', 'f':
		return string(value), ""
	case '0':
		if _, err := strconv.ParseInt(string(value), 10, 32); err != nil {
			return "", "is a number that is not an integer of 32 bits: send it as a string"
		}
		return string(value), ""
	}
	return "", "is a JSON " + kindName(kind) + ": an attribute is a string, an integer, true or false"
}

// contextAttributes are the attributes of the specification itself (section 3).
func contextAttributes() []string {
	return []string{"specversion", "id", "source", "type", "subject", "time", "datacontenttype", "dataschema"}
}

// set sets an attribute if its name and its value can be one's (section 3.1).
func (e *event) set(name, text string) error {
	if name == "" || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789") != "" {
		return e.mode.wrong(name, "is no attribute's name: use lower-case letters and digits")
	}
	switch {
	case text == "" && slices.Contains(contextAttributes(), name):
		return e.mode.wrong(name, "is empty: leave it out, or give it a value")
	case !utf8.ValidString(text):
		return e.mode.wrong(name, "is not UTF-8")
	case strings.ContainsFunc(text, unicode.IsControl):
		return e.mode.wrong(name, "holds a control character")
	}
	e.attributes[name] = text
	return nil
}

// setData reads the members data and data_base64.
func (e *event) setData(data, inBase64 jsontext.Value) error {
	if inBase64.Kind() == 'n' {
		inBase64 = nil // unset
	}
	switch {
	case data != nil && inBase64 != nil:
		return e.mode.wrong("data_base64", "cannot be given together with data: remove one of them")
	case inBase64 != nil:
		text, reason := attributeText("", inBase64)
		decoded, err := base64.StdEncoding.DecodeString(text)
		if reason != "" || err != nil || inBase64.Kind() != '"' {
			return e.mode.wrong("data_base64", notBase64)
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
	e := newEvent(BinaryCloudEvent)
	e.data = body
	for _, header := range slices.Sorted(maps.Keys(h)) {
		name, is := strings.CutPrefix(strings.ToLower(header), "ce-")
		if !is {
			continue
		}
		switch values := h[header]; {
		case len(values) > 1:
			return engine.Submission{}, e.mode.wrong(name, "is given more than once")
		case name == "data" || name == "datacontenttype":
			return engine.Submission{}, e.mode.wrong(name, "is no attribute in a header: the body is the data, and Content-Type its type")
		default:
			if err := e.set(name, headerText(values[0])); err != nil {
				return engine.Submission{}, err
			}
		}
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
		value = unescapeQuoted(value[1 : len(value)-1])
	}
	if decoded, err := url.PathUnescape(value); err == nil {
		return decoded
	}
	return value
}

// unescapeQuoted takes the backslashes from what stands in quotes (RFC 9110,
// section 5.6.4).
func unescapeQuoted(text string) string {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] == '\\' && i+1 < len(text) {
			i++
		}
		b.WriteByte(text[i])
	}
	return b.String()
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
		return s, e.mode.wrong("specversion", `is missing: send "1.0"`)
	} else if version != "1.0" {
		return s, e.mode.wrong("specversion", fmt.Sprintf(`is %.20q: only "1.0" is spoken here`, version))
	}
	for _, name := range []string{"id", "source", "type"} {
		if e.attributes[name] == "" {
			return s, e.mode.wrong(name, "is missing")
		}
	}
	delete(e.attributes, "specversion")
	context := &engine.CloudEvent{ID: e.take("id"), Source: e.take("source"), Type: e.take("type"), Subject: e.take("subject")}
	if text := e.take("time"); text != "" {
		if reason := ParseTime(&context.Time, text); reason != "" {
			return s, e.mode.wrong("time", reason)
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
	given := make(map[string]string)
	for _, name := range slices.Sorted(maps.Keys(e.attributes)) {
		text := e.attributes[name]
		option, known := options[name]
		if !known {
			if s.Metadata == nil {
				s.Metadata = make(map[string]string)
			}
			s.Metadata[name] = text
			continue
		}
		if first := given[option]; first != "" {
			return e.mode.wrong(name, "says the same as "+first+": remove one of them")
		}
		given[option] = name
		if reason, _ := SetOption(s, option, text); reason != "" {
			return e.mode.wrong(name, reason)
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
	b = AppendTime(append(b, `,"time":`...), n.Time)
	subject := ""
	if !n.ID.IsZero() {
		subject = n.ID.String()
	}
	if o := n.Origin; o != nil {
		b = appendTrace(b, o)
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
	b = AppendTime(append(b, `,"time":`...), time.Now())
	b = AppendGap(append(b, `,"data":`...), gap)
	return append(b, '}')
}

func appendEventHead(b []byte, eventType, id string) []byte {
	b = AppendString(append(b, `{"specversion":"1.0","type":`...), eventType)
	b = AppendString(append(b, `,"id":`...), id)
	b = AppendString(append(b, `,"source":`...), notificationSource)
	return append(b, `,"datacontenttype":"application/json"`...)
}
