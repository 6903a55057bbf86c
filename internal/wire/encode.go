package wire

import (
	"bytes"
	"encoding/base64"
	"mime"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/activemessage/activemessage/engine"
)

// MaxInlineResult is the largest result, in bytes, that a notification carries in
// itself; of a larger one it says where to fetch it.
const MaxInlineResult = 16 << 10

// AppendString appends s as a JSON string; what is not UTF-8 becomes U+FFFD.
func AppendString(b []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c >= 0x7f {
			quoted, _ := jsontext.AppendQuote(b, s) // an error means U+FFFD
			return quoted
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

// AppendTime appends a time as JSON has it everywhere: RFC 3339, in UTC, to the microsecond.
func AppendTime(b []byte, t time.Time) []byte {
	b = append(b, '"')
	b = t.UTC().AppendFormat(b, "2006-01-02T15:04:05.000000Z")
	return append(b, '"')
}

func appendID(b []byte, id engine.ID) []byte {
	b, _ = id.AppendText(append(b, '"'))
	return append(b, '"')
}

// AppendReceipt appends a receipt's members without braces around them.
func AppendReceipt(b []byte, r engine.Receipt) []byte {
	b = appendID(append(b, `"id":`...), r.ID)
	b = AppendString(append(b, `,"state":`...), string(r.State))
	b = AppendString(append(b, `,"message_type":`...), r.MessageType)
	b, _ = r.Cursor.AppendText(append(b, `,"cursor":"`...))
	b = AppendString(append(b, `","durability":`...), string(r.Durability))
	if r.Replayed {
		b = append(b, `,"replayed":true`...)
	}
	return b
}

// AppendNotification appends a notification as a JSON object.
func AppendNotification(b []byte, n *engine.Notification) []byte {
	b = strconv.AppendUint(append(b, `{"number":`...), n.Number, 10)
	b = AppendTime(append(b, `,"time":`...), n.Time)
	if !n.ID.IsZero() {
		b = appendID(append(b, `,"id":`...), n.ID)
	}
	b = AppendString(append(b, `,"message_type":`...), n.MessageType)
	b = AppendString(append(b, `,"response_notification":`...), n.ResponseNotification)
	b = AppendString(append(b, `,"notification":`...), n.String())
	b = strconv.AppendBool(append(b, `,"ok":`...), n.OK())
	b = AppendString(append(b, `,"state":`...), string(n.State))
	if n.Error != nil {
		b = appendError(b, n.Error)
	} else {
		b = appendResult(b, n.ID, n.Result, `,"content_type":`)
	}
	return append(appendOrigin(b, n.Origin), '}')
}

func appendTrace(b []byte, o *engine.Origin) []byte {
	if o.Traceparent != "" {
		b = AppendString(append(b, `,"traceparent":`...), o.Traceparent)
	}
	if o.Tracestate != "" {
		b = AppendString(append(b, `,"tracestate":`...), o.Tracestate)
	}
	return b
}

// appendOrigin appends what a message carries for others: its trace, and the
// CloudEvent it came in as.
func appendOrigin(b []byte, o *engine.Origin) []byte {
	if o == nil {
		return b
	}
	b = appendTrace(b, o)
	event := o.CloudEvent
	if event == nil {
		return b
	}
	b = AppendString(append(b, `,"cloudevent":{"id":`...), event.ID)
	b = AppendString(append(b, `,"source":`...), event.Source)
	b = AppendString(append(b, `,"type":`...), event.Type)
	if event.Subject != "" {
		b = AppendString(append(b, `,"subject":`...), event.Subject)
	}
	if !event.Time.IsZero() {
		b = AppendTime(append(b, `,"time":`...), event.Time)
	}
	return append(b, '}')
}

func appendError(b []byte, e *engine.Error) []byte {
	b = AppendString(append(b, `,"error":{"code":`...), e.Code)
	b = AppendString(append(b, `,"message":`...), e.Message)
	return append(b, '}')
}

// appendResult inlines a small result: as JSON if it is, else as base64.
func appendResult(b []byte, id engine.ID, r engine.Result, contentType string) []byte {
	if r.ContentType != "" {
		b = AppendString(append(b, contentType...), r.ContentType)
	}
	switch {
	case len(r.Data) == 0:
		return b
	case len(r.Data) > MaxInlineResult:
		b = strconv.AppendInt(append(b, `,"result_bytes":`...), int64(len(r.Data)), 10)
		return AppendString(append(b, `,"result_url":`...), resultURL(id))
	case isJSON(r.ContentType):
		if value := oneLine(r.Data); value != nil {
			b = append(b, `,"result":`...)
			return append(b, value...)
		}
	}
	b = base64.StdEncoding.AppendEncode(append(b, `,"result_base64":"`...), r.Data)
	return append(b, '"')
}

// oneLine returns JSON without line ends, which would break a line of NDJSON or of
// an event stream; nil if it is not valid.
func oneLine(data []byte) jsontext.Value {
	value := jsontext.Value(data)
	if !value.IsValid() {
		return nil
	}
	if bytes.ContainsAny(data, "\r\n") {
		value = value.Clone()
		if value.Compact() != nil {
			return nil
		}
	}
	return value
}

func isJSON(contentType string) bool {
	if contentType == "application/json" {
		return true
	}
	media, _, err := mime.ParseMediaType(contentType)
	return err == nil && (strings.HasSuffix(media, "/json") || strings.HasSuffix(media, "+json"))
}

// MessageURL is where a message's status is.
func MessageURL(id engine.ID) string { return "/v1/messages/" + id.String() }

func resultURL(id engine.ID) string { return MessageURL(id) + "/result" }

// AppendProgress appends a progress report as a JSON object.
func AppendProgress(b []byte, p *engine.ProgressReport) []byte {
	b = appendID(append(b, `{"id":`...), p.ID)
	b = AppendString(append(b, `,"message_type":`...), p.MessageType)
	if p.ResponseNotification != "" {
		b = AppendString(append(b, `,"response_notification":`...), p.ResponseNotification)
	}
	b = strconv.AppendInt(append(b, `,"attempt":`...), int64(p.Attempt), 10)
	b = appendProgressMembers(append(b, ','), p.Progress)
	return append(b, '}')
}

func appendProgressMembers(b []byte, p engine.Progress) []byte {
	b = strconv.AppendFloat(append(b, `"fraction":`...), p.Fraction, 'g', -1, 64)
	if p.Note != "" {
		b = AppendString(append(b, `,"note":`...), p.Note)
	}
	return b
}

// AppendStatus appends a message's status as a JSON object; withResult inlines a
// small result.
func AppendStatus(b []byte, s *engine.Status, withResult bool) []byte {
	b = appendID(append(b, `{"id":`...), s.ID)
	b = AppendString(append(b, `,"message_type":`...), s.MessageType)
	b = AppendString(append(b, `,"state":`...), string(s.State))
	for _, member := range []struct{ name, value string }{
		{`,"content_type":`, s.ContentType},
		{`,"response_notification":`, s.ResponseNotification},
		{`,"key":`, s.Key},
	} {
		if member.value != "" {
			b = AppendString(append(b, member.name...), member.value)
		}
	}
	b = strconv.AppendInt(append(b, `,"priority":`...), int64(s.Priority), 10)
	b = appendMetadata(b, s.Metadata)
	b = strconv.AppendInt(append(b, `,"message_bytes":`...), int64(s.MessageBytes), 10)
	b = strconv.AppendInt(append(b, `,"attempt":`...), int64(s.Attempt), 10)
	b = strconv.AppendInt(append(b, `,"max_attempts":`...), int64(s.MaxAttempts), 10)
	if s.Lost > 0 {
		b = strconv.AppendInt(append(b, `,"lost":`...), int64(s.Lost), 10)
	}
	if s.Timeout > 0 {
		b = AppendString(append(b, `,"timeout":`...), s.Timeout.String())
	}
	b = appendAttempts(b, s.Attempts)
	if s.Progress != nil {
		b = append(appendProgressMembers(append(b, `,"progress":{`...), *s.Progress), '}')
	}
	if s.CancelRequested {
		b = append(b, `,"cancel_requested":true`...)
	}
	b = appendOrigin(appendTimes(b, s), s.Origin)
	return append(appendEnding(b, s, withResult), '}')
}

func appendAttempts(b []byte, attempts []engine.Attempt) []byte {
	if len(attempts) == 0 {
		return b
	}
	b = append(b, `,"attempts":[`...)
	for i := range attempts {
		a := &attempts[i]
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(append(b, `{"attempt":`...), int64(a.Number), 10)
		b = AppendString(append(b, `,"state":`...), string(a.State))
		b = AppendTime(append(b, `,"started_at":`...), a.StartedAt)
		if !a.FinishedAt.IsZero() {
			b = AppendTime(append(b, `,"finished_at":`...), a.FinishedAt)
		}
		if a.Error != nil {
			b = appendError(b, a.Error)
		}
		b = append(b, '}')
	}
	return append(b, ']')
}

func appendTimes(b []byte, s *engine.Status) []byte {
	b = AppendTime(append(b, `,"accepted_at":`...), s.AcceptedAt)
	for _, member := range []struct {
		name string
		time time.Time
	}{
		{`,"due_at":`, s.DueAt},
		{`,"expires_at":`, s.ExpiresAt},
		{`,"started_at":`, s.StartedAt},
		{`,"finished_at":`, s.FinishedAt},
	} {
		if !member.time.IsZero() {
			b = AppendTime(append(b, member.name...), member.time)
		}
	}
	return b
}

func appendEnding(b []byte, s *engine.Status, withResult bool) []byte {
	if s.Error != nil {
		b = appendError(b, s.Error)
	}
	if s.State != engine.StateSucceeded {
		return b
	}
	const contentType = `,"result_content_type":`
	switch {
	case withResult:
		b = appendResult(b, s.ID, s.Result, contentType)
		if len(s.Result.Data) > MaxInlineResult {
			return b
		}
	case s.Result.ContentType != "":
		b = AppendString(append(b, contentType...), s.Result.ContentType)
	}
	b = strconv.AppendInt(append(b, `,"result_bytes":`...), int64(s.ResultBytes), 10)
	return AppendString(append(b, `,"result_url":`...), resultURL(s.ID))
}

func appendMetadata(b []byte, metadata map[string]string) []byte {
	if len(metadata) == 0 {
		return b
	}
	b = append(b, `,"metadata":{`...)
	first := true
	for name, value := range metadata {
		if !first {
			b = append(b, ',')
		}
		first = false
		b = AppendString(b, name)
		b = AppendString(append(b, ':'), value)
	}
	return append(b, '}')
}

// AppendGap appends a gap as a JSON object; see AppendGapMembers.
func AppendGap(b []byte, gap *engine.Gap) []byte {
	return append(AppendGapMembers(append(b, '{'), gap), '}')
}

// AppendGapMembers appends a gap's members without braces around them: the numbers
// missed, if they are known, and the position after it.
func AppendGapMembers(b []byte, gap *engine.Gap) []byte {
	if gap.From != 0 {
		b = strconv.AppendUint(append(b, `"from":`...), gap.From, 10)
		b = strconv.AppendUint(append(b, `,"to":`...), gap.To, 10)
		b = append(b, ',')
	}
	return AppendString(append(b, `"cursor":`...), gap.Cursor.String())
}
