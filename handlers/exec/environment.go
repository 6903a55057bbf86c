package exec

import (
	"context"
	"encoding/json"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/activemessage/activemessage/engine"
)

// inherited reports whether a command gets a variable of the server's environment
// unasked: what programs need to find themselves at home, and what holds no secret.
func inherited(name string) bool {
	switch name {
	case "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR":
		return true
	}
	if runtime.GOOS == "windows" { // where names have no case
		switch strings.ToUpper(name) {
		case "PATH", "TEMP", "TMP", "SYSTEMROOT", "WINDIR", "COMSPEC", "PATHEXT", "USERPROFILE":
			return true
		}
	}
	return strings.HasPrefix(name, "LC_")
}

// reserved are the variables that tell of the message.
func reserved() []string {
	return []string{
		"AM_MESSAGE_ID", "AM_MESSAGE_TYPE", "AM_ATTEMPT", "AM_CONTENT_TYPE", "AM_KEY", "AM_RESPONSE_NOTIFICATION",
		"AM_METADATA", "AM_DEADLINE", "TRACEPARENT", "TRACESTATE",
	}
}

// environmentFor returns what all messages of the type have in common.
func environmentFor(configured []string) ([]string, error) {
	var environment []string
	for _, variable := range os.Environ() {
		if name, _, _ := strings.Cut(variable, "="); inherited(name) {
			environment = append(environment, variable)
		}
	}
	for _, variable := range configured {
		name, _, has := strings.Cut(variable, "=")
		switch {
		case name == "":
			return nil, invalid("env", `%q has no name: write NAME=value`, variable)
		case strings.ContainsRune(variable, 0):
			return nil, invalid("env", "%s has a NUL character, which no variable can have: remove it", name)
		case slices.Contains(reserved(), name):
			return nil, invalid("env", "%s is set for each message: choose another name", name)
		}
		if !has {
			value, set := os.LookupEnv(name)
			if !set {
				return nil, invalid("env", "%s is not in the server's environment: set it there, or write %s=value", name, name)
			}
			variable = name + "=" + value
		}
		environment = append(environment, variable)
	}
	return environment, nil
}

// environmentOf is the environment of one attempt. What comes from the message is data:
// the names are ours, and the values cannot end early.
func (c *command) environmentOf(ctx context.Context, m *engine.Message) []string {
	metadata := []byte("{}")
	if len(m.Metadata) > 0 {
		metadata, _ = json.Marshal(m.Metadata) // of strings: it cannot fail
	}
	deadline := ""
	if at, has := ctx.Deadline(); has {
		deadline = at.UTC().Format("2006-01-02T15:04:05.000Z07:00")
	}
	environment := slices.Concat(c.environment, []string{
		"AM_MESSAGE_ID=" + m.ID.String(),
		"AM_MESSAGE_TYPE=" + withoutNUL(m.MessageType),
		"AM_ATTEMPT=" + strconv.Itoa(m.Attempt),
		"AM_CONTENT_TYPE=" + withoutNUL(m.ContentType),
		"AM_KEY=" + withoutNUL(m.Key),
		"AM_RESPONSE_NOTIFICATION=" + withoutNUL(m.ResponseNotification),
		"AM_METADATA=" + string(metadata),
		"AM_DEADLINE=" + deadline,
	})
	if o := m.Origin; o != nil && o.Traceparent != "" {
		environment = append(environment, "TRACEPARENT="+withoutNUL(o.Traceparent))
		if o.Tracestate != "" {
			environment = append(environment, "TRACESTATE="+withoutNUL(o.Tracestate))
		}
	}
	return environment
}

// withoutNUL is for messages that no engine has validated: a command with a NUL in its
// environment does not start.
func withoutNUL(value string) string { return strings.ReplaceAll(value, "\x00", "\uFFFD") }
