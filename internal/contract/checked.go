package contract

import (
	"net/http"
	"sync"
	"testing"

	"github.com/activemessage/activemessage"
)

// shared is read once, as that takes a while.
var shared = sync.OnceValues(func() (*Checker, error) { return New(activemessage.OpenAPI()) })

// Handler returns the handler with all that passes it held against openapi.yaml. It
// has to be stopped before the test ends.
func Handler(t testing.TB, h http.Handler) http.Handler {
	t.Helper()
	return newShared(t).Middleware(h, func(err error) { t.Error(err) })
}

// Client returns a client whose traffic is held against openapi.yaml.
func Client(t testing.TB) *http.Client {
	t.Helper()
	return &http.Client{Transport: newShared(t).Transport(http.DefaultTransport, func(err error) { t.Error(err) })}
}

func newShared(t testing.TB) *Checker {
	t.Helper()
	checker, err := shared()
	if err != nil {
		t.Fatal(err)
	}
	return checker
}
