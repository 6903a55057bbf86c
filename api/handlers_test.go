package api_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/activemessage/activemessage/api"
	"github.com/activemessage/activemessage/engine"
)

// GET /v1/handlers/{message_type} says why a type does not run: nobody serves it, or it is
// throttled.
func TestWhyATypeDoesNotRun(t *testing.T) {
	t.Parallel()
	e, err := engine.New(engine.Config{})
	if err != nil {
		t.Fatal(err)
	}
	throttled := make(chan struct{})
	slow := func(context.Context, *engine.Message) (engine.Result, error) {
		defer close(throttled)
		return engine.Result{}, engine.Throttle(time.Hour, errors.New("later"))
	}
	if err := errors.Join(e.Register("far", engine.Outside(), engine.Policy{}), e.Register("slow", engine.HandlerFunc(slow), engine.Policy{})); err != nil {
		t.Fatal(err)
	}
	h, err := api.New(e, api.Config{})
	if err != nil {
		t.Fatal(err)
	}
	get := func(messageType string) string {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/v1/handlers/"+messageType, http.NoBody))
		body, _ := io.ReadAll(w.Body)
		return string(body)
	}
	if got := get("far"); !strings.Contains(got, `"workers":0`) {
		t.Error(got)
	}
	c, err := e.NewConsumer(engine.ConsumerConfig{Types: []string{"far"}})
	if err != nil {
		t.Fatal(err)
	}
	if got := get("far"); !strings.Contains(got, `"workers":1`) || strings.Contains(got, "throttled") {
		t.Error(got)
	}
	c.Close()
	receipt, err := e.Submit(t.Context(), engine.Submission{MessageType: "slow"})
	if err != nil {
		t.Fatal(err)
	}
	<-throttled
	if _, err := e.Wait(t.Context(), receipt.ID); err != nil {
		t.Fatal(err)
	}
	if got := get("slow"); !strings.Contains(got, `"throttled_until":"`) || strings.Contains(got, "workers") {
		t.Error(got)
	}
	if err := e.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
}
