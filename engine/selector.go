package engine

import (
	"strings"
)

// Selector picks notifications. Exactly one field is set.
type Selector struct {
	// ResponseNotification is an exact prefix ("request_123"), a pattern
	// ("request_*": everything that starts with request_), or "*" for all. Only
	// a '*' at the end is special.
	ResponseNotification string
	// MessageID picks the notification of one message.
	MessageID ID
	// MessageType picks the notifications of one message type.
	MessageType string
}

// Validate returns an *InvalidError unless exactly one field is set, within its
// limit.
func (s Selector) Validate() error {
	set := 0
	for _, is := range []bool{s.ResponseNotification != "", !s.MessageID.IsZero(), s.MessageType != ""} {
		if is {
			set++
		}
	}
	if set != 1 {
		return &InvalidError{Field: "selector", Reason: "give exactly one of response_notification, message_id and message_type"}
	}
	if len(s.ResponseNotification) > maxNameBytes+1 {
		return &InvalidError{Field: "response_notification", Reason: tooLong(len(s.ResponseNotification), maxNameBytes+1)}
	}
	if len(s.MessageType) > maxTypeBytes {
		return &InvalidError{Field: "message_type", Reason: tooLong(len(s.MessageType), maxTypeBytes)}
	}
	return nil
}

// pattern returns the literal start that a trailing '*' follows.
func (s Selector) pattern() (start string, ok bool) {
	return strings.CutSuffix(s.ResponseNotification, "*")
}

func (s Selector) matches(prefix, messageType string, id ID) bool {
	switch {
	case s.ResponseNotification != "":
		if start, ok := s.pattern(); ok {
			return strings.HasPrefix(prefix, start)
		}
		return prefix == s.ResponseNotification
	case s.MessageType != "":
		return messageType == s.MessageType
	default:
		return id == s.MessageID
	}
}
