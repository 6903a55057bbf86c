package wire

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/activemessage/activemessage/engine"
	"github.com/activemessage/activemessage/engine/remote"
)

// ProblemContentType is the media type of a Problem.
const ProblemContentType = "application/problem+json"

// Problem is an error as clients are told it: a problem document (RFC 9457) with
// a stable code, and where the request is to blame, what to change.
type Problem struct {
	// Status is the HTTP status that goes with it.
	Status int
	// Code is for programs; the problem's type URI ends in it.
	Code string
	// Title is the same for every problem of the code, Detail is for this one.
	Title, Detail string
	// Errors point at what is wrong in the request.
	Errors []FieldError
	// RetryAfter says when to try again; 0 means that it would not help.
	RetryAfter time.Duration
}

// FieldError is one thing wrong in a request.
type FieldError struct {
	// Pointer is a JSON Pointer (RFC 6901) into the body, "?name" for a query
	// parameter, "{name}" for one of the path, or the name of a header.
	Pointer string
	// Detail says what is wrong and what is allowed.
	Detail string
}

// Error returns the code and the detail.
func (p *Problem) Error() string { return p.Code + ": " + p.Detail }

// Type is the problem's stable type URI.
func (p *Problem) Type() string {
	return "urn:problem-type:activemessage:" + strings.ReplaceAll(p.Code, "_", "-")
}

// RetryAfterSeconds is RetryAfter for a header: whole seconds, at least 1.
func (p *Problem) RetryAfterSeconds() int {
	return max(int(math.Ceil(p.RetryAfter.Seconds())), 1)
}

// NewProblem makes a problem of a code of the table below.
func NewProblem(code, detail string, fields ...FieldError) *Problem {
	kind, known := problemKinds()[code]
	if !known {
		kind, code = problemKind{http.StatusInternalServerError, "Internal error"}, "internal_error"
	}
	return &Problem{Status: kind.status, Code: code, Title: kind.title, Detail: detail, Errors: fields}
}

type problemKind struct {
	status int
	title  string
}

// problemKinds is the one table of what clients are told.
func problemKinds() map[string]problemKind {
	return map[string]problemKind{
		"malformed_json":         {http.StatusBadRequest, "Malformed JSON"},
		"malformed_request":      {http.StatusBadRequest, "Malformed request"},
		"cross_origin":           {http.StatusForbidden, "Cross-origin request refused"},
		"not_found":              {http.StatusNotFound, "No such resource"},
		"unknown_message_type":   {http.StatusNotFound, "Unknown message type"},
		"message_not_found":      {http.StatusNotFound, "No such message"},
		"method_not_allowed":     {http.StatusMethodNotAllowed, "Method not allowed"},
		"request_timeout":        {http.StatusRequestTimeout, "The request took too long to arrive"},
		"already_ended":          {http.StatusConflict, "The message has already ended"},
		"result_not_ready":       {http.StatusConflict, "The message has not ended yet"},
		"result_unavailable":     {http.StatusConflict, "The message has no result"},
		"message_too_large":      {http.StatusRequestEntityTooLarge, "Message too large"},
		"unsupported_media_type": {http.StatusUnsupportedMediaType, "Unsupported media type"},
		"invalid_message":        {http.StatusUnprocessableEntity, "Invalid message"},
		"not_acceptable":         {http.StatusNotAcceptable, "Nothing acceptable to answer with"},
		"not_retryable":          {http.StatusConflict, "The message cannot be retried"},
		"idempotency_key_reused": {http.StatusUnprocessableEntity, "The idempotency key was used for another message"},
		"invalid_policy":         {http.StatusUnprocessableEntity, "Invalid policy"},
		"invalid_work":           {http.StatusUnprocessableEntity, "Invalid request of a worker"},
		"replaced":               {http.StatusConflict, "Another connection took over"},
		"upgrade_required":       {http.StatusUpgradeRequired, "This is a WebSocket endpoint"},
		"queue_full":             {http.StatusTooManyRequests, "The message type's queue is full"},
		"server_full":            {http.StatusServiceUnavailable, "The server is full"},
		"draining":               {http.StatusServiceUnavailable, "The server is shutting down"},
		"not_ready":              {http.StatusServiceUnavailable, "The server is not ready"},
		"store_failed":           {http.StatusServiceUnavailable, "The server's store failed"},
		"storage_full":           {http.StatusInsufficientStorage, "The server's storage is full"},
		"unknown_op":             {http.StatusBadRequest, "Unknown op"},
		"internal_error":         {http.StatusInternalServerError, "Internal error"},
	}
}

const (
	// retryWhenDraining is when a client of a server that shuts down tries the next.
	retryWhenDraining = 2 * time.Second
	// retryStore gives whoever tends the server, or its retention, time to mend it.
	retryStore = 5 * time.Second
)

// ProblemFor translates an error: the engine's, or a *Problem, which is returned
// as it is. What it does not know is an internal error without the error's text.
func ProblemFor(err error) *Problem {
	if p, ok := errors.AsType[*Problem](err); ok {
		return p
	}
	if p := problemOfWork(err); p != nil {
		return p
	}
	if full, ok := errors.AsType[*engine.QueueFullError](err); ok {
		code := "server_full"
		if full.Scope == engine.ScopeType {
			code = "queue_full"
		}
		p := NewProblem(code, full.Error()+": try again after retry_after seconds")
		p.RetryAfter = full.RetryAfter
		return p
	}
	if invalidErr, ok := errors.AsType[*engine.InvalidError](err); ok {
		return InvalidAt("/"+invalidErr.Field, invalidErr.Reason)
	}
	switch {
	// First, for what a store failed with may be one of the others, such as a deadline.
	case errors.Is(err, engine.ErrStorageFull):
		p := NewProblem("storage_full", "the server has no room to keep more: try again after retry_after seconds")
		p.RetryAfter = retryStore
		return p
	case errors.Is(err, engine.ErrStoreFailed):
		p := NewProblem("store_failed", "the server's store failed, and its log says why: "+
			"whether a message was accepted is not known, so send it again after retry_after seconds with its idempotency key")
		p.RetryAfter = retryStore
		return p
	case errors.Is(err, engine.ErrUnknownType):
		return NewProblem("unknown_message_type", err.Error()+": GET /v1/handlers lists those there are")
	case errors.Is(err, engine.ErrTooLarge):
		return NewProblem("message_too_large", err.Error())
	case errors.Is(err, engine.ErrNotFound):
		return NewProblem("message_not_found", "no message has this id, or it ended too long ago to be kept")
	case errors.Is(err, engine.ErrKeyReused):
		return NewProblem("idempotency_key_reused", "another message was submitted with this idempotency key: take a new key for new content")
	case errors.Is(err, engine.ErrNotRetryable):
		return NewProblem("not_retryable", engine.ErrNotRetryable.Error())
	case errors.Is(err, engine.ErrTerminal):
		return NewProblem("already_ended", "the message has already ended: GET it to see how")
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return NewProblem("request_timeout", "the request ended before it was answered")
	case errors.Is(err, engine.ErrDraining):
		return draining()
	}
	return NewProblem("internal_error", "the server failed to answer; its log says why")
}

func draining() *Problem {
	p := NewProblem("draining", "the server is shutting down: send the message to another, or try again later")
	p.RetryAfter = retryWhenDraining
	return p
}

// problemOfWork translates the errors of package remote; nil for any other.
func problemOfWork(err error) *Problem {
	if refused, ok := errors.AsType[*remote.RefusedError](err); ok {
		return NewProblem("invalid_work", refused.Error(), FieldError{refused.Field, refused.Reason})
	}
	switch {
	case errors.Is(err, remote.ErrReplaced):
		return NewProblem("replaced", remote.ErrReplaced.Error()+": choose another instance for each process")
	case errors.Is(err, remote.ErrFull):
		p := NewProblem("server_full", "as many workers are connected as the server allows: try again after retry_after seconds")
		p.RetryAfter = retryStore
		return p
	case errors.Is(err, remote.ErrClosed):
		return draining()
	}
	return nil
}

// InvalidAt is the problem of a value that a message must not have. The pointer is
// one of FieldError.
func InvalidAt(pointer, reason string) *Problem {
	return NewProblem("invalid_message", strings.TrimLeft(pointer, "/?")+": "+reason, FieldError{pointer, reason})
}

// InData tells whether an error is about the message data, and where in it: a JSON
// Pointer, empty for all of it.
func InData(err *engine.InvalidError) (pointer string, is bool) {
	pointer, is = strings.CutPrefix(err.Field, "message_data")
	return pointer, is && (pointer == "" || pointer[0] == '/')
}

// AtBody is the problem of message data that is the request's body: the pointer is one
// into the data.
func AtBody(err *engine.InvalidError, pointer string) *Problem {
	return NewProblem("invalid_message", err.Error(), FieldError{pointer, err.Reason})
}

func malformed(detail string) *Problem { return NewProblem("malformed_json", detail) }

// Write answers a request with the problem. Retry-After is stretched by up to a
// half at random, so that refused clients do not come back as one wave.
func (p *Problem) Write(w http.ResponseWriter) {
	body := p.AppendJSON(nil)
	h := w.Header()
	h.Set("Content-Type", ProblemContentType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("Cache-Control", "no-store")
	if p.RetryAfter > 0 {
		seconds := p.RetryAfterSeconds()
		h.Set("Retry-After", strconv.Itoa(seconds+rand.IntN(seconds/2+1)))
	}
	w.WriteHeader(p.Status)
	_, _ = w.Write(body) // a client that is gone has nobody to tell
}

// BadParameter is the problem of a query parameter.
func BadParameter(name, reason string) *Problem {
	return NewProblem("malformed_request", fmt.Sprintf("query parameter %.80q %s", name, reason), FieldError{"?" + name, reason})
}

// ParseQuery reads a URL's query. The error is a *Problem.
func ParseQuery(u *url.URL) (url.Values, error) {
	values, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return nil, NewProblem("malformed_request", "the query is not well-formed: escape it by percent-encoding")
	}
	return values, nil
}

// AppendJSON appends the problem document.
func (p *Problem) AppendJSON(b []byte) []byte {
	return append(p.AppendMembers(append(b, '{')), '}')
}

// AppendMembers appends the document's members without the braces around them.
func (p *Problem) AppendMembers(b []byte) []byte {
	b = AppendString(append(b, `"type":`...), p.Type())
	b = AppendString(append(b, `,"title":`...), p.Title)
	b = strconv.AppendInt(append(b, `,"status":`...), int64(p.Status), 10)
	b = AppendString(append(b, `,"detail":`...), p.Detail)
	b = AppendString(append(b, `,"code":`...), p.Code)
	for i, field := range p.Errors {
		if i == 0 {
			b = append(b, `,"errors":[`...)
		} else {
			b = append(b, ',')
		}
		b = AppendString(append(b, `{"pointer":`...), field.Pointer)
		b = AppendString(append(b, `,"detail":`...), field.Detail)
		b = append(b, '}')
	}
	if len(p.Errors) > 0 {
		b = append(b, ']')
	}
	if p.RetryAfter > 0 {
		b = strconv.AppendInt(append(b, `,"retry_after":`...), int64(p.RetryAfterSeconds()), 10)
	}
	return b
}
