package middleware

import (
	"context"
	"fmt"
	"runtime/debug"

	"github.com/activemessage/activemessage/engine"
)

// PanicError is a handler's panic.
type PanicError struct {
	// Value is what it panicked with, Stack where.
	Value any
	Stack []byte
}

// Error returns the value and the stack, for the log: clients do not read it.
func (p *PanicError) Error() string { return fmt.Sprintf("panic: %v\n\n%s", p.Value, p.Stack) }

// Unwrap returns the value if it is an error.
func (p *PanicError) Unwrap() error {
	err, _ := p.Value.(error)
	return err
}

// Recover turns a panic into an error, so that the middleware outside of it sees one: a
// span ends with it, a log has it. The message comes to the same without: the engine
// recovers panics, too. Clients read "handler crashed", code engine.CodeHandlerCrashed; the
// error has a *PanicError. A runtime.Goexit is none, and goes on.
func Recover() engine.Middleware {
	return func(next engine.Handler) engine.Handler {
		return wrapped{func(ctx context.Context, m *engine.Message) (result engine.Result, err error) {
			defer func() {
				if p := recover(); p != nil {
					result, err = engine.Result{}, &engine.Error{
						Code:    engine.CodeHandlerCrashed,
						Message: "handler crashed",
						Cause:   &PanicError{Value: p, Stack: debug.Stack()},
					}
				}
			}()
			return next.Handle(ctx, m)
		}, next}
	}
}
