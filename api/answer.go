package api

import (
	"net/http"
	"strconv"
	"time"
)

// setHeader sets a header without the allocation of Header.Set's canonical form.
func setHeader(w http.ResponseWriter, canonical, value string) {
	w.Header()[canonical] = []string{value}
}

func writeJSON(w http.ResponseWriter, status int, body []byte) error {
	return writeBody(w, status, typeJSON, body)
}

func writeBody(w http.ResponseWriter, status int, contentType string, body []byte) error {
	setHeader(w, "Content-Type", contentType)
	setHeader(w, "Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	writeLarge(w, body)
	return nil
}

const (
	// largeAnswer is what a connection's buffers may not take at once.
	largeAnswer = 16 << 10
	// largeTimeout is how long a client may take for it.
	largeTimeout = 30 * time.Second
)

// writeLarge writes a body that may be large, and cuts a client that does not take
// it in time. A client that is gone has nobody to tell.
func writeLarge(w http.ResponseWriter, body []byte) {
	if len(body) > largeAnswer {
		control := http.NewResponseController(w)
		if control.SetWriteDeadline(time.Now().Add(largeTimeout)) == nil {
			defer func() { _ = control.SetWriteDeadline(time.Time{}) }()
		}
	}
	_, _ = w.Write(body)
}
