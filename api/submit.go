package api

import (
	"bytes"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/go-chi/chi/v5"

	"github.com/activemessage/activemessage/engine"
	"github.com/activemessage/activemessage/internal/wire"
)

// submitMessage accepts a message in its JSON envelope.
func (s *server) submitMessage(w http.ResponseWriter, r *http.Request) error {
	if r.URL.RawQuery != "" {
		return wire.NewProblem("malformed_request", "this takes no query parameters: put the message's options into the JSON")
	}
	body, err := s.readBody(w, r, s.maxBody)
	if err != nil {
		return err
	}
	if err := checkJSONType(r.Header.Get("Content-Type"), body); err != nil {
		return err
	}
	submission, err := wire.DecodeSubmission(body, false)
	if err != nil {
		return err
	}
	return s.submit(w, r, submission)
}

// checkJSONType lets JSON pass, and what a bare `curl -d` or a fetch without
// headers says of a body that is plainly an object.
func checkJSONType(contentType string, body []byte) error {
	if contentType == "application/json" {
		return nil
	}
	media, _, err := mime.ParseMediaType(contentType)
	if err == nil && (media == "application/json" || strings.HasSuffix(media, "+json")) {
		return nil
	}
	undeclared := contentType == "" || media == "application/x-www-form-urlencoded" || media == "text/plain"
	if undeclared && bytes.HasPrefix(bytes.TrimLeft(body, " \t\r\n"), []byte("{")) {
		return nil
	}
	return wire.NewProblem("unsupported_media_type", fmt.Sprintf(
		"the Content-Type is %.60q: send application/json here, or bytes of any type to POST /v1/handlers/{message_type}", contentType))
}

// submitBytes accepts the body, whatever it is, as the data of a message.
func (s *server) submitBytes(w http.ResponseWriter, r *http.Request) error {
	submission := engine.Submission{
		MessageType: pathValue(r, "message_type"),
		ContentType: r.Header.Get("Content-Type"),
	}
	if err := readOptions(r.URL, &submission); err != nil {
		return err
	}
	body, err := s.readBody(w, r, s.engine.Config().MaxMessageBytes)
	if err != nil {
		return err
	}
	submission.MessageData = body
	return s.submit(w, r, submission)
}

// metadataPrefix begins the query parameters that become metadata.
const metadataPrefix = "metadata."

// readOptions reads the message's options from the query.
func readOptions(u *url.URL, into *engine.Submission) error {
	if u.RawQuery == "" {
		return nil
	}
	query, err := parseQuery(u, "response_notification", "key", "priority", metadataPrefix)
	if err != nil {
		return err
	}
	for name, value := range query {
		switch name {
		case "response_notification":
			into.ResponseNotification = value
		case "key":
			into.Key = value
		case "priority":
			if into.Priority, err = strconv.Atoi(value); err != nil {
				return wire.BadParameter(name, fmt.Sprintf("%.40q is not an integer: use -9 to 9", value))
			}
		default:
			if into.Metadata == nil {
				into.Metadata = make(map[string]string)
			}
			into.Metadata[strings.TrimPrefix(name, metadataPrefix)] = value
		}
	}
	return nil
}

// submit hands a message to the engine and answers with its receipt.
func (s *server) submit(w http.ResponseWriter, r *http.Request, submission engine.Submission) error {
	receipt, err := s.engine.Submit(r.Context(), submission)
	if err != nil {
		return err
	}
	body := append(wire.AppendReceipt(append(make([]byte, 0, 256), '{'), receipt), '}', '\n')
	setHeader(w, "Location", wire.MessageURL(receipt.ID))
	return writeJSON(w, http.StatusAccepted, body)
}

// pathValue returns a path parameter unescaped.
func pathValue(r *http.Request, name string) string {
	value := chi.URLParam(r, name)
	if unescaped, err := url.PathUnescape(value); err == nil {
		return unescaped
	}
	return value
}
