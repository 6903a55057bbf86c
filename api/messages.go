package api

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/activemessage/activemessage/engine"
	"github.com/activemessage/activemessage/internal/wire"
)

// getMessage answers with a message's status.
func (s *server) getMessage(w http.ResponseWriter, r *http.Request) error {
	status, err := s.status(r)
	if err != nil {
		return err
	}
	setHeader(w, "Cache-Control", "no-store")
	return writeJSON(w, http.StatusOK, append(wire.AppendStatus(nil, &status), '\n'))
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
		return wire.NewProblem("result_unavailable", fmt.Sprintf("the message %s: %s", status.State, status.Error.Message))
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
	_, _ = w.Write(status.Result.Data)
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
		return wire.NewProblem("already_ended", fmt.Sprintf("the message has already ended: it %s", status.State))
	}
	if err != nil {
		return err
	}
	code := http.StatusOK
	if !status.State.Terminal() {
		code = http.StatusAccepted
	}
	return writeJSON(w, code, append(wire.AppendStatus(nil, &status), '\n'))
}

// listMessages answers with a page of messages, newest accepted first.
func (s *server) listMessages(w http.ResponseWriter, r *http.Request) error {
	query, err := parseQuery(r.URL, "state", "message_type", "limit", "cursor")
	if err != nil {
		return err
	}
	options := engine.ListOptions{State: engine.State(query["state"]), MessageType: query["message_type"]}
	if limit, given := query["limit"]; given {
		if options.Limit, err = strconv.Atoi(limit); err != nil || options.Limit < 1 {
			return wire.BadParameter("limit", fmt.Sprintf("%.40q is out of range: use 1 to 1000", limit))
		}
	}
	if cursor := query["cursor"]; cursor != "" {
		if options.Before, err = strconv.ParseUint(cursor, 36, 64); err != nil || options.Before == 0 {
			return wire.BadParameter("cursor", "is not one this server gave: take it from next, or leave it out")
		}
	}
	page, err := s.engine.List(options)
	if bad, ok := errors.AsType[*engine.InvalidError](err); ok {
		return wire.BadParameter(bad.Field, bad.Reason)
	}
	if err != nil {
		return err
	}
	body := append(make([]byte, 0, 512*len(page.Messages)+32), `{"messages":[`...)
	for i := range page.Messages {
		if i > 0 {
			body = append(body, ',')
		}
		body = wire.AppendStatus(body, &page.Messages[i])
	}
	body = append(body, ']')
	if page.Next != 0 {
		next := strconv.FormatUint(page.Next, 36)
		setHeader(w, "Link", "<"+nextPage(r.URL, next)+`>; rel="next"`)
		body = wire.AppendString(append(body, `,"next":`...), next)
	}
	setHeader(w, "Cache-Control", "no-store")
	return writeJSON(w, http.StatusOK, append(body, '}', '\n'))
}

// nextPage is the request's own query with another cursor (RFC 8288).
func nextPage(u *url.URL, cursor string) string {
	query := u.Query()
	query.Set("cursor", cursor)
	return u.Path + "?" + query.Encode()
}
