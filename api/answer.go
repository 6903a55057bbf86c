package api

import (
	"net/http"
	"strconv"

	"github.com/activemessage/activemessage/internal/wire"
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
	wire.WriteBody(w, body)
	return nil
}
