package engine

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// MaxContentTypeBytes bounds the content type of a message; handlers that take a result's
// from elsewhere bound it so, too.
const MaxContentTypeBytes = maxNameBytes

const (
	maxTypeBytes       = 128
	maxNameBytes       = 255
	maxMetadataEntries = 32
	maxMetadataBytes   = 8 << 10
	maxPriority        = 9
)

func tooLong(got, limit int) string {
	return fmt.Sprintf("%d bytes are too long: at most %d are allowed", got, limit)
}

// validateType allows what stands unescaped in a path, a label and a file name.
func validateType(t string) error {
	if t == "" {
		return &InvalidError{Field: "message_type", Reason: "is missing: name the handler that shall run"}
	}
	if len(t) > maxTypeBytes {
		return &InvalidError{Field: "message_type", Reason: tooLong(len(t), maxTypeBytes)}
	}
	for _, c := range []byte(t) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '.', c == '_', c == '-', c == ':':
		default:
			return &InvalidError{Field: "message_type", Reason: fmt.Sprintf("%q has a character that is not allowed: use letters, digits and . _ - :", t)}
		}
	}
	if t == "." || t == ".." {
		return &InvalidError{Field: "message_type", Reason: fmt.Sprintf("%q cannot stand in a path", t)}
	}
	return nil
}

func validateText(field, text string) error { return validateLine(field, text, maxNameBytes) }

// validateLine allows UTF-8 without control characters up to a length.
func validateLine(field, text string, limit int) error {
	if len(text) > limit {
		return &InvalidError{Field: field, Reason: tooLong(len(text), limit)}
	}
	for i := 0; i < len(text); i++ {
		if c := text[i]; c < ' ' || c >= utf8.RuneSelf || c == 0x7f {
			return validateUnicode(field, text)
		}
	}
	return nil
}

func validateUnicode(field, text string) error {
	if !utf8.ValidString(text) {
		return &InvalidError{Field: field, Reason: "is not valid UTF-8"}
	}
	for _, r := range text {
		if unicode.IsControl(r) {
			return &InvalidError{Field: field, Reason: fmt.Sprintf("has the control character %U: remove it", r)}
		}
	}
	return nil
}

// validate refuses what breaks a rule whatever the type's policy is.
func (s *Submission) validate(maxTTL time.Duration) error {
	if err := validateText("response_notification", s.ResponseNotification); err != nil {
		return err
	}
	if n := len(s.ResponseNotification); n > 0 && s.ResponseNotification[n-1] == '*' {
		return &InvalidError{Field: "response_notification", Reason: "ends in '*', which would read as a pattern: choose another last character"}
	}
	if err := validateText("key", s.Key); err != nil {
		return err
	}
	if err := validateLine("content_type", s.ContentType, MaxContentTypeBytes); err != nil {
		return err
	}
	if s.Priority < -maxPriority || s.Priority > maxPriority {
		return &InvalidError{Field: "priority", Reason: fmt.Sprintf("%d is out of range: use -%d to %d", s.Priority, maxPriority, maxPriority)}
	}
	if err := s.validateMetadata(); err != nil {
		return err
	}
	if s.IdempotencyKey != "" || s.IdempotencyTTL != 0 {
		if err := s.validateKey(maxTTL); err != nil {
			return err
		}
	}
	if s.Origin != nil {
		return s.Origin.validate()
	}
	return nil
}

// validateTimes checks when the message may run.
func (s *Submission) validateTimes(now time.Time) error {
	due := now.Add(max(s.Delay, 0))
	if !s.DeliverAt.IsZero() {
		due = s.DeliverAt
	}
	switch {
	case s.Delay < 0:
		return &InvalidError{Field: "delay", Reason: fmt.Sprintf("%s is negative", s.Delay)}
	case s.Delay > 0 && !s.DeliverAt.IsZero():
		return &InvalidError{Field: "deliver_at", Reason: "cannot be given together with delay: remove one of them"}
	case s.Delay > maxHorizon:
		return &InvalidError{Field: "delay", Reason: "is too long: at most 366 days (8784h) are allowed"}
	case due.Sub(now) > maxHorizon:
		return &InvalidError{Field: "deliver_at", Reason: "is too far ahead: at most 366 days are allowed"}
	case s.ExpiresAt.IsZero():
	case !s.ExpiresAt.After(now):
		return &InvalidError{Field: "expires_at", Reason: "is not in the future"}
	case !s.ExpiresAt.After(due):
		return &InvalidError{Field: "expires_at", Reason: "is not after the time at which the message is due"}
	case s.ExpiresAt.Sub(now) > 2*maxHorizon:
		return &InvalidError{Field: "expires_at", Reason: "is too far ahead: leave it out for never"}
	}
	return nil
}

func (s *Submission) validateKey(maxTTL time.Duration) error {
	switch {
	case s.IdempotencyKey == "":
		return &InvalidError{Field: "idempotency_ttl", Reason: "means nothing without an idempotency key"}
	case s.IdempotencyTTL < 0 && s.IdempotencyTTL != UntilTerminal:
		return &InvalidError{Field: "idempotency_ttl", Reason: "is negative"}
	case s.IdempotencyTTL > maxTTL:
		return &InvalidError{Field: "idempotency_ttl", Reason: fmt.Sprintf("%s is more than the server's, %s", s.IdempotencyTTL, maxTTL)}
	}
	return validateText("idempotency_key", s.IdempotencyKey)
}

// tightens refuses what would widen the type's policy.
func (s *Submission) tightens(p *Policy) error {
	switch {
	case s.Timeout < 0:
		return &InvalidError{Field: "timeout", Reason: fmt.Sprintf("%s is negative", s.Timeout)}
	case s.MaxAttempts < 0:
		return &InvalidError{Field: "max_attempts", Reason: fmt.Sprintf("%d is negative", s.MaxAttempts)}
	case p.Timeout > 0 && s.Timeout > p.Timeout:
		return &InvalidError{Field: "timeout", Reason: fmt.Sprintf("%s is longer than this message type allows: at most %s", s.Timeout, p.Timeout)}
	case s.MaxAttempts > p.MaxAttempts:
		return &InvalidError{Field: "max_attempts", Reason: fmt.Sprintf("%d is more than this message type allows: at most %d", s.MaxAttempts, p.MaxAttempts)}
	}
	return nil
}

func (s *Submission) validateMetadata() error {
	if len(s.Metadata) > maxMetadataEntries {
		return &InvalidError{Field: "metadata", Reason: fmt.Sprintf("%d entries are too many: at most %d are allowed", len(s.Metadata), maxMetadataEntries)}
	}
	size := 0
	for name, value := range s.Metadata {
		size += len(name) + len(value)
		if name == "" || !utf8.ValidString(name) || !utf8.ValidString(value) {
			return &InvalidError{Field: "metadata", Reason: "names must not be empty, and names and values must be valid UTF-8"}
		}
	}
	if size > maxMetadataBytes {
		return &InvalidError{Field: "metadata", Reason: tooLong(size, maxMetadataBytes)}
	}
	return nil
}

// cutText shortens text to at most limit bytes of valid UTF-8.
func cutText(text string, limit int) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	if len(text) <= limit {
		return text
	}
	for limit > 0 && !utf8.RuneStart(text[limit]) {
		limit--
	}
	return strings.Clone(text[:limit]) // not to keep all of it
}
