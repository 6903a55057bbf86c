package engine

import "context"

// Handler does the work of one message type. Handle is called from many
// goroutines at once, up to the type's concurrency.
//
// ctx ends when the attempt's timeout passes, the message is cancelled, or a
// shutdown runs out of time; context.Cause tells which (ErrTimeout,
// ErrCancelled, ErrShutdown). A handler that ignores it keeps its slot until it
// returns.
//
// A returned error fails the attempt; what follows is up to the type's policy, or
// to Permanent, RetryAfter and Snooze. Clients read its text only if an *Error
// is in the chain; any other error reads "handler failed" to them and goes to
// the log in full, so that no handler leaks a query or a path by accident. A
// panic reads "handler crashed" and its stack goes to the log.
//
// A handler may have powers beside, as further methods: see Checker, Describer
// and Detacher.
type Handler interface {
	Handle(ctx context.Context, m *Message) (Result, error)
}

// HandlerFunc adapts a function or a method value, which may capture what it
// needs: a database, a counter behind a mutex.
type HandlerFunc func(ctx context.Context, m *Message) (Result, error)

// Handle calls f.
func (f HandlerFunc) Handle(ctx context.Context, m *Message) (Result, error) { return f(ctx, m) }

// Middleware wraps a Handler. It is the only way to wrap one.
type Middleware func(Handler) Handler

// Chain wraps h so that the first middleware sees a message first, and an outcome last.
// The powers of h, such as Checker, are found through it, whatever the middleware
// returns: see Power.
func Chain(h Handler, middleware ...Middleware) Handler {
	for i := len(middleware) - 1; i >= 0; i-- {
		outer := middleware[i](h)
		if _, tells := outer.(wrapper); outer != nil && !tells {
			outer = chained{outer, h}
		}
		h = outer
	}
	return h
}
