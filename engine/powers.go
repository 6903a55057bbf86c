package engine

import (
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"runtime/debug"
)

// Checker is a power of a Handler: to refuse a submission before it is accepted, so that
// who sent it is told at once.
type Checker interface {
	// Check is called by Submit and SubmitAll, in their caller's goroutine, after
	// everything else about the submission was found valid. It must be quick, without
	// side effects, and not change s. Its error refuses the submission as invalid: an
	// *InvalidError is what the submitter reads, of an *Error the Message stands as the
	// reason at message_data; any other error's text goes to the log alone, at debug
	// level. A panic refuses it, too, and its stack goes to the log.
	//
	// What passed may still be refused by Handle: it was accepted under another handler, or
	// the world has changed.
	Check(s *Submission) error
}

// Describer is a power of a Handler: to tell of which Go types its data and its result
// are, as encoding/json reads and writes them.
type Describer interface {
	// Describe returns nil for what is not JSON, or not of one type. It returns the same
	// whenever it is called.
	Describe() (data, result reflect.Type)
}

// Detacher is a power of a Handler: to return Detach.
type Detacher interface {
	// Detaches reports whether it may. Then what ran when the server died waits half a
	// minute after the next start, for whoever has it, before it runs again.
	Detaches() bool
}

// Power returns the power P of h, or of the nearest handler in it that has P: P is
// Checker, Describer, Detacher or an interface of your own. A handler tells what it wraps by a
// method Unwrap() Handler; for middleware that Chain put there, Chain does.
//
// The outermost one counts. So middleware that hands on other data than it was given has
// to return a handler with powers of its own, which speak of what it is given.
func Power[P any](h Handler) (power P, has bool) {
	for range maxWrappers {
		if c, is := h.(chained); is {
			if power, has = c.Handler.(P); has {
				return power, true
			}
			h = c.inner
			continue
		}
		if power, has = h.(P); has {
			return power, true
		}
		w, wraps := h.(wrapper)
		if !wraps {
			break
		}
		h = w.Unwrap()
	}
	return power, false
}

// maxWrappers ends the search in a handler that unwraps to itself.
const maxWrappers = 1000

type wrapper interface{ Unwrap() Handler }

// chained is a handler made by middleware that does not say itself what it wraps.
type chained struct {
	Handler
	inner Handler
}

func (c chained) Unwrap() Handler { return c.inner }

// setChecker finds the power in the type's handler. Submit reads it without the lock.
func (t *messageType) setChecker(h Handler) {
	if c, checks := Power[Checker](h); checks {
		t.checker.Store(&c)
	} else {
		t.checker.Store(nil)
	}
}

// Describe returns the Go types of a message type's data and result, as its handler's
// Describer tells them; nil for what it does not. Errors: ErrUnknownType.
func (e *Engine) Describe(messageType string) (data, result reflect.Type, err error) {
	t := e.lookup(messageType)
	if t == nil {
		return nil, nil, &unknownTypeError{messageType}
	}
	e.mu.Lock()
	h := t.handler
	e.mu.Unlock()
	if d, has := Power[Describer](h); has {
		data, result = d.Describe()
	}
	return data, result, nil
}

// checkData asks the type's Checker, if it has one.
func (e *Engine) checkData(s *Submission, t *messageType) error {
	c := t.checker.Load()
	if c == nil || !t.registered.Load() {
		return nil
	}
	given := *s // escapes here, and not for who has no Checker
	return e.callChecker(*c, &given)
}

// callChecker makes a *InvalidError of what the Checker returns, or of its panic.
func (e *Engine) callChecker(c Checker, s *Submission) (err error) {
	defer func() {
		if p := recover(); p != nil {
			e.cfg.Logger.Error("check crashed", slog.String("message_type", s.MessageType),
				slog.String("error", fmt.Sprintf("panic: %v", p)), slog.String("stack", string(debug.Stack())))
			err = &InvalidError{Field: dataField, Reason: "cannot be checked: the check of this message type crashed"}
		}
	}()
	fault := c.Check(s)
	if fault == nil {
		return nil
	}
	if invalid, is := errors.AsType[*InvalidError](fault); is && invalid != nil {
		return invalid
	}
	if own, is := errors.AsType[*Error](fault); is {
		return &InvalidError{Field: dataField, Reason: cutText(own.Error(), maxErrorMessage)}
	}
	e.cfg.Logger.Debug("refused by its check", slog.String("message_type", s.MessageType), slog.String("error", fault.Error()))
	return &InvalidError{Field: dataField, Reason: "is not what this message type takes"}
}

// dataField is the data's name in an InvalidError; a JSON Pointer (RFC 6901) into it may
// follow.
const dataField = "message_data"
