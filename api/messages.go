package api

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/activemessage/activemessage/engine"
	"github.com/activemessage/activemessage/internal/wire"
)

// getMessage answers with a message's status, once it has ended if the client
// prefers to wait.
func (s *server) getMessage(w http.ResponseWriter, r *http.Request) error {
	status, err := s.status(r)
	if err != nil {
		return err
	}
	if lines := r.Header["Prefer"]; lines != nil && !status.State.Terminal() {
		if latest, _ := s.await(w, r, lines, status.ID); !latest.ID.IsZero() {
			status = latest
		}
	}
	return writeMessage(w, http.StatusOK, &status)
}

func (s *server) status(r *http.Request) (engine.Status, error) {
	id, err := messageID(r)
	if err != nil {
		return engine.Status{}, err
	}
	return s.engine.Get(id)
}

func messageID(r *http.Request) (engine.ID, error) {
	id, err := engine.ParseID(pathValue(r, "id"))
	if err != nil {
		return id, wire.NewProblem("malformed_request", err.Error())
	}
	return id, nil
}

// getMessageResult answers with the bytes a handler returned. They are anybody's:
// sandboxed, so that a result cannot act as a page of this origin.
func (s *server) getMessageResult(w http.ResponseWriter, r *http.Request) error {
	status, err := s.status(r)
	switch {
	case err != nil:
		return err
	case !status.State.Terminal():
		return wire.NewProblem("result_not_ready", fmt.Sprintf("the message is %s: its notification tells when it has ended", status.State))
	case status.State != engine.StateSucceeded:
		return wire.NewProblem("result_unavailable", fmt.Sprintf("the message has ended as %s: %s", status.State, status.Error.Message))
	}
	contentType := status.Result.ContentType
	if contentType == "" {
		contentType = "application/octet-stream"
	}
	setHeader(w, "Content-Type", contentType)
	setHeader(w, "Content-Length", strconv.Itoa(len(status.Result.Data)))
	setHeader(w, "X-Content-Type-Options", "nosniff")
	setHeader(w, "Content-Security-Policy", "sandbox")
	setHeader(w, "Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
	wire.WriteBody(w, status.Result.Data)
	return nil
}

// cancelMessage cancels a message: 200 if it has ended so, 202 if its handler was
// asked to stop.
func (s *server) cancelMessage(w http.ResponseWriter, r *http.Request) error {
	id, err := messageID(r)
	if err != nil {
		return err
	}
	status, err := s.engine.Cancel(id)
	if errors.Is(err, engine.ErrTerminal) {
		return wire.NewProblem("already_ended", fmt.Sprintf("the message has already ended, as %s", status.State))
	}
	if err != nil {
		return err
	}
	code := http.StatusOK
	if !status.State.Terminal() {
		code = http.StatusAccepted
	}
	return writeMessage(w, code, &status)
}

// listMessages answers with a page of messages, newest accepted first.
func (s *server) listMessages(w http.ResponseWriter, r *http.Request) error {
	query, err := parseQuery(r.URL, append(filterNames(), "cursor")...)
	if err != nil {
		return err
	}
	options, err := readFilter(query)
	if err != nil {
		return err
	}
	if cursor := query["cursor"]; cursor != "" {
		if options.Before, err = strconv.ParseUint(cursor, 36, 64); err != nil || options.Before == 0 {
			return wire.BadParameter("cursor", "is not one this server gave: take it from next, or leave it out")
		}
	}
	page, err := s.engine.List(options)
	if err != nil {
		return asQueryProblem(err)
	}
	body := append(make([]byte, 0, 512*len(page.Messages)+32), `{"messages":[`...)
	for i := range page.Messages {
		if i > 0 {
			body = append(body, ',')
		}
		body = wire.AppendStatus(body, &page.Messages[i], false)
	}
	body = append(body, ']')
	if page.Next != 0 {
		next := strconv.FormatUint(page.Next, 36)
		setHeader(w, "Link", "<"+nextPage(r.URL, "cursor", next)+`>; rel="next"`)
		body = wire.AppendString(append(body, `,"next":`...), next)
	}
	setHeader(w, "Cache-Control", "no-store")
	return writeJSON(w, http.StatusOK, append(body, '}', '\n'))
}

// filterNames are the parameters that pick messages.
func filterNames() []string {
	return []string{"state", "message_type", "key", "accepted_after", "accepted_before", "limit"}
}

func readFilter(query map[string]string) (engine.ListOptions, error) {
	for name, value := range query {
		if value == "" { // of a variable that is not set, mostly: it would pick all
			return engine.ListOptions{}, wire.BadParameter(name, "is empty: leave it out, or give it a value")
		}
	}
	options := engine.ListOptions{
		State:       engine.State(query["state"]),
		MessageType: query["message_type"],
		Key:         query["key"],
	}
	for name, into := range map[string]*time.Time{
		"accepted_after":  &options.AcceptedAfter,
		"accepted_before": &options.AcceptedBefore,
	} {
		if text, given := query[name]; given {
			if reason := wire.ParseTime(into, text); reason != "" {
				return options, wire.BadParameter(name, reason)
			}
		}
	}
	if text, given := query["limit"]; given {
		limit, err := strconv.Atoi(text)
		if err != nil || limit < 1 {
			return options, wire.BadParameter("limit", fmt.Sprintf("%.40q is out of range: use 1 to 1000", text))
		}
		options.Limit = limit
	}
	return options, nil
}

// nextPage is the request's own query with another position (RFC 8288).
func nextPage(u *url.URL, name, position string) string {
	query := u.Query()
	query.Set(name, position)
	return u.Path + "?" + query.Encode()
}
