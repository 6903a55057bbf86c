package api

import (
	"net/http"
	"time"

	"github.com/activemessage/activemessage/internal/wire"
)

// retryNotReady is when to ask again.
const retryNotReady = 2 * time.Second

// live says that the process serves, and nothing of what it depends on.
func (s *server) live(w http.ResponseWriter, _ *http.Request) error {
	return writeText(w, "ok\n")
}

// ready says whether a balancer should send messages here.
func (s *server) ready(w http.ResponseWriter, r *http.Request) error {
	query, err := parseQuery(r.URL, "verbose")
	if err != nil {
		return err
	}
	if err := s.engine.Ready(); err != nil {
		problem := wire.NewProblem("not_ready", "engine: "+err.Error())
		problem.RetryAfter = retryNotReady
		return problem
	}
	if _, verbose := query["verbose"]; verbose {
		return writeText(w, "engine: ok\nready\n")
	}
	return writeText(w, "ok\n")
}

// document answers with a contract.
func document(yaml []byte) handler {
	return func(w http.ResponseWriter, _ *http.Request) error {
		setHeader(w, "Content-Type", "application/yaml")
		wire.WriteBody(w, yaml)
		return nil
	}
}

// index tells a visitor where to go on.
func (s *server) index(w http.ResponseWriter, _ *http.Request) error {
	return writeText(w, `activemessage: POST a message, a handler runs it, subscribers are told.

POST   /v1/messages                  submit a message: {"message_type": "echo", "message_data": 1, "response_notification": "request_1"}
POST   /v1/messages/batch            submit many
POST   /v1/handlers/{message_type}   submit any bytes
GET    /v1/messages                  list messages
GET    /v1/messages/{id}             see a message
GET    /v1/messages/{id}/result      fetch its result
DELETE /v1/messages/{id}             cancel it
POST   /v1/messages/{id}/retry       run it again
POST   /v1/messages/retry            run all that failed again
GET    /v1/handlers                  list message types
PATCH  /v1/handlers/{message_type}   pause one, set its limits
GET    /v1/notifications             notifications: an event stream, or a page of JSON
GET    /v1/ws?subscribe=request_*    notifications: a WebSocket
GET    /v1/work                      run messages: a WebSocket for workers
POST   /v1/work/take                 run messages: take some, then POST /v1/work/{id}/beat, done or fail
GET    /docs                         the reference
GET    /openapi.yaml /asyncapi.yaml  the contracts
GET    /livez /readyz /metrics       for operators
`)
}

func writeText(w http.ResponseWriter, text string) error {
	setHeader(w, "Content-Type", "text/plain; charset=utf-8")
	setHeader(w, "Cache-Control", "no-store")
	_, _ = w.Write([]byte(text))
	return nil
}
