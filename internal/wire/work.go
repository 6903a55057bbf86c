package wire

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/activemessage/activemessage/engine"
	"github.com/activemessage/activemessage/engine/remote"
)

// WorkFrame is what a worker says over a WebSocket. Which members mean something depends
// on Op; for one that is not known none does.
type WorkFrame struct {
	// Op is hello, ack, progress, save, done, fail, beat or drain.
	Op string
	// Hello is a hello's.
	Hello remote.Hello
	// Lease is what an ack, a progress, a save, a done or a fail is about.
	Lease engine.Lease
	// Progress is a progress's.
	Progress engine.Progress
	// Data and ContentType are a done's result; Data is a save's checkpoint.
	Data        []byte
	ContentType string
	// Failure is what a fail comes to, as a Handler returns it.
	Failure error
	// Held and Window are a beat's; a nil Window stays as it is.
	Held   []engine.Lease
	Window *int
}

// workMembers has all members of all frames and bodies of workers.
type workMembers struct {
	Op          string         `json:"op"`
	Instance    string         `json:"instance"`
	Types       []workType     `json:"types"`
	Window      *int           `json:"window"`
	Held        []workLease    `json:"held"`
	ID          string         `json:"id"`
	Lease       int            `json:"lease"`
	Fraction    *float64       `json:"fraction"`
	Note        string         `json:"note"`
	Data        jsontext.Value `json:"data"`
	DataBase64  *string        `json:"data_base64"`
	ContentType string         `json:"content_type"`
	Code        string         `json:"code"`
	Message     string         `json:"message"`
	Kind        *string        `json:"kind"`
	AfterMS     *int64         `json:"after_ms"`
}

type workType struct {
	MessageType string         `json:"message_type"`
	Policy      jsontext.Value `json:"policy"`
}

type workLease struct {
	ID    string `json:"id"`
	Lease int    `json:"lease"`
}

// The ops of a worker's frames.
const (
	OpHello    = "hello"
	OpAck      = "ack"
	OpProgress = "progress"
	OpSave     = "save"
	OpDone     = "done"
	OpFail     = "fail"
	OpBeat     = "beat"
	OpDrain    = "drain"
)

// DecodeWorkFrame reads a worker's frame; members that it does not know are ignored, and so
// are all of an op that it does not know. What it returns shares no memory with data. The
// error is a *Problem: with code malformed_json the frame is no JSON object at all.
func DecodeWorkFrame(data []byte) (WorkFrame, error) {
	if f, ok := quickWorkFrame(data); ok {
		return f, nil
	}
	var m workMembers
	if err := decode(data, &m, "", true); err != nil {
		return foreignOp(data, invalidWork(err))
	}
	f := WorkFrame{Op: m.Op}
	var err error
	switch m.Op {
	case OpHello:
		f.Hello, err = m.hello(true)
	case OpAck, OpProgress, OpSave, OpDone, OpFail:
		f.Lease, err = parseLease(m.ID, m.Lease, "")
		if err == nil {
			err = f.readReport(&m)
		}
	case OpBeat:
		f.Window = m.Window
		f.Held, err = leases(m.Held)
	}
	return f, err
}

// foreignOp lets a frame pass whose op is not known, whatever its members are.
func foreignOp(data []byte, err error) (WorkFrame, error) {
	var m struct {
		Op string `json:"op"`
	}
	known := []string{OpHello, OpAck, OpProgress, OpSave, OpDone, OpFail, OpBeat, OpDrain, ""}
	if decode(data, &m, "", true) == nil && !slices.Contains(known, m.Op) {
		return WorkFrame{Op: m.Op}, nil
	}
	return WorkFrame{}, err
}

func (f *WorkFrame) readReport(m *workMembers) error {
	var err error
	switch m.Op {
	case OpProgress:
		f.Progress.Note = m.Note
		if m.Fraction != nil {
			f.Progress.Fraction = *m.Fraction
		}
	case OpSave:
		f.Data, _, err = m.data()
	case OpDone:
		f.Data, f.ContentType, err = m.data()
	case OpFail:
		f.Failure, err = m.failure()
	}
	return err
}

// invalidWork is the problem of a member that cannot be, as a worker is told it.
func invalidWork(err error) error {
	if p, ok := errors.AsType[*Problem](err); ok && p.Code == "invalid_message" {
		return NewProblem("invalid_work", p.Detail, p.Errors...)
	}
	return err
}

func invalidWorkAt(pointer, reason string) error { return invalidWork(InvalidAt(pointer, reason)) }

// maxNumber bounds leases and windows, as the contracts have it.
const maxNumber = 1_000_000_000

// maxAfter bounds after what time another attempt starts.
const maxAfter = 366 * 24 * time.Hour

func parseLease(text string, number int, within string) (engine.Lease, error) {
	id, err := engine.ParseID(text)
	switch {
	case text == "":
		return engine.Lease{}, invalidWorkAt(within+"/id", "is missing: repeat that of the job")
	case number == 0:
		return engine.Lease{}, invalidWorkAt(within+"/lease", "is missing, or 0: repeat that of the job")
	case err != nil:
		return engine.Lease{}, invalidWorkAt(within+"/id", reasonOf(err))
	}
	if number < 1 || number > maxNumber {
		return engine.Lease{}, invalidWorkAt(within+"/lease", fmt.Sprintf("%d is not a lease: repeat that of the job", number))
	}
	return engine.Lease{ID: id, Attempt: number}, nil
}

func leases(list []workLease) ([]engine.Lease, error) {
	all := make([]engine.Lease, len(list))
	for i, one := range list {
		var err error
		if all[i], err = parseLease(one.ID, one.Lease, fmt.Sprintf("/held/%d", i)); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// hello reads a worker's hello; listed, if it has to say what it holds, and says that it is
// nothing by saying nothing.
func (m *workMembers) hello(listed bool) (h remote.Hello, err error) {
	h.Instance, h.Unlisted = m.Instance, !listed && m.Held == nil
	if m.Window == nil {
		return h, invalidWorkAt("/window", "is missing: say how many messages the worker runs at once")
	}
	if *m.Window > maxNumber {
		return h, invalidWorkAt("/window", fmt.Sprintf("%d is out of range: use 0 to %d", *m.Window, maxNumber))
	}
	h.Window = *m.Window
	if h.Held, err = leases(m.Held); err != nil {
		return h, err
	}
	for i, t := range m.Types {
		one := remote.Type{MessageType: t.MessageType}
		if t.Policy != nil && t.Policy.Kind() != 'n' {
			if one.Policy, err = DecodePolicyPatch(t.Policy); err != nil {
				return h, within(fmt.Sprintf("/types/%d/policy", i), err)
			}
		}
		h.Types = append(h.Types, one)
	}
	return h, nil
}

// within moves a problem's pointers into a member.
func within(pointer string, err error) error {
	p, ok := errors.AsType[*Problem](err)
	if !ok || len(p.Errors) != 1 {
		return err
	}
	return invalidWorkAt(pointer+p.Errors[0].Pointer, p.Errors[0].Detail)
}

// data returns the data, whichever way it came, and its content type.
func (m *workMembers) data() ([]byte, string, error) {
	if n := len(m.ContentType); n > engine.MaxContentTypeBytes {
		return nil, "", invalidWorkAt("/content_type", fmt.Sprintf("%d bytes are too long: at most %d are allowed", n, engine.MaxContentTypeBytes))
	}
	data, contentType, err := dataOf("data", m.Data, m.DataBase64, m.ContentType)
	return data, contentType, invalidWork(err)
}

// The kinds of a fail.
const (
	kindRetry     = "retry"
	kindPermanent = "permanent"
	kindSnooze    = "snooze"
)

// failure is what a fail says, as a Handler returns it.
func (m *workMembers) failure() (error, error) { //nolint:revive,staticcheck // the first is the result
	var after time.Duration
	if m.AfterMS != nil {
		if *m.AfterMS < 0 || *m.AfterMS > maxAfter.Milliseconds() {
			return nil, invalidWorkAt("/after_ms", fmt.Sprintf("%d is out of range: use 0 to %d, which is 366 days", *m.AfterMS, maxAfter.Milliseconds()))
		}
		after = time.Duration(*m.AfterMS) * time.Millisecond
	}
	failure := &engine.Error{Code: m.Code, Message: cmp.Or(m.Message, "handler failed")}
	kind := kindRetry
	if m.Kind != nil {
		kind = *m.Kind
	}
	switch kind {
	case kindRetry:
		if m.AfterMS != nil {
			return engine.RetryAfter(after, failure), nil
		}
		return failure, nil
	case kindPermanent:
		return engine.Permanent(failure), nil
	case kindSnooze:
		return engine.Snooze(after), nil
	}
	return nil, invalidWorkAt("/kind", fmt.Sprintf("%.40q is none: use retry, permanent or snooze", kind))
}
