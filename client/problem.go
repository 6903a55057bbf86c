package client

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

// maxProblemBytes is more than any problem document of a server has.
const maxProblemBytes = 1 << 20

// ProblemError is an answer that is not a success: the problem document, with what
// its headers add. If something between here and the server answered instead, it
// has a Status and a Detail, and no Code.
type ProblemError struct {
	Problem
	// RetryAfter says when to try again; 0 means that it would not help.
	RetryAfter time.Duration
}

// Error returns the status, the code and the detail.
func (e *ProblemError) Error() string {
	return fmt.Sprintf("%d %s: %s", e.Status, e.Code, e.Detail)
}

// New returns a client whose calls return a *ProblemError unless they succeed.
// server is the server's URL. The error is an option's.
func New(server string, options ...ClientOption) (*ClientWithResponses, error) {
	// Last, so that it goes around the HTTP client of any other option.
	return NewClientWithResponses(server, append(options[:len(options):len(options)], withProblems)...)
}

func withProblems(c *Client) error {
	if c.Client == nil {
		c.Client = &http.Client{}
	}
	c.Client = problems{c.Client}
	return nil
}

// problems makes errors of answers that are not a success.
type problems struct{ next HttpRequestDoer }

// Do implements HttpRequestDoer.
func (p problems) Do(r *http.Request) (*http.Response, error) {
	response, err := p.next.Do(r)
	if err != nil || response.StatusCode < http.StatusMultipleChoices {
		return response, err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxProblemBytes))
	if err != nil {
		return nil, fmt.Errorf("read the problem of status %d: %w", response.StatusCode, err)
	}
	return nil, newProblemError(response, body)
}

func newProblemError(response *http.Response, body []byte) *ProblemError {
	e := &ProblemError{}
	if err := json.Unmarshal(body, &e.Problem); err != nil || e.Code == "" {
		e.Problem = Problem{Type: "about:blank", Title: http.StatusText(response.StatusCode), Detail: fmt.Sprintf("%.200q", body)}
	}
	e.Status = response.StatusCode
	if seconds, err := strconv.ParseUint(response.Header.Get("Retry-After"), 10, 31); err == nil {
		e.RetryAfter = time.Duration(seconds) * time.Second
	}
	return e
}
