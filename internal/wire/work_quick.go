package wire

import (
	"bytes"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/activemessage/activemessage/engine"
)

// The frames that a worker sends for each message, as most write them.
var (
	quickAck  = []byte(`{"op":"ack","id":"`)
	quickDone = []byte(`{"op":"done","id":"`)
	quickTo   = []byte(`","lease":`)
	quickData = []byte(`,"data":`)
)

const idLength = 36

// quickWorkFrame reads an ack, and a done with data of JSON and no content type, whose
// members stand in the order of the documentation, without spaces. That takes a third of the
// time; all else is for DecodeWorkFrame.
func quickWorkFrame(data []byte) (f WorkFrame, ok bool) {
	rest, isAck := bytes.CutPrefix(data, quickAck)
	if !isAck {
		if rest, ok = bytes.CutPrefix(data, quickDone); !ok {
			return f, false
		}
	}
	if len(rest) < idLength+len(quickTo) {
		return f, false
	}
	id, err := engine.ParseID(string(rest[:idLength]))
	if err != nil {
		return f, false
	}
	rest, ok = bytes.CutPrefix(rest[idLength:], quickTo)
	number, digits := 0, 0
	for digits < len(rest) && digits < 9 && '0' <= rest[digits] && rest[digits] <= '9' {
		number = 10*number + int(rest[digits]-'0')
		digits++
	}
	if !ok || digits == 0 || rest[0] == '0' {
		return f, false
	}
	f.Op, f.Lease = OpAck, engine.Lease{ID: id, Attempt: number}
	rest = rest[digits:]
	if isAck {
		return f, len(rest) == 1 && rest[0] == '}'
	}
	f.Op = OpDone
	if len(rest) == 1 && rest[0] == '}' {
		return f, true
	}
	rest, ok = bytes.CutPrefix(rest, quickData)
	if !ok || len(rest) < 2 || rest[len(rest)-1] != '}' {
		return f, false
	}
	value := jsontext.Value(rest[:len(rest)-1])
	if tooDeep(data) || !value.IsValid() {
		return f, false
	}
	f.Data, f.ContentType = bytes.TrimSpace(value.Clone()), "application/json"
	return f, true
}
