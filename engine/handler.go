package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
)

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

// Chain wraps h so that the first middleware sees a message first.
func Chain(h Handler, middleware ...Middleware) Handler {
	for i := len(middleware) - 1; i >= 0; i-- {
		h = middleware[i](h)
	}
	return h
}

// Typed adapts a function of Go values: MessageData is decoded as JSON into In
// (empty data leaves In zero), and Out is encoded as the result with content
// type application/json. Data that does not decode fails the message, without a
// retry, with code "invalid_data".
func Typed[In, Out any](fn func(context.Context, In) (Out, error)) Handler {
	return HandlerFunc(func(ctx context.Context, m *Message) (Result, error) {
		var in In
		if err := decodeJSON(m.MessageData, &in); err != nil {
			return Result{}, Permanent(&Error{Code: CodeInvalidData, Message: "message_data: " + misfit(err), Cause: err})
		}
		out, err := fn(ctx, in)
		if err != nil {
			return Result{}, err
		}
		data, err := json.Marshal(out)
		if err != nil {
			return Result{}, err
		}
		return Result{Data: data, ContentType: "application/json"}, nil
	})
}

// misfit says why data does not decode, without names of Go types.
func misfit(err error) string {
	wrong, is := errors.AsType[*json.UnmarshalTypeError](err)
	if !is {
		return err.Error()
	}
	where := "it"
	if wrong.Field != "" {
		where = "the member " + wrong.Field
	}
	return where + " is a JSON " + wrong.Value + ", which does not fit"
}

func decodeJSON(data []byte, into any) error {
	if len(bytes.TrimSpace(data)) == 0 {
		return nil
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	if err := decoder.Decode(into); err != nil {
		return err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return errors.New("more than one JSON value")
	}
	return nil
}
