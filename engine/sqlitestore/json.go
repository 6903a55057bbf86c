package sqlitestore

import (
	"encoding/json"
	"time"

	"github.com/activemessage/activemessage/engine"
)

// rare is what few messages have, as one column.
type rare struct {
	Metadata    map[string]string `json:"metadata,omitempty"`
	Timeout     time.Duration     `json:"timeout,omitempty"`
	MaxAttempts int               `json:"max_attempts,omitempty"`
}

func rareOf(m *engine.StoredMessage) ([]byte, error) {
	if len(m.Metadata) == 0 && m.Timeout == 0 && m.MaxAttempts == 0 {
		return nil, nil
	}
	return json.Marshal(rare{m.Metadata, m.Timeout, m.MaxAttempts})
}

func (r *rare) fill(m *engine.StoredMessage) {
	m.Metadata, m.Timeout, m.MaxAttempts = r.Metadata, r.Timeout, r.MaxAttempts
}

// origin is an engine.Origin as a column.
type origin struct {
	Traceparent string      `json:"traceparent,omitempty"`
	Tracestate  string      `json:"tracestate,omitempty"`
	CloudEvent  *cloudEvent `json:"cloudevent,omitempty"`
}

type cloudEvent struct {
	ID      string    `json:"id"`
	Source  string    `json:"source"`
	Type    string    `json:"type"`
	Subject string    `json:"subject,omitempty"`
	Time    time.Time `json:"time,omitzero"`
}

func encodeOrigin(o *engine.Origin) ([]byte, error) {
	if o == nil {
		return nil, nil
	}
	return json.Marshal(origin{o.Traceparent, o.Tracestate, (*cloudEvent)(o.CloudEvent)})
}

func decodeOrigin(text []byte) (*engine.Origin, error) {
	if len(text) == 0 {
		return nil, nil
	}
	var o origin
	if err := json.Unmarshal(text, &o); err != nil {
		return nil, err
	}
	return &engine.Origin{Traceparent: o.Traceparent, Tracestate: o.Tracestate, CloudEvent: (*engine.CloudEvent)(o.CloudEvent)}, nil
}

// attempt is an engine.Attempt as part of a column.
type attempt struct {
	Number     int          `json:"number"`
	State      engine.State `json:"state"`
	StartedAt  int64        `json:"started_at,omitempty"`
	FinishedAt int64        `json:"finished_at,omitempty"`
	Error      *reason      `json:"error,omitempty"`
}

type reason struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

func encodeAttempts(all []engine.Attempt) ([]byte, error) {
	if len(all) == 0 {
		return nil, nil
	}
	rows := make([]attempt, len(all))
	for i, a := range all {
		rows[i] = attempt{Number: a.Number, State: a.State, StartedAt: nanos(a.StartedAt), FinishedAt: nanos(a.FinishedAt)}
		if a.Error != nil {
			rows[i].Error = &reason{a.Error.Code, a.Error.Message}
		}
	}
	return json.Marshal(rows)
}

func decodeAttempts(text []byte) ([]engine.Attempt, error) {
	if len(text) == 0 {
		return nil, nil
	}
	var rows []attempt
	if err := json.Unmarshal(text, &rows); err != nil {
		return nil, err
	}
	all := make([]engine.Attempt, len(rows))
	for i, a := range rows {
		all[i] = engine.Attempt{Number: a.Number, State: a.State, StartedAt: timeOf(a.StartedAt), FinishedAt: timeOf(a.FinishedAt)}
		if a.Error != nil {
			all[i].Error = &engine.Error{Code: a.Error.Code, Message: a.Error.Message}
		}
	}
	return all, nil
}
