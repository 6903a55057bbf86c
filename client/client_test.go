package client_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/activemessage/activemessage/client"
)

// connect returns a client of a server of its own.
func connect(t *testing.T) *client.ClientWithResponses {
	t.Helper()
	return newClient(t, serve(t))
}

func newClient(t *testing.T, url string) *client.ClientWithResponses {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	c, err := client.New(url, client.WithHTTPClient(&http.Client{Transport: transport}))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func submit(t *testing.T, c *client.ClientWithResponses, s client.Submission) client.Receipt {
	t.Helper()
	response, err := c.SubmitMessageWithResponse(t.Context(), nil, s)
	if err != nil {
		t.Fatal(err)
	}
	return *response.JSON202
}

// run submits a message and returns it when it has ended: in one call, which the
// server holds.
func run(t *testing.T, c *client.ClientWithResponses, s client.Submission) client.Message {
	t.Helper()
	response, err := c.SubmitMessageWithResponse(t.Context(), &client.SubmitMessageParams{Prefer: new(preferWait)}, s)
	if err != nil {
		t.Fatal(err)
	}
	if response.JSON200 == nil {
		t.Fatalf("status %d: the message did not end in time", response.StatusCode())
	}
	return *response.JSON200
}

// preferWait asks for the outcome instead of the receipt (RFC 7240).
const preferWait = "wait=5"

// await returns the message when it has ended.
func await(t *testing.T, c *client.ClientWithResponses, id string) client.Message {
	t.Helper()
	response, err := c.GetMessageWithResponse(t.Context(), id, &client.GetMessageParams{Prefer: new(preferWait)})
	if err != nil {
		t.Fatal(err)
	}
	if response.JSON200.FinishedAt.IsZero() {
		t.Fatalf("message %s did not end in time", id)
	}
	return *response.JSON200
}

// problemOf returns the problem that an error is, or ends the test.
func problemOf(t *testing.T, err error) *client.ProblemError {
	t.Helper()
	var problem *client.ProblemError
	if !errors.As(err, &problem) {
		t.Fatalf("%v is no problem", err)
	}
	return problem
}

func TestSubmitAndWait(t *testing.T) {
	t.Parallel()
	c := connect(t)
	message := run(t, c, client.Submission{
		MessageType: "echo",
		MessageData: map[string]int{"user": 42},
		Metadata:    client.Metadata{"tenant": "acme"},
	})
	if message.State != client.StateSucceeded || message.Metadata["tenant"] != "acme" || message.Error != nil {
		t.Errorf("%+v", message)
	}
	result, err := c.GetMessageResultWithResponse(t.Context(), message.ID)
	if err != nil || string(result.Body) != `{"user":42}` {
		t.Errorf("%s, %v", result.Body, err)
	}
	failed := run(t, c, client.Submission{MessageType: "fail", MessageData: json.RawMessage(`{"message":"Invalid data format"}`)})
	if failed.State != client.StateFailed || failed.Error == nil || failed.Error.Message != "Invalid data format" {
		t.Errorf("%+v", failed)
	}
}

func TestSubmitBytes(t *testing.T) {
	t.Parallel()
	c := connect(t)
	data := []byte("[\x00\xff")
	params := &client.SubmitBytesParams{
		Priority: new(9),
		Metadata: &map[string]string{"tenant": "acme"},
	}
	// JSON that is none: a result is never taken for a problem document.
	response, err := c.SubmitBytesWithBodyWithResponse(t.Context(), "echo", params, "application/json", bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	message := await(t, c, response.JSON202.ID)
	if message.Priority != 9 || message.Metadata["tenant"] != "acme" || message.ContentType != "application/json" {
		t.Errorf("%+v", message)
	}
	result, err := c.GetMessageResultWithResponse(t.Context(), message.ID)
	if err != nil || !bytes.Equal(result.Body, data) {
		t.Errorf("%v, %v", result, err)
	}
}

func TestList(t *testing.T) {
	t.Parallel()
	c := connect(t)
	echo := client.Submission{MessageType: "echo"}
	want := []string{run(t, c, echo).ID, run(t, c, echo).ID}
	run(t, c, client.Submission{MessageType: "count"})
	params := &client.ListMessagesParams{MessageType: new("echo"), State: new(client.StateSucceeded), Limit: new(1)}
	for i := range want {
		page, err := c.ListMessagesWithResponse(t.Context(), params)
		if err != nil {
			t.Fatal(err)
		}
		newest := want[len(want)-1-i]
		if got := page.JSON200.Messages; len(got) != 1 || got[0].ID != newest {
			t.Errorf("page %d: %+v, want message %s", i, got, newest)
		}
		if last := i == len(want)-1; (page.JSON200.Next == "") != last {
			t.Errorf("page %d: next is %q", i, page.JSON200.Next)
		}
		params.Cursor = &page.JSON200.Next
	}
	all, err := c.ListHandlersWithResponse(t.Context())
	if err != nil || len(all.JSON200.Handlers) < 5 {
		t.Errorf("%+v, %v", all, err)
	}
}

func TestCancel(t *testing.T) {
	t.Parallel()
	c := connect(t)
	for range 2 { // the first runs, or is about to; the second waits
		id := submit(t, c, client.Submission{MessageType: "one"}).ID
		if _, err := c.CancelMessageWithResponse(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		if message := await(t, c, id); message.State != client.StateCancelled {
			t.Errorf("%+v", message)
		}
		_, err := c.CancelMessageWithResponse(t.Context(), id)
		if problem := problemOf(t, err); problem.Code != client.ProblemCodeAlreadyEnded || problem.Status != http.StatusConflict {
			t.Errorf("%+v", problem)
		}
	}
}

func TestProblem(t *testing.T) {
	t.Parallel()
	c := connect(t)
	_, err := c.SubmitMessageWithResponse(t.Context(), nil, client.Submission{MessageType: "echo", Priority: 12})
	problem := problemOf(t, err)
	if problem.Status != http.StatusUnprocessableEntity || problem.Code != client.ProblemCodeInvalidMessage ||
		problem.Detail == "" || problem.RetryAfter != 0 {
		t.Errorf("%+v", problem)
	}
	if len(problem.Errors) != 1 || problem.Errors[0].Pointer != "/priority" {
		t.Errorf("%+v", problem.Errors)
	}
	if _, err := c.GetHandlerWithResponse(t.Context(), "nobody"); problemOf(t, err).Code != client.ProblemCodeUnknownMessageType {
		t.Error(err)
	}
	_, err = c.ListMessagesWithResponse(t.Context(), &client.ListMessagesParams{Limit: new(0)})
	if problem := problemOf(t, err); problem.Status != http.StatusBadRequest || problem.Errors[0].Pointer != "?limit" {
		t.Errorf("%+v", problem)
	}
}

func TestProblemSaysWhenToTryAgain(t *testing.T) {
	t.Parallel()
	c := connect(t)
	for range 3 { // one runs, one waits, and the third is too many
		_, err := c.SubmitMessageWithResponse(t.Context(), nil, client.Submission{MessageType: "one"})
		if err == nil {
			continue
		}
		problem := problemOf(t, err)
		if problem.Status != http.StatusTooManyRequests || problem.Code != client.ProblemCodeQueueFull || problem.RetryAfter < time.Second {
			t.Errorf("%+v", problem)
		}
		return
	}
	t.Error("three were accepted")
}

// TestProblemOfAnother shows what becomes of an answer that is not the server's.
func TestProblemOfAnother(t *testing.T) {
	t.Parallel()
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		w.Header().Set("Retry-After", "soon")
		w.WriteHeader(http.StatusBadGateway)
		_, _ = w.Write([]byte("<p>no upstream</p>"))
	}))
	t.Cleanup(proxy.Close)
	_, err := newClient(t, proxy.URL).GetMessageWithResponse(t.Context(), "1", nil)
	problem := problemOf(t, err)
	if problem.Status != http.StatusBadGateway || problem.Code != "" || problem.Detail != `"<p>no upstream</p>"` || problem.RetryAfter != 0 {
		t.Errorf("%+v", problem)
	}
}
