package webhook

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/activemessage/activemessage/engine"
)

// An answer whose body is of no use is read up to here, for the next request to find
// its connection free; beyond, closing the connection is cheaper.
const (
	maxDrain  = 64 << 10
	drainTime = time.Second
)

// maxExcerpt is how much of a failure's body goes to the log.
const maxExcerpt = 512

// answer is the endpoint's, whose body belongs to the attempt.
type answer struct {
	*http.Response
	handler *Handler
	cancel  context.CancelFunc // ends the exchange
}

// cutError is an answer that ended before its end.
type cutError struct{ cause error }

// Error says so.
func (e *cutError) Error() string { return "the answer was cut off: " + e.cause.Error() }

// Unwrap returns how.
func (e *cutError) Unwrap() error { return e.cause }

// result is what a 2xx comes to: a result, engine.Detach, a *cutError, or a failure for
// good.
func (a *answer) result() (engine.Result, error) {
	if a.StatusCode == http.StatusAccepted {
		a.drain()
		return engine.Result{}, engine.Detach(a.handler.cfg.Lease)
	}
	limit := a.handler.cfg.MaxBody
	if a.ContentLength > limit {
		return engine.Result{}, a.tooLarge(limit)
	}
	if encoding := a.Header.Get("Content-Encoding"); encoding != "" && !strings.EqualFold(encoding, "identity") {
		return engine.Result{}, a.wrong("the endpoint answered with a Content-Encoding, which it was not asked for", fmt.Sprintf("%.64q", encoding))
	}
	data, err := a.read(limit)
	switch {
	case err != nil:
		return engine.Result{}, &cutError{err}
	case int64(len(data)) > limit:
		return engine.Result{}, a.tooLarge(limit)
	}
	return engine.Result{Data: data, ContentType: a.contentType()}, nil
}

// read returns the body, or of one over the limit a byte more than the limit.
func (a *answer) read(limit int64) ([]byte, error) {
	if a.ContentLength < 0 {
		return io.ReadAll(io.LimitReader(a.Body, limit+1))
	}
	if a.ContentLength == 0 {
		return nil, nil
	}
	data := make([]byte, a.ContentLength)
	_, err := io.ReadFull(a.Body, data)
	return data, err
}

// contentType is the answer's, if it can be a message's.
func (a *answer) contentType() string {
	text := a.Header.Get("Content-Type")
	for i := range len(text) {
		if text[i] < ' ' || text[i] > '~' {
			return ""
		}
	}
	if len(text) > engine.MaxContentTypeBytes {
		return ""
	}
	return text
}

func (a *answer) tooLarge(limit int64) error {
	size := "more than"
	if a.ContentLength >= 0 {
		size = fmt.Sprintf("%d bytes, of at most", a.ContentLength)
	}
	return engine.Permanent(&engine.Error{
		Code:    engine.CodeResultTooLarge,
		Message: fmt.Sprintf("the endpoint answered with %s %d bytes", size, limit),
		Cause:   fmt.Errorf("POST %s", a.handler.endpoint),
	})
}

// wrong is an answer that another attempt would not mend.
func (a *answer) wrong(told, logged string) error {
	return engine.Permanent(&engine.Error{
		Code:    CodeFailed,
		Message: told,
		Cause:   fmt.Errorf("POST %s: %s", a.handler.endpoint, logged),
	})
}

// failure is what an answer comes to that is not 2xx.
func (a *answer) failure(m *engine.Message) error {
	failure := &engine.Error{
		Code:    CodeFailed,
		Message: strings.TrimSpace(fmt.Sprintf("the endpoint answered %d %s", a.StatusCode, http.StatusText(a.StatusCode))),
		Cause:   fmt.Errorf("POST %s: %q", a.handler.endpoint, a.drain()),
	}
	switch s := a.StatusCode; {
	case s/100 == 3:
		failure.Message += ": redirects are not followed"
		return engine.Permanent(failure)
	case s == http.StatusGone:
		if gone := a.handler.cfg.OnGone; gone != nil {
			gone(m.MessageType)
		}
		return engine.Permanent(failure)
	case !retryable(s):
		return engine.Permanent(failure)
	}
	wait := retryAfter(a.Header.Get("Retry-After"), time.Now())
	switch {
	case wait == 0:
		return failure
	case a.StatusCode == http.StatusTooManyRequests, a.StatusCode == http.StatusServiceUnavailable:
		return engine.Throttle(wait, failure)
	}
	return engine.RetryAfter(wait, failure)
}

func retryable(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusConflict, http.StatusTooEarly, http.StatusTooManyRequests:
		return true
	}
	return status/100 == 5
}

// drain returns the beginning of the body, and leaves its connection to the next
// request if the rest is short and there.
func (a *answer) drain() string {
	if a.StatusCode < http.StatusOK { // 101 has no body but the connection itself
		return ""
	}
	timer := time.AfterFunc(drainTime, a.cancel)
	defer timer.Stop()
	excerpt, err := io.ReadAll(io.LimitReader(a.Body, maxExcerpt))
	if err == nil {
		_, _ = io.CopyN(io.Discard, a.Body, maxDrain) // what it comes to, the connection's next user finds
	}
	return string(excerpt)
}
