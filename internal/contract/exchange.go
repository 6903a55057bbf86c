package contract

import (
	"bytes"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
)

// Check returns how a request and its response break the document, or nil. The
// request matters only if it was accepted, and in a media type that the document can
// describe. What belongs to no operation has to be a problem, 404 or 405.
func (c *Checker) Check(r *http.Request, sent []byte, response *http.Response, received []byte) error {
	if r.Method == http.MethodOptions && response.StatusCode == http.StatusNoContent {
		return nil // a browser's preflight (Fetch, section 4.8) is nobody's operation
	}
	if r.Method == http.MethodHead { // is GET without the body
		r = r.Clone(r.Context())
		r.Method = http.MethodGet
	}
	if _, documented := c.find(r); !documented {
		if response.StatusCode == http.StatusNotFound || response.StatusCode == http.StatusMethodNotAllowed {
			return c.CheckProblem(response, received)
		}
		return fmt.Errorf("%s %s is not documented, and answered with %d", r.Method, r.URL.Path, response.StatusCode)
	}
	if response.StatusCode < 300 && (len(sent) == 0 || readable(r.Header.Get("Content-Type"))) {
		if err := c.CheckRequest(r, sent); err != nil {
			return fmt.Errorf("%s %s was accepted, but is not valid: %w", r.Method, r.URL, err)
		}
	}
	if err := c.CheckResponse(r, response, received); err != nil {
		return fmt.Errorf("the answer to %s %s: %w\n%s", r.Method, r.URL, err, received)
	}
	return nil
}

// readable reports whether a document can say what a body of a type shall be: it
// has no word for "any type that ends in +json", none for a line of NDJSON, and the
// types a bare `curl -d` gives to JSON are not its.
func readable(contentType string) bool {
	media, _, _ := mime.ParseMediaType(contentType)
	switch media {
	case "", "application/x-ndjson", "application/jsonl", "application/x-www-form-urlencoded", "text/plain":
		return false
	}
	return !strings.HasPrefix(media, "application/vnd.")
}

// Middleware holds what passes a handler against the document. It reports faults
// on the goroutine of the request.
func (c *Checker) Middleware(next http.Handler, report func(error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var sent bytes.Buffer
		recorder := &recorder{ResponseWriter: w}
		next.ServeHTTP(recorder, keeping(r, &sent))
		if recorder.status == 0 {
			recorder.status, recorder.header = http.StatusOK, recorder.Header()
		}
		response := &http.Response{StatusCode: recorder.status, Header: recorder.header}
		if err := c.Check(r, sent.Bytes(), response, recorder.body.Bytes()); err != nil {
			report(err)
		}
	})
}

// keeping returns the request with a body that leaves a copy behind. The request
// itself is not touched: net/http looks at its body when it closes a connection.
func keeping(r *http.Request, sent *bytes.Buffer) *http.Request {
	if r.Body == nil {
		return r
	}
	r = r.Clone(r.Context())
	r.Body = struct {
		io.Reader
		io.Closer
	}{io.TeeReader(r.Body, sent), r.Body}
	return r
}

// recorder keeps what is answered, but for an event stream's events.
type recorder struct {
	http.ResponseWriter
	status int
	header http.Header
	body   bytes.Buffer
}

// Unwrap is for http.ResponseController.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// WriteHeader keeps what the handler has said until now.
func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status, r.header = status, r.Header().Clone()
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(b []byte) (int, error) {
	if r.status == 0 {
		r.WriteHeader(http.StatusOK)
	}
	if r.header.Get("Content-Type") != "text/event-stream" {
		r.body.Write(b)
	}
	return r.ResponseWriter.Write(b)
}

// Transport holds what passes a client against the document, as Middleware does for
// a server. An event stream is not waited for.
func (c *Checker) Transport(base http.RoundTripper, report func(error)) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		var sent bytes.Buffer
		response, err := base.RoundTrip(keeping(r, &sent))
		if err != nil || response.Header.Get("Content-Type") == "text/event-stream" {
			return response, err
		}
		var received []byte
		if response.StatusCode != http.StatusSwitchingProtocols {
			if received, err = io.ReadAll(response.Body); err != nil {
				return nil, err
			}
			_ = response.Body.Close()
			response.Body = io.NopCloser(bytes.NewReader(received))
		}
		if err := c.Check(r, sent.Bytes(), response, received); err != nil {
			report(err)
		}
		return response, nil
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

// RoundTrip calls the function.
func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
