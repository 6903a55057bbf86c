package main

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"github.com/activemessage/activemessage/engine"
	"github.com/activemessage/activemessage/handlers/exec"
	"github.com/activemessage/activemessage/handlers/webhook"
)

// buildExec maps the file's exec to the package's.
func buildExec(s source, with parts) (engine.Handler, error) {
	c := s.handler.Exec
	if c.MaxOutputBytes > with.maxResult {
		return nil, &engine.InvalidError{Field: "max_output", Reason: fmt.Sprintf(
			"%d is more than max_result_bytes, %d, which no result may exceed: lower it, or raise that", c.MaxOutputBytes, with.maxResult)}
	}
	return exec.New(exec.Config{
		Command:    c.Command,
		Dir:        c.Dir,
		Env:        s.environ,
		ResultType: c.ResultType,
		MaxOutput:  cmp.Or(c.MaxOutputBytes, with.maxResult),
		KillAfter:  c.KillAfter,
		HideStderr: c.HideStderr,
	})
}

// buildWebhook maps the file's webhook to the package's.
func buildWebhook(s source, with parts) (engine.Handler, error) {
	c := s.handler.Webhook
	h, err := webhook.New(webhook.Config{
		URL:      c.URL,
		Secrets:  s.secrets,
		Allow:    c.Allow,
		Callback: s.callback,
		Lease:    c.Lease,
		MaxBody:  with.maxResult,
		OnGone:   with.gone,
		Logger:   with.logger.With("message_type", s.handler.MessageType),
	})
	if err != nil {
		return nil, err // not a nil *Handler in an interface
	}
	return h, nil
}

// asInvalid returns what New of either package says.
func asInvalid(err error) (*engine.InvalidError, bool) {
	return errors.AsType[*engine.InvalidError](err)
}

// keysOf is where in a handler the file has a field of either package's Config.
func keysOf(p plan, field string) []string {
	name, index, _ := strings.Cut(field, "/")
	h := p.source.handler
	var keys []string
	switch {
	case h.Exec != nil && name == "command":
		keys = []string{"exec"}
	case h.Exec != nil && name == "max_output":
		keys = []string{"max_output_bytes"}
	case h.Exec != nil:
		keys = []string{name}
	case name == "secrets" && len(h.Webhook.SecretFile) > 0:
		keys = []string{"webhook", "secret_file"}
	case name == "secrets":
		keys = []string{"webhook", "secret_env"}
	default:
		keys = []string{"webhook", name}
	}
	if index != "" && (name != "secrets" || len(p.source.secrets) > 1) {
		keys = append(keys, index) // of a list
	}
	return keys
}
