package wire_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/activemessage/activemessage/engine"
	"github.com/activemessage/activemessage/internal/wire"
)

func TestProblemsOfTheEngine(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err    error
		status int
		code   string
		retry  bool
	}{
		{&engine.QueueFullError{Scope: engine.ScopeType, RetryAfter: time.Second}, http.StatusTooManyRequests, "queue_full", true},
		{&engine.QueueFullError{Scope: engine.ScopeServer, RetryAfter: time.Second}, http.StatusServiceUnavailable, "server_full", true},
		{engine.ErrDraining, http.StatusServiceUnavailable, "draining", true},
		{engine.ErrStorageFull, http.StatusInsufficientStorage, "storage_full", true},
		{engine.ErrStoreFailed, http.StatusServiceUnavailable, "store_failed", true},
		// Whatever it was that a store failed with is not the client's.
		{fmt.Errorf("%w: %w", engine.ErrStoreFailed, context.DeadlineExceeded), http.StatusServiceUnavailable, "store_failed", true},
		{fmt.Errorf("%w: %w", engine.ErrStoreFailed, engine.ErrNotFound), http.StatusServiceUnavailable, "store_failed", true},
		{context.Canceled, http.StatusRequestTimeout, "request_timeout", false},
		{engine.ErrNotFound, http.StatusNotFound, "message_not_found", false},
		{errors.New("secret"), http.StatusInternalServerError, "internal_error", false},
	} {
		err := fmt.Errorf("at /var/lib/secret: %w", c.err)
		p := wire.ProblemFor(err)
		if p.Status != c.status || p.Code != c.code || p.Title == "" || (p.RetryAfter > 0) != c.retry {
			t.Errorf("%v: %+v, expected %d %s", err, p, c.status, c.code)
		}
		if strings.Contains(p.Detail, "secret") {
			t.Errorf("%v: clients are told %q", err, p.Detail)
		}
		answer := httptest.NewRecorder()
		p.Write(answer)
		if told := answer.Header().Get("Retry-After") != ""; answer.Code != c.status || told != c.retry {
			t.Errorf("%v: answered with %d, %v", err, answer.Code, answer.Header())
		}
	}
}
