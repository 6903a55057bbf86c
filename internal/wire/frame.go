package wire

import (
	"errors"
	"fmt"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/activemessage/activemessage/engine"
)

// maxRefBytes is how long a frame's ref may be.
const maxRefBytes = 64

// Frame is a request of a WebSocket client, apart from a submit's own members.
type Frame struct {
	// Op names the request.
	Op string
	// Ref is repeated in the answer.
	Ref string
	// Selector is what a subscribe or unsubscribe names.
	Selector engine.Selector
	// Since is where to begin.
	Since engine.Cursor
}

type frame struct {
	Op                   string         `json:"op"`
	Ref                  string         `json:"ref"`
	ResponseNotification jsontext.Value `json:"response_notification"`
	MessageID            jsontext.Value `json:"message_id"`
	MessageType          jsontext.Value `json:"message_type"`
	Since                jsontext.Value `json:"since"`
}

// DecodeFrame reads a frame. Members it does not know are ignored, so that newer
// clients work with older servers. The Frame's Ref is good even with an error,
// where it could be read. The error is a *Problem: with code malformed_json the
// frame is no JSON object at all.
func DecodeFrame(data []byte) (Frame, error) {
	var f frame
	if err := decode(data, &f, "", true); err != nil {
		return Frame{Ref: f.Ref}, err
	}
	decoded := Frame{Op: f.Op, Ref: f.Ref}
	if len(f.Ref) > maxRefBytes {
		decoded.Ref = ""
		return decoded, InvalidAt("/ref", fmt.Sprintf("has %d bytes, at most %d are allowed", len(f.Ref), maxRefBytes))
	}
	if f.Op != "subscribe" && f.Op != "unsubscribe" {
		return decoded, nil
	}
	var id, since string
	for _, member := range []struct {
		name string
		raw  jsontext.Value
		into *string
	}{
		{"response_notification", f.ResponseNotification, &decoded.Selector.ResponseNotification},
		{"message_type", f.MessageType, &decoded.Selector.MessageType},
		{"message_id", f.MessageID, &id},
		{"since", f.Since, &since},
	} {
		if member.raw == nil || member.raw.Kind() == 'n' {
			continue
		}
		if member.raw.Kind() != '"' {
			return decoded, InvalidAt("/"+member.name, "has the wrong type: use a string")
		}
		text, err := jsontext.AppendUnquote(nil, member.raw)
		if err != nil {
			return decoded, InvalidAt("/"+member.name, "is not a valid string")
		}
		*member.into = string(text)
	}
	return decoded, decoded.parse(id, since)
}

func (f *Frame) parse(id, since string) error {
	var err error
	if id != "" {
		if f.Selector.MessageID, err = engine.ParseID(id); err != nil {
			return ProblemFor(&engine.InvalidError{Field: "message_id", Reason: reasonOf(err)})
		}
	}
	if f.Since, err = engine.ParseCursor(since); err != nil {
		return ProblemFor(err)
	}
	err = f.Selector.Validate()
	if bad, is := errors.AsType[*engine.InvalidError](err); is && bad.Field == "selector" { // which is no member
		return NewProblem("invalid_message", bad.Reason, FieldError{"", bad.Reason})
	}
	if err != nil {
		return ProblemFor(err)
	}
	return nil
}
