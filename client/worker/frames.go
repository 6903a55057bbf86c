package worker

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"time"
)

const (
	// workPath is where servers take workers.
	workPath = "/v1/work"
	// protocol is the WebSocket subprotocol.
	protocol = "activemessage.worker.v1.json"
)

// inbound is any frame of the server. Members that are not known are ignored.
type inbound struct {
	Op    string `json:"op"`
	ID    string `json:"id"`
	Lease int    `json:"lease"`

	// Of welcome.
	Session  string `json:"session"`
	BeatMS   int64  `json:"beat_ms"`
	LeaseMS  int64  `json:"lease_ms"`
	MaxFrame int64  `json:"max_frame"`

	// Of job.
	MessageType       string            `json:"message_type"`
	Attempt           int               `json:"attempt"`
	MaxAttempts       int               `json:"max_attempts"`
	Deadline          time.Time         `json:"deadline"`
	MessageData       json.RawMessage   `json:"message_data"`
	MessageDataBase64 []byte            `json:"message_data_base64"`
	ContentType       string            `json:"content_type"`
	Key               string            `json:"key"`
	Metadata          map[string]string `json:"metadata"`
	Checkpoint        json.RawMessage   `json:"checkpoint"`
	CheckpointBase64  []byte            `json:"checkpoint_base64"`
	Traceparent       string            `json:"traceparent"`

	// Of settled, stop, beat and drain.
	Stale    bool   `json:"stale"`
	Reason   string `json:"reason"`
	Stop     []stop `json:"stop"`
	WithinMS int64  `json:"within_ms"`
}

// quickSettled reads the most frequent frame, in the form that servers write it. quick is
// false for any other, and f empty.
func quickSettled(data []byte) (f *inbound, quick bool) {
	f = &inbound{}
	rest, is := bytes.CutPrefix(data, []byte(`{"op":"settled","id":"`))
	id, rest, ends := bytes.Cut(rest, []byte(`","lease":`))
	number, last := bytes.CutSuffix(rest, []byte("}"))
	if !is || !ends || !last || bytes.ContainsAny(id, `\"`) {
		return f, false
	}
	n, err := strconv.Atoi(string(number))
	if err != nil {
		return f, false
	}
	f.Op, f.ID, f.Lease = "settled", string(id), n
	return f, true
}

// stop is what the server says of a lease that is to end.
type stop struct {
	ID     string `json:"id"`
	Lease  int    `json:"lease"`
	Reason string `json:"reason"`
}

// cause returns what the handler's context ends with. A reason that is not known is
// like a cancel: the server wants it to end.
func (s stop) cause() error {
	switch s.Reason {
	case "timeout":
		return ErrTimeout
	case "stale":
		return ErrStale
	case "drain":
		return ErrDrain
	}
	return ErrCancelled
}

// job returns the job of a job frame. skew is how far this machine's clock is ahead.
func (f *inbound) job(skew time.Duration) (*Job, error) {
	if f.ID == "" || f.Lease < 1 || f.MessageType == "" {
		return nil, fmt.Errorf("a job needs id, lease and message_type, it has %q, %d and %q", f.ID, f.Lease, f.MessageType)
	}
	j := &Job{
		ID: f.ID, Lease: f.Lease, MessageType: f.MessageType, Attempt: f.Attempt, MaxAttempts: f.MaxAttempts,
		Data: f.MessageDataBase64, ContentType: f.ContentType, Key: f.Key, Metadata: f.Metadata,
		Checkpoint: f.CheckpointBase64, Traceparent: f.Traceparent,
	}
	if f.MessageData != nil {
		j.Data = f.MessageData
	}
	if f.Checkpoint != nil {
		j.Checkpoint = f.Checkpoint
	}
	if !f.Deadline.IsZero() {
		j.Deadline = f.Deadline.Add(skew)
	}
	return j, nil
}

// hello is the first frame of a session.
type hello struct {
	Op       string      `json:"op"`
	Instance string      `json:"instance"`
	Types    []helloType `json:"types"`
	Window   int         `json:"window"`
	Held     []held      `json:"held"`
}

type helloType struct {
	MessageType string      `json:"message_type"`
	Policy      *wirePolicy `json:"policy,omitempty"`
}

type held struct {
	ID    string `json:"id"`
	Lease int    `json:"lease"`
}

// appendString appends s as a JSON string. Ids and codes need no escapes, nearly
// always.
func appendString(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			quoted, _ := json.Marshal(s) // a string always has a form
			return append(b, quoted...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

// appendAbout begins a frame about a lease.
func appendAbout(b []byte, op string, key lease) []byte {
	b = append(b, `{"op":"`...)
	b = append(b, op...)
	b = append(b, `","id":`...)
	b = appendString(b, key.id)
	b = append(b, `,"lease":`...)
	return strconv.AppendInt(b, int64(key.lease), 10)
}

func appendAck(b []byte, key lease) []byte { return append(appendAbout(b, "ack", key), '}') }

func appendProgress(b []byte, a *attempt) []byte {
	b = appendAbout(b, "progress", a.lease)
	b = append(b, `,"fraction":`...)
	b = strconv.AppendFloat(b, a.fraction, 'f', -1, 64)
	if a.note != "" {
		b = appendString(append(b, `,"note":`...), a.note)
	}
	return append(b, '}')
}

func appendSave(b []byte, a *attempt) []byte {
	return append(appendData(appendAbout(b, "save", a.lease), a.checkpoint), '}')
}

// appendData appends bytes as they are. As a JSON value (the member data) the server
// would look into them, and cut a worker whose handler made JSON that it does not
// take: a name twice, or what nests too deep.
func appendData(b, data []byte) []byte {
	b = append(b, `,"data_base64":"`...)
	b = base64.StdEncoding.AppendEncode(b, data)
	return append(b, '"')
}

func appendOutcome(b []byte, key lease, o *outcome) []byte {
	if o.failure != nil {
		return appendFail(b, key, o.failure)
	}
	b = appendAbout(b, "done", key)
	if len(o.result.Data) > 0 {
		b = appendData(b, o.result.Data)
	}
	if o.result.ContentType != "" {
		b = appendString(append(b, `,"content_type":`...), o.result.ContentType)
	}
	return append(b, '}')
}

func appendFail(b []byte, key lease, f *failure) []byte {
	b = appendAbout(b, "fail", key)
	b = appendString(append(b, `,"code":`...), f.code)
	b = appendString(append(b, `,"message":`...), f.message)
	b = appendString(append(b, `,"kind":`...), f.kind)
	if f.after >= 0 {
		b = append(b, `,"after_ms":`...)
		b = strconv.AppendInt(b, f.after.Milliseconds(), 10)
	}
	return append(b, '}')
}

// appendBeat appends a beat that lists all that is held.
func appendBeat(b []byte, all map[lease]*attempt) []byte {
	b = append(b, `{"op":"beat","held":[`...)
	first := true
	for key := range all {
		if !first {
			b = append(b, ',')
		}
		first = false
		b = appendString(append(b, `{"id":`...), key.id)
		b = append(b, `,"lease":`...)
		b = append(strconv.AppendInt(b, int64(key.lease), 10), '}')
	}
	return append(b, `]}`...)
}
