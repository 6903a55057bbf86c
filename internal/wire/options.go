package wire

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/activemessage/activemessage/engine"
)

// OptionNames are the options of a message that are given as text: as query
// parameters beside raw bytes, or as members of the JSON envelope.
func OptionNames() []string {
	return []string{
		"response_notification", "key", "priority", "delay", "deliver_at", "expires_at", "timeout", "max_attempts",
		"idempotency_key", "idempotency_ttl",
	}
}

// SetOption sets the option of a name from its text. The reason is "" or says what
// is wrong with the text; known is false for names OptionNames does not list.
func SetOption(s *engine.Submission, name, text string) (reason string, known bool) {
	switch name {
	case "response_notification":
		s.ResponseNotification = text
	case "key":
		s.Key = text
	case "priority":
		reason = parseInteger(&s.Priority, text)
	case "delay":
		reason = parseDuration(&s.Delay, text)
	case "deliver_at":
		reason = ParseTime(&s.DeliverAt, text)
	case "expires_at":
		reason = ParseTime(&s.ExpiresAt, text)
	case "timeout":
		reason = parseDuration(&s.Timeout, text)
	case "max_attempts":
		reason = parseInteger(&s.MaxAttempts, text)
	case "idempotency_key":
		if s.IdempotencyKey = text; text == "" { // of a variable that is not set, mostly
			return "is empty: leave it out, or give it a value", true
		}
	case "idempotency_ttl":
		if text == untilTerminal {
			s.IdempotencyTTL = engine.UntilTerminal
			return "", true
		}
		reason = parseDuration(&s.IdempotencyTTL, text)
	default:
		return "", false
	}
	return reason, true
}

// untilTerminal is how the engine's UntilTerminal is written.
const untilTerminal = "until_terminal"

func parseInteger(into *int, text string) (reason string) {
	n, err := strconv.Atoi(text)
	if err != nil {
		return fmt.Sprintf("%.40q is not an integer", text)
	}
	*into = n
	return ""
}

func notDuration(text string) (reason string) {
	return fmt.Sprintf("%.40q is not a duration: write a number and a unit, such as 500ms, 30s or 1h30m", text)
}

// parseDuration reads a positive duration.
func parseDuration(into *time.Duration, text string) (reason string) {
	d, err := time.ParseDuration(text)
	switch {
	case err != nil:
		return notDuration(text)
	case d <= 0:
		return fmt.Sprintf("%.40q is not greater than 0", text)
	}
	*into = d
	return ""
}

// ParseTime reads a time of RFC 3339. The reason is "" or says what is wrong with
// the text.
func ParseTime(into *time.Time, text string) (reason string) {
	// The standard has "t" and "z" as well; the library has not.
	t, err := time.Parse(time.RFC3339, strings.ToUpper(text))
	if err != nil {
		if strings.Contains(text, " ") {
			return fmt.Sprintf("%.40q is not a time of RFC 3339: in a query, write + as %%2B", text)
		}
		return fmt.Sprintf("%.40q is not a time of RFC 3339, such as 2026-11-24T18:00:00Z", text)
	}
	if t.IsZero() { // which means none
		return fmt.Sprintf("%.40q is too long ago", text)
	}
	*into = t
	return ""
}
