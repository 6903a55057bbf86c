package handlers

import (
	"context"

	"github.com/activemessage/activemessage/engine"
)

// Panic panics: the message fails with "handler crashed", the stack goes to the
// log, and the server runs on.
func Panic(context.Context, *engine.Message) (engine.Result, error) {
	panic("the panic handler was asked to")
}
