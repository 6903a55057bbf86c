// Package middleware has what handlers often are wrapped in: a log, traces, a limit of
// their rate, and panics as errors.
//
//	h := engine.Chain(engine.Typed(mail.Send),
//		middleware.RateLimit(10, 20),        // first: what it puts off, the others do not see
//		middleware.Tracing(nil),
//		middleware.Logging(logger),
//		middleware.Recover())                // last: the others see a panic as an error
//	err := e.Register("mail", h, engine.Policy{})
//
// engine.Chain's first middleware is outermost. All of them keep a handler's powers, such
// as the check of engine.Typed, also without Chain.
//
// None of them is needed for an engine to work: it recovers panics, logs failures, and has
// an engine.Observer for the traces of a whole server.
package middleware

import (
	"context"
	"log/slog"
	"time"

	"github.com/activemessage/activemessage/engine"
)

// wrapped is a handler that tells what it wraps.
type wrapped struct {
	engine.HandlerFunc
	inner engine.Handler
}

// Unwrap returns the handler inside, whose powers are looked for.
func (w wrapped) Unwrap() engine.Handler { return w.inner }

// Logging logs the end of every attempt, with its id, message type, attempt number and
// duration, and with the handler's context: success and what is put off at info, a failure
// at warn with its error, a panic that passes at error. The engine's own Logger tells
// failures too, and what followed; this one tells what a handler did, to whom it concerns.
func Logging(logger *slog.Logger) engine.Middleware {
	return func(next engine.Handler) engine.Handler {
		return wrapped{func(ctx context.Context, m *engine.Message) (result engine.Result, err error) {
			began, returned := time.Now(), false
			defer func() { // also of a panic, which goes on with the stack it has
				level, text := slog.LevelInfo, "handler succeeded"
				attrs := []slog.Attr{
					slog.String("id", m.ID.String()),
					slog.String("message_type", m.MessageType),
					slog.Int("attempt", m.Attempt),
					slog.Duration("duration", time.Since(began)),
				}
				switch {
				case !returned:
					level, text = slog.LevelError, "handler crashed"
				case engine.Fails(err):
					level, text = slog.LevelWarn, "handler failed"
					attrs = append(attrs, slog.Any("error", err))
				case err != nil:
					text = "handler put the message off"
				}
				logger.LogAttrs(ctx, level, text, attrs...)
			}()
			result, err = next.Handle(ctx, m)
			returned = true
			return result, err
		}, next}
	}
}
