package wire

import (
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/activemessage/activemessage/engine"
	"github.com/activemessage/activemessage/engine/remote"
)

// The bodies of the worker's HTTP calls, with their members as told to who misspells one.
type (
	takeBody struct {
		Instance string      `json:"instance"`
		Types    []workType  `json:"types"`
		Window   *int        `json:"window"`
		Held     []workLease `json:"held"`
	}
	doneBody struct {
		Lease       int            `json:"lease"`
		Data        jsontext.Value `json:"data"`
		DataBase64  *string        `json:"data_base64"`
		ContentType string         `json:"content_type"`
	}
	failBody struct {
		Lease   int     `json:"lease"`
		Code    string  `json:"code"`
		Message string  `json:"message"`
		Kind    *string `json:"kind"`
		AfterMS *int64  `json:"after_ms"`
	}
	beatBody struct {
		Lease      int            `json:"lease"`
		Fraction   *float64       `json:"fraction"`
		Note       string         `json:"note"`
		Data       jsontext.Value `json:"data"`
		DataBase64 *string        `json:"data_base64"`
	}
)

const (
	takeMembers = "instance, types, window, held"
	doneMembers = "lease, data, data_base64, content_type"
	failMembers = "lease, code, message, kind, after_ms"
	beatMembers = "lease, fraction, note, data, data_base64"
)

// DecodeTake reads the body of a take. The error is a *Problem.
func DecodeTake(body []byte) (remote.Hello, error) {
	var b takeBody
	if err := decode(body, &b, takeMembers, false); err != nil {
		return remote.Hello{}, invalidWork(err)
	}
	m := workMembers{Instance: b.Instance, Types: b.Types, Window: b.Window, Held: b.Held}
	return m.hello(false)
}

// DecodeDone reads the body of a done; id is the message's. The error is a *Problem.
func DecodeDone(id engine.ID, body []byte) (l engine.Lease, r engine.Result, err error) {
	var b doneBody
	if err := decode(body, &b, doneMembers, false); err != nil {
		return l, r, invalidWork(err)
	}
	if l, err = leaseOf(id, b.Lease); err != nil {
		return l, r, err
	}
	m := workMembers{Data: b.Data, DataBase64: b.DataBase64, ContentType: b.ContentType}
	r.Data, r.ContentType, err = m.data()
	return l, r, err
}

// DecodeFail reads the body of a fail: what the attempt came to, as a Handler returns it. err
// is a *Problem.
func DecodeFail(id engine.ID, body []byte) (l engine.Lease, failure, err error) {
	var b failBody
	if err := decode(body, &b, failMembers, false); err != nil {
		return l, nil, invalidWork(err)
	}
	if l, err = leaseOf(id, b.Lease); err != nil {
		return l, nil, err
	}
	m := workMembers{Code: b.Code, Message: b.Message, Kind: b.Kind, AfterMS: b.AfterMS}
	failure, err = m.failure()
	return l, failure, err
}

// DecodeBeat reads the body of a beat. The error is a *Problem.
func DecodeBeat(id engine.ID, body []byte) (l engine.Lease, r remote.Report, err error) {
	var b beatBody
	if err := decode(body, &b, beatMembers, false); err != nil {
		return l, r, invalidWork(err)
	}
	if l, err = leaseOf(id, b.Lease); err != nil {
		return l, r, err
	}
	if b.Fraction != nil || b.Note != "" {
		r.Progress = &engine.Progress{Note: b.Note}
		if b.Fraction != nil {
			r.Progress.Fraction = *b.Fraction
		}
	}
	m := workMembers{Data: b.Data, DataBase64: b.DataBase64}
	r.Checkpoint, _, err = m.data()
	return l, r, err
}

func leaseOf(id engine.ID, number int) (engine.Lease, error) {
	return parseLease(id.String(), number, "")
}

// AppendTaken appends the answer to a take as a JSON object.
func AppendTaken(b []byte, taken *remote.Taken, cfg *remote.Config) []byte {
	b = AppendString(append(b, `{"session":`...), taken.Session)
	b = appendMillis(append(b, `,"beat_ms":`...), cfg.Beat)
	b = appendMillis(append(b, `,"lease_ms":`...), cfg.Lease)
	b = append(b, `,"jobs":[`...)
	for i := range taken.Jobs {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendJobMembers(append(b, '{'), &taken.Jobs[i]), '}')
	}
	b = appendStops(append(b, `],"stop":`...), taken.Stops)
	return append(b, '}')
}

// AppendReported appends the answer to a done or a fail as a JSON object.
func AppendReported(b []byte, l engine.Lease, stale bool) []byte {
	b = appendLease(append(b, '{'), l)
	if stale {
		b = append(b, `,"stale":true`...)
	}
	return append(b, '}')
}

// AppendExtended appends the answer to a beat as a JSON object; asked is why the attempt is
// to end, nil if it is not.
func AppendExtended(b []byte, l engine.Lease, lease time.Duration, asked error) []byte {
	b = appendLease(append(b, '{'), l)
	b = appendMillis(append(b, `,"lease_ms":`...), lease)
	if asked != nil {
		b = AppendString(append(b, `,"stop":`...), stopReason(asked))
	}
	return append(b, '}')
}

func appendMillis(b []byte, d time.Duration) []byte {
	return strconv.AppendInt(b, d.Milliseconds(), 10)
}
