package wire

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/activemessage/activemessage/engine"
)

// MaxEnvelopeBytes is how large an envelope may be whose message data has up to
// maxMessageBytes: in base64, with room for the rest.
func MaxEnvelopeBytes(maxMessageBytes int64) int64 { return maxMessageBytes*4/3 + 64<<10 }

// MaxDepth is how deep a request's JSON may nest.
const MaxDepth = 64

// submission is the JSON envelope of a message.
type submission struct {
	MessageType          *string           `json:"message_type"`
	MessageData          jsontext.Value    `json:"message_data"`
	MessageDataBase64    *string           `json:"message_data_base64"`
	ResponseNotification string            `json:"response_notification"`
	ContentType          string            `json:"content_type"`
	Key                  string            `json:"key"`
	Priority             int               `json:"priority"`
	Metadata             map[string]string `json:"metadata"`
	Delay                *string           `json:"delay"`
	DeliverAt            *string           `json:"deliver_at"`
	ExpiresAt            *string           `json:"expires_at"`
	Timeout              *string           `json:"timeout"`
	MaxAttempts          int               `json:"max_attempts"`
	IdempotencyKey       *string           `json:"idempotency_key"`
	IdempotencyTTL       *string           `json:"idempotency_ttl"`
	Traceparent          string            `json:"traceparent"`
	Tracestate           string            `json:"tracestate"`
}

// submissionMembers are the envelope's names, as told to who misspells one.
const submissionMembers = "message_type, message_data, message_data_base64, response_notification, content_type, key, priority, metadata, " +
	"delay, deliver_at, expires_at, timeout, max_attempts, idempotency_key, idempotency_ttl, traceparent, tracestate"

// DecodeSubmission reads the JSON envelope of a message. Members it does not know
// are refused, except with lenient, the WebSocket's rule. The submission does not
// share memory with body. The error is a *Problem.
func DecodeSubmission(body []byte, lenient bool) (engine.Submission, error) {
	var envelope submission
	if err := decode(body, &envelope, submissionMembers, lenient); err != nil {
		return engine.Submission{}, err
	}
	s := engine.Submission{
		ResponseNotification: envelope.ResponseNotification,
		ContentType:          envelope.ContentType,
		Key:                  envelope.Key,
		Priority:             envelope.Priority,
		Metadata:             envelope.Metadata,
		MaxAttempts:          envelope.MaxAttempts,
	}
	if envelope.Traceparent == "" && envelope.Tracestate != "" {
		return s, InvalidAt("/tracestate", "means nothing without traceparent")
	}
	if envelope.Traceparent != "" {
		s.Origin = &engine.Origin{Traceparent: envelope.Traceparent, Tracestate: envelope.Tracestate}
	}
	if envelope.MessageType == nil {
		return s, InvalidAt("/message_type", "is missing: name the handler that shall run")
	}
	s.MessageType = *envelope.MessageType
	if err := envelope.setOptions(&s); err != nil {
		return s, err
	}
	return s, envelope.setData(&s)
}

// setOptions reads the members that are read alike wherever they stand.
func (envelope *submission) setOptions(s *engine.Submission) error {
	for _, member := range []struct {
		name string
		text *string
	}{
		{"delay", envelope.Delay},
		{"deliver_at", envelope.DeliverAt},
		{"expires_at", envelope.ExpiresAt},
		{"timeout", envelope.Timeout},
		{"idempotency_key", envelope.IdempotencyKey},
		{"idempotency_ttl", envelope.IdempotencyTTL},
	} {
		if member.text == nil {
			continue
		}
		if reason, _ := SetOption(s, member.name, *member.text); reason != "" {
			return InvalidAt("/"+member.name, reason)
		}
	}
	return nil
}

// setData reads the data, whichever way it came.
func (envelope *submission) setData(s *engine.Submission) (err error) {
	s.MessageData, s.ContentType, err = dataOf("message_data", envelope.MessageData, envelope.MessageDataBase64, s.ContentType)
	return err
}

// notBase64 is what is wrong with text that is to be bytes.
const notBase64 = "is not standard base64 with padding (RFC 4648, section 4)"

// dataOf returns the data of a member, or of its namesake for bytes, and its content type,
// which goes by the member unless it is given.
func dataOf(member string, value jsontext.Value, inBase64 *string, contentType string) ([]byte, string, error) {
	switch {
	case inBase64 != nil && value != nil:
		return nil, "", InvalidAt("/"+member+"_base64", "cannot be given together with "+member+": remove one of them")
	case inBase64 != nil:
		data, err := base64.StdEncoding.DecodeString(*inBase64)
		if err != nil {
			return nil, "", InvalidAt("/"+member+"_base64", notBase64)
		}
		return data, cmp.Or(contentType, "application/octet-stream"), nil
	case value != nil:
		return value, cmp.Or(contentType, "application/json"), nil
	}
	return nil, contentType, nil
}

// decode reads one JSON object into a struct with the named members. The error is a
// *Problem.
func decode(body []byte, into any, members string, lenient bool) error {
	if tooDeep(body) {
		return malformed(fmt.Sprintf("the JSON nests deeper than %d levels", MaxDepth))
	}
	if trimmed := bytes.TrimLeft(body, " \t\r\n"); len(trimmed) == 0 {
		return malformed("the body is empty: send a JSON object")
	} else if trimmed[0] != '{' {
		return malformed("the JSON is not an object: send {…}")
	}
	err := json.Unmarshal(body, into, json.RejectUnknownMembers(!lenient))
	if err == nil {
		return nil
	}
	if semantic, ok := errors.AsType[*json.SemanticError](err); ok {
		pointer := string(semantic.JSONPointer)
		if errors.Is(err, json.ErrUnknownName) {
			return InvalidAt(pointer, "is not known here: use "+suggest(semantic.JSONPointer.LastToken(), members)+members)
		}
		return InvalidAt(pointer, fmt.Sprintf("has the wrong type: it is a JSON %s, which does not fit %s", kindName(semantic.JSONKind), typeName(semantic)))
	}
	return notJSON(err)
}

// notJSON tells where a body stops being JSON.
func notJSON(err error) *Problem {
	if syntax, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return malformed("the JSON ends too early")
		}
		if errors.Is(err, jsontext.ErrDuplicateName) {
			return malformed(fmt.Sprintf("the member %s appears twice: remove one", syntax.JSONPointer))
		}
		return malformed(fmt.Sprintf("not valid JSON at byte %d: %s", syntax.ByteOffset, strings.TrimPrefix(syntax.Err.Error(), "jsontext: ")))
	}
	return malformed("not valid JSON")
}

// tooDeep reports whether the brackets of body nest deeper than MaxDepth; what is
// not JSON is found out later.
func tooDeep(body []byte) bool {
	depth, quoted := 0, false
	for i := 0; i < len(body); i++ {
		switch c := body[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			if depth++; depth > MaxDepth {
				return true
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return false
}

// suggest names the member that was probably meant, if it is near.
func suggest(name, members string) string {
	folded := strings.Map(fold, name)
	for known := range strings.SplitSeq(members, ", ") {
		if strings.Map(fold, known) == folded {
			return known + ". All members: "
		}
	}
	return ""
}

func fold(r rune) rune {
	if r == '_' || r == '-' || r == ' ' {
		return -1
	}
	if 'A' <= r && r <= 'Z' {
		return r - 'A' + 'a'
	}
	return r
}

func kindName(k jsontext.Kind) string {
	switch k {
	case 'n':
		return "null"
	case 't', 'f':
		return "boolean"
	case '"':
		return "string"
	case '0':
		return "number"
	case '{':
		return "object"
	case '[':
		return "array"
	}
	return "value"
}

func typeName(err *json.SemanticError) string {
	if err.GoType == nil {
		return "this member"
	}
	switch t := err.GoType.String(); t {
	case "string", "*string":
		return "a string"
	case "int", "*int", "*int64":
		return "an integer"
	case "*bool":
		return "true or false"
	case "map[string]string":
		return "an object of strings"
	default:
		return "this member"
	}
}
