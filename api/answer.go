package api

import (
	"math/rand/v2"
	"net/http"
	"strconv"

	"github.com/activemessage/activemessage/internal/wire"
)

// setHeader sets a header without the allocation of Header.Set's canonical form.
func setHeader(w http.ResponseWriter, canonical, value string) {
	w.Header()[canonical] = []string{value}
}

func writeJSON(w http.ResponseWriter, status int, body []byte) error {
	setHeader(w, "Content-Type", "application/json")
	setHeader(w, "Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, err := w.Write(body)
	_ = err // the client is gone; there is nobody to tell
	return nil
}

// writeProblem answers with a problem document. Retry-After is stretched by up to
// a half at random, so that refused clients do not come back as one wave.
func writeProblem(w http.ResponseWriter, p *wire.Problem) {
	body := p.AppendJSON(nil)
	if p.RetryAfter > 0 {
		seconds := p.RetryAfterSeconds()
		setHeader(w, "Retry-After", strconv.Itoa(seconds+rand.IntN(seconds/2+1)))
	}
	setHeader(w, "Content-Type", wire.ProblemContentType)
	setHeader(w, "Content-Length", strconv.Itoa(len(body)))
	setHeader(w, "Cache-Control", "no-store")
	w.WriteHeader(p.Status)
	_, _ = w.Write(body)
}
