// Package handlers has the example handlers a server runs when it is given no
// others. Each file is one message type, and a small model of how to write one.
package handlers

import (
	"fmt"

	"github.com/activemessage/activemessage/engine"
)

// Examples returns echo, sleep, fail, panic and count, by message type. The count of
// those that are returned is their own.
func Examples() map[string]engine.Handler {
	counter := &Counter{}
	return map[string]engine.Handler{
		"echo":  engine.HandlerFunc(Echo),
		"sleep": engine.HandlerFunc(Sleep),
		"fail":  engine.HandlerFunc(Fail),
		"panic": engine.HandlerFunc(Panic),
		"count": engine.Typed(counter.Count),
	}
}

// RegisterExamples registers all Examples. The error is the engine's, such as
// engine.ErrTypeRegistered.
func RegisterExamples(e *engine.Engine) error {
	for messageType, handler := range Examples() {
		if err := e.Register(messageType, handler, engine.Policy{}); err != nil {
			return fmt.Errorf("example handlers: %w", err)
		}
	}
	return nil
}
