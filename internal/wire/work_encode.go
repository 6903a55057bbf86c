package wire

import (
	"encoding/base64"
	"errors"
	"strconv"
	"time"

	"github.com/activemessage/activemessage/engine"
	"github.com/activemessage/activemessage/engine/remote"
)

func appendLease(b []byte, l engine.Lease) []byte {
	b = appendID(append(b, `"id":`...), l.ID)
	return strconv.AppendInt(append(b, `,"lease":`...), int64(l.Attempt), 10)
}

// AppendWelcome appends the answer to a hello as a JSON object.
func AppendWelcome(b []byte, session string, cfg *remote.Config, maxFrame int64) []byte {
	b = AppendString(append(b, `{"op":"welcome","session":`...), session)
	b = appendMillis(append(b, `,"beat_ms":`...), cfg.Beat)
	b = appendMillis(append(b, `,"lease_ms":`...), cfg.Lease)
	b = appendMillis(append(b, `,"offer_ms":`...), cfg.Offer)
	b = strconv.AppendInt(append(b, `,"max_frame":`...), maxFrame, 10)
	return append(b, '}')
}

// AppendJob appends an offer as a JSON object.
func AppendJob(b []byte, j *engine.Job) []byte {
	return append(appendJobMembers(append(b, `{"op":"job",`...), j), '}')
}

func appendJobMembers(b []byte, j *engine.Job) []byte {
	m := j.Message
	b = appendLease(b, engine.Lease{ID: m.ID, Attempt: m.Attempt})
	b = AppendString(append(b, `,"message_type":`...), m.MessageType)
	b = strconv.AppendInt(append(b, `,"attempt":`...), int64(m.Attempt), 10)
	b = strconv.AppendInt(append(b, `,"max_attempts":`...), int64(j.MaxAttempts), 10)
	if !j.Deadline.IsZero() {
		b = AppendTime(append(b, `,"deadline":`...), j.Deadline)
	}
	b = appendBytes(b, m.MessageData, m.ContentType, `,"message_data":`, `,"message_data_base64":"`)
	for _, member := range []struct{ name, value string }{
		{`,"content_type":`, m.ContentType},
		{`,"response_notification":`, m.ResponseNotification},
		{`,"key":`, m.Key},
	} {
		if member.value != "" {
			b = AppendString(append(b, member.name...), member.value)
		}
	}
	b = appendMetadata(b, m.Metadata)
	b = appendBytes(b, m.Checkpoint, "application/json", `,"checkpoint":`, `,"checkpoint_base64":"`)
	if m.Origin != nil {
		b = appendTrace(b, m.Origin)
	}
	return b
}

// appendBytes appends bytes as JSON if they are, else in base64; none if there are none.
func appendBytes(b, data []byte, contentType, asJSON, asBase64 string) []byte {
	if len(data) == 0 {
		return b
	}
	if isJSON(contentType) {
		if value := oneLine(data); value != nil {
			return append(append(b, asJSON...), value...)
		}
	}
	return append(base64.StdEncoding.AppendEncode(append(b, asBase64...), data), '"')
}

// AppendSettled appends the answer to a report as a JSON object.
func AppendSettled(b []byte, s remote.Settled) []byte {
	b = appendLease(append(b, `{"op":"settled",`...), s.Lease)
	if s.Stale {
		b = append(b, `,"stale":true`...)
	}
	return append(b, '}')
}

// AppendStop appends the wish that an attempt ends as a JSON object.
func AppendStop(b []byte, s engine.Stop) []byte {
	return append(appendStopMembers(append(b, `{"op":"stop",`...), s), '}')
}

func appendStopMembers(b []byte, s engine.Stop) []byte {
	return AppendString(append(appendLease(b, s.Lease), `,"reason":`...), stopReason(s.Reason))
}

// appendStops appends an array.
func appendStops(b []byte, stops []engine.Stop) []byte {
	b = append(b, '[')
	for i, s := range stops {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendStopMembers(append(b, '{'), s), '}')
	}
	return append(b, ']')
}

// AppendBeaten appends the answer to a beat as a JSON object.
func AppendBeaten(b []byte, stops []engine.Stop) []byte {
	return append(appendStops(append(b, `{"op":"beat","stop":`...), stops), '}')
}

// AppendWorkDrain appends the news that the server drains as a JSON object.
func AppendWorkDrain(b []byte, within time.Duration) []byte {
	return append(appendMillis(append(b, `{"op":"drain","within_ms":`...), within), '}')
}

// stopReason is why an attempt is to end, as a worker is told it.
func stopReason(err error) string {
	switch {
	case errors.Is(err, engine.ErrTimeout):
		return "timeout"
	case errors.Is(err, engine.ErrCancelled):
		return "cancelled"
	case errors.Is(err, engine.ErrShutdown):
		return "drain"
	}
	return "stale"
}
