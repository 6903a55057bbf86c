package api

import (
	"net/http"
	"strconv"
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
	_, _ = w.Write(body) // a client that is gone has nobody to tell
	return nil
}
