package api

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/activemessage/activemessage/engine"
	"github.com/activemessage/activemessage/internal/wire"
)

// takeWork gives a worker messages to run, when there are some, or when the time is over
// that it prefers to wait.
func (s *server) takeWork(w http.ResponseWriter, r *http.Request) error {
	body, err := s.workBody(w, r)
	if err != nil {
		return err
	}
	hello, err := wire.DecodeTake(body)
	if err != nil {
		s.cfg.Workers.Malformed()
		return err
	}
	wait, _ := preferences(r.Header["Prefer"])
	wait = min(wait, s.cfg.MaxWait)
	if wait > 0 {
		setHeader(w, "Preference-Applied", "wait="+strconv.Itoa(int(wait/time.Second)))
	}
	taken, err := s.cfg.Workers.Take(r.Context(), hello, wait)
	if err != nil {
		return err
	}
	cfg := s.cfg.Workers.Config()
	return writeWork(w, wire.AppendTaken(nil, &taken, &cfg))
}

// finishWork ends a lease with a result.
func (s *server) finishWork(w http.ResponseWriter, r *http.Request) error {
	return s.settleWork(w, r, func(id engine.ID, body []byte) (engine.Lease, engine.Result, error, error) {
		l, result, err := wire.DecodeDone(id, body)
		return l, result, nil, err
	})
}

// failWork ends a lease without one.
func (s *server) failWork(w http.ResponseWriter, r *http.Request) error {
	return s.settleWork(w, r, func(id engine.ID, body []byte) (engine.Lease, engine.Result, error, error) {
		l, failure, err := wire.DecodeFail(id, body)
		return l, engine.Result{}, failure, err
	})
}

// readReport reads the report of a lease's end: its result, or its failure.
type readReport func(id engine.ID, body []byte) (l engine.Lease, result engine.Result, failure, err error)

func (s *server) settleWork(w http.ResponseWriter, r *http.Request, read readReport) error {
	id, body, err := s.workOf(w, r)
	if err != nil {
		return err
	}
	l, result, failure, err := read(id, body)
	if err != nil {
		s.cfg.Workers.Malformed()
		return err
	}
	// A report may come before its handler has said that it left the message with somebody.
	ctx, cancel := context.WithTimeout(r.Context(), s.cfg.MaxWait)
	defer cancel()
	stale, err := s.cfg.Workers.Settle(ctx, l, result, failure)
	if err != nil {
		return err
	}
	return writeWork(w, wire.AppendReported(nil, l, stale))
}

// beatWork lets a lease run on.
func (s *server) beatWork(w http.ResponseWriter, r *http.Request) error {
	id, body, err := s.workOf(w, r)
	if err != nil {
		return err
	}
	l, report, err := wire.DecodeBeat(id, body)
	if err != nil {
		s.cfg.Workers.Malformed()
		return err
	}
	asked, err := s.cfg.Workers.Extend(r.Context(), l, report)
	if err != nil {
		return err
	}
	return writeWork(w, wire.AppendExtended(nil, l, s.cfg.Workers.LeaseLeft(l), asked))
}

// workOf reads which message a report is of, and the report.
func (s *server) workOf(w http.ResponseWriter, r *http.Request) (engine.ID, []byte, error) {
	id, err := messageID(r)
	if err != nil {
		return id, nil, err
	}
	body, err := s.workBody(w, r)
	return id, body, err
}

// workBody reads a body of a worker's: a result may be larger than a message.
func (s *server) workBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if err := noQuery(r, "put everything into the JSON"); err != nil {
		return nil, err
	}
	limits := s.engine.Config()
	body, err := s.readBody(w, r, wire.MaxEnvelopeBytes(max(limits.MaxMessageBytes, limits.MaxResultBytes)))
	if err != nil {
		return nil, err
	}
	return body, checkJSONType(r.Header.Get("Content-Type"), body)
}

func writeWork(w http.ResponseWriter, body []byte) error {
	setHeader(w, "Cache-Control", "no-store")
	return writeJSON(w, http.StatusOK, append(body, '\n'))
}
