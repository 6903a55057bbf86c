package activemessage_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/activemessage/activemessage/engine"
	"github.com/activemessage/activemessage/internal/contract"
	"github.com/activemessage/activemessage/internal/wire"
)

// documented holds an answer against openapi.yaml that no request of the test's
// brought, and returns its body.
func documented(t *testing.T, checker *contract.Checker, method, path string, answer *httptest.ResponseRecorder) string {
	t.Helper()
	r, err := http.NewRequest(method, "http://127.0.0.1:8080"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	body := answer.Body.String()
	if err := checker.CheckResponse(r, answer.Result(), []byte(body)); err != nil {
		t.Errorf("%v\n%s", err, body)
	}
	return body
}

// What only a server with a store has to say of a message is as documented.
func TestStatusOfAMessageThatWasLost(t *testing.T) {
	t.Parallel()
	checker := newChecker(t)
	id, err := engine.ParseID(unknown)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Now()
	shutdown := &engine.Error{Code: engine.CodeShutdown, Message: "server shut down"}
	lost := &engine.Error{Code: engine.CodeLost, Message: "the server died"}
	status := engine.Status{
		ID: id, MessageType: "echo", State: engine.StateFailed, Attempt: 2, MaxAttempts: 1, Lost: 1, AcceptedAt: at, Error: lost,
		Attempts: []engine.Attempt{
			{Number: 1, State: engine.StateQueued, StartedAt: at, FinishedAt: at, Error: shutdown},
			{Number: 2, State: engine.StateFailed, StartedAt: at, FinishedAt: at, Error: lost},
		},
	}
	succeeded := engine.Status{ // as a list has it, without the result's data
		ID: id, MessageType: "echo", State: engine.StateSucceeded, Attempt: 1, MaxAttempts: 1, AcceptedAt: at, ResultBytes: 17,
	}
	for _, c := range []struct {
		status     engine.Status
		withResult bool
		has, lacks string
	}{
		{status, true, `"lost":1`, "result"},
		{status, true, `"attempts":[{"attempt":1,"state":"queued"`, "result"},
		{status, true, `"error":{"code":"lost"`, "result"},
		{succeeded, false, `"result_bytes":17`, `"lost"`},
		{succeeded, true, `"result_bytes":17,"result_url":"/v1/messages/`, `"lost"`},
	} {
		answer := httptest.NewRecorder()
		answer.Header().Set("Content-Type", jsonType)
		answer.Body.Write(wire.AppendStatus(nil, &c.status, c.withResult))
		body := documented(t, checker, http.MethodGet, "/v1/messages/"+unknown, answer)
		if !strings.Contains(body, c.has) || strings.Contains(body, c.lacks) || strings.Count(body, "result_bytes") > 1 {
			t.Errorf("%s\nhas no %s, or has %s", body, c.has, c.lacks)
		}
	}
}

// What only a server with a store refuses a frame with is as documented.
func TestErrorFramesOfAStore(t *testing.T) {
	t.Parallel()
	messages := asyncMessages(t)
	for _, err := range []error{engine.ErrStorageFull, engine.ErrStoreFailed} {
		frame := append(wire.ProblemFor(err).AppendMembers([]byte(`{"op":"error","ref":"1",`)), '}')
		if err := messages.Validate("json", "error", frame); err != nil {
			t.Errorf("%v\n%s", err, frame)
		}
	}
}
