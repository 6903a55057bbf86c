// Package handlers has the example handlers a server runs when it is given no
// others. Each file is one message type, and a small model of how to write one.
package handlers

import (
	"fmt"

	"github.com/activemessage/activemessage/engine"
)

// RegisterExamples registers echo, sleep, fail, panic and count. The error is the
// engine's, such as engine.ErrTypeRegistered.
func RegisterExamples(e *engine.Engine) error {
	counter := &Counter{}
	for _, example := range []struct {
		messageType string
		handler     engine.Handler
	}{
		{"echo", engine.HandlerFunc(Echo)},
		{"sleep", engine.HandlerFunc(Sleep)},
		{"fail", engine.HandlerFunc(Fail)},
		{"panic", engine.HandlerFunc(Panic)},
		{"count", engine.Typed(counter.Count)},
	} {
		if err := e.Register(example.messageType, example.handler, engine.Policy{}); err != nil {
			return fmt.Errorf("example handlers: %w", err)
		}
	}
	return nil
}
