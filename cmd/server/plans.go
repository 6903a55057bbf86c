package main

import (
	"fmt"
	"log/slog"
	"os"
	"reflect"

	"github.com/activemessage/activemessage/engine"
	"github.com/activemessage/activemessage/handlers"
	"github.com/activemessage/activemessage/internal/config"
)

// plan is the handler of a message type as it shall be.
type plan struct {
	messageType string
	policy      engine.Policy
	builder     string // its name in builders
	source      source
}

// source is all that a handler is made of: while it is the same, so is the handler.
type source struct {
	handler  config.Handler // without its policy
	secrets  []string       // of a webhook
	environ  []string       // of a command
	callback string         // of a webhook
}

// same reports whether the handler of p does for q, too.
func (p plan) same(q plan) bool {
	return p.builder == q.builder && reflect.DeepEqual(p.source, q.source)
}

// parts is what handlers are built with beside what is configured.
type parts struct {
	logger *slog.Logger
	// gone is called when a webhook's receiver wants no more messages of a type.
	gone func(messageType string)
	// maxResult is the engine's bound of a result. It stays over reloads.
	maxResult int64
}

// builders make handlers of plans, by what the file calls them.
func builders() map[string]func(source, parts) (engine.Handler, error) {
	return map[string]func(source, parts) (engine.Handler, error){
		"exec":    buildExec,
		"webhook": buildWebhook,
		"remote":  func(source, parts) (engine.Handler, error) { return engine.Outside(), nil },
		"example": buildExample,
	}
}

func buildExample(s source, _ parts) (engine.Handler, error) {
	return handlers.Examples()[s.handler.MessageType], nil
}

// plans returns the handlers that are asked for: those of the file, or the examples if
// it names none. The error is config.Errors: of all that is not there.
func (in *invocation) plans() ([]plan, error) {
	var all []plan
	if in.file == nil || !in.file.HasHandlers {
		for messageType := range handlers.Examples() {
			all = append(all, plan{messageType: messageType, builder: "example", source: source{handler: config.Handler{MessageType: messageType}}})
		}
		return all, nil
	}
	var faults []error
	for i := range in.file.Handlers {
		h := &in.file.Handlers[i]
		p := plan{messageType: h.MessageType, policy: h.Policy, builder: "remote", source: source{handler: *h}}
		p.source.handler.Policy = engine.Policy{}
		var err error
		switch {
		case h.Exec != nil:
			p.builder = "exec"
			p.source.environ, err = in.file.Environ(h, os.LookupEnv)
		case h.Webhook != nil:
			p.builder, p.source.callback = "webhook", in.CallbackURL
			p.source.secrets, err = in.file.Secrets(h, os.LookupEnv)
		}
		faults = append(faults, err)
		all = append(all, p)
	}
	return all, config.Join(faults...)
}

// build makes the handler of a plan. The error is a *config.Error.
func (in *invocation) build(p plan, with parts) (engine.Handler, error) {
	h, err := builders()[p.builder](p.source, with)
	if err == nil {
		return h, nil
	}
	if in.file == nil {
		return nil, fmt.Errorf("%s: %w", p.messageType, err)
	}
	keys, reason := []string{"handlers", p.messageType}, err.Error()
	if invalid, is := asInvalid(err); is {
		keys, reason = append(keys, keysOf(p, invalid.Field)...), invalid.Reason
	}
	return nil, in.file.Fault(reason, keys...)
}
