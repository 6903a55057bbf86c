package api

import (
	"errors"
	"net/http"
	"strconv"

	"github.com/activemessage/activemessage/engine"
	"github.com/activemessage/activemessage/internal/wire"
)

// retryMessage runs a message again that ended without success.
func (s *server) retryMessage(w http.ResponseWriter, r *http.Request) error {
	id, err := messageID(r)
	if err != nil {
		return err
	}
	receipt, err := s.engine.Retry(id)
	if err != nil {
		return err
	}
	setHeader(w, "Location", wire.MessageURL(receipt.ID))
	return writeReceipt(w, receipt)
}

// retryMessages runs all messages again that the query picks. Where there is no more
// room, the store failed, or the server drains, the answer says so and how far it came.
func (s *server) retryMessages(w http.ResponseWriter, r *http.Request) error {
	if r.ContentLength != 0 {
		return wire.NewProblem("malformed_request", "this takes no body: put into the query what to retry")
	}
	query, err := parseQuery(r.URL, filterNames()...)
	if err != nil {
		return err
	}
	options, err := readFilter(query)
	if err != nil {
		return err
	}
	retried, err := s.engine.RetryAll(r.Context(), options)
	var stopped *wire.Problem
	switch {
	case errors.Is(err, engine.ErrQueueFull), errors.Is(err, engine.ErrDraining),
		errors.Is(err, engine.ErrStorageFull), errors.Is(err, engine.ErrStoreFailed):
		stopped = wire.ProblemFor(err)
	case err != nil:
		return asQueryProblem(err)
	}
	body := strconv.AppendInt([]byte(`{"retried":`), int64(retried), 10)
	if stopped != nil {
		body = stopped.AppendJSON(append(body, `,"stopped":`...))
	}
	return writeJSON(w, http.StatusOK, append(body, '}', '\n'))
}
