package api

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/activemessage/activemessage/internal/wire"
)

// exactBody is up to which size a body's announced length is believed before it
// has arrived; memory for a larger one grows with what comes.
const exactBody = 64 << 10

// boundBody gives a request's body its time, also one that nobody reads: net/http
// does, before it answers.
func (s *server) boundBody(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength != 0 {
			_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(s.cfg.BodyTimeout)) // not every connection has one
		}
		next.ServeHTTP(w, r)
	})
}

// readBody reads a request's body into memory of its own. A body that says it is
// too large is refused unread, one that turns out so is cut off, and one that
// dawdles ends at the timeout.
func (s *server) readBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	if r.ContentLength > limit {
		setHeader(w, "Connection", "close")
		return nil, tooLarge(limit)
	}
	if r.ContentLength == 0 {
		return nil, nil
	}
	var body []byte
	var err error
	if 0 < r.ContentLength && r.ContentLength <= exactBody {
		body = make([]byte, r.ContentLength)
		_, err = io.ReadFull(r.Body, body)
	} else {
		body, err = io.ReadAll(http.MaxBytesReader(innermost(w), r.Body, limit))
	}
	if err == nil {
		// What follows may take longer, and the connection is watched by reading.
		_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
		return body, nil
	}
	if _, over := errors.AsType[*http.MaxBytesError](err); over {
		return nil, tooLarge(limit)
	}
	setHeader(w, "Connection", "close")
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil, wire.NewProblem("request_timeout", fmt.Sprintf("the body did not arrive within %s", s.cfg.BodyTimeout))
	}
	return nil, wire.NewProblem("malformed_request", "the body ended before its announced length")
}

// innermost takes a middleware's wrapping off: only net/http's own writer can be told
// that a body is too large, and closes the connection without cutting the answer off.
func innermost(w http.ResponseWriter) http.ResponseWriter {
	for {
		wrapping, is := w.(interface{ Unwrap() http.ResponseWriter })
		if !is {
			return w
		}
		w = wrapping.Unwrap()
	}
}

func tooLarge(limit int64) error {
	return wire.NewProblem("message_too_large", fmt.Sprintf(
		"the body has more than %d bytes: send less, a batch in several, or start the server with a larger --max-message-bytes, for a result --max-result-bytes", limit))
}
