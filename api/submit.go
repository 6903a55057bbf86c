package api

import (
	"bytes"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strings"

	"github.com/go-chi/chi/v5"

	"github.com/activemessage/activemessage/engine"
	"github.com/activemessage/activemessage/internal/wire"
)

// submitMessage accepts a message in its JSON envelope, or as a CloudEvent; a batch
// of those too.
func (s *server) submitMessage(w http.ResponseWriter, r *http.Request) error {
	if err := noQuery(r, "put the message's options into the JSON"); err != nil {
		return err
	}
	mode := wire.CloudEventModeOf(r.Header)
	limit := s.maxBody
	if mode == wire.BatchCloudEvents {
		limit = s.maxBatchBody()
	}
	body, err := s.readBody(w, r, limit)
	if err != nil {
		return err
	}
	var submission engine.Submission
	switch mode {
	case wire.BatchCloudEvents:
		items, err := wire.DecodeCloudEvents(body)
		if err != nil {
			return err
		}
		return s.submitItems(w, r, items, mode)
	case wire.NoCloudEvent:
		if err := checkJSONType(r.Header.Get("Content-Type"), body); err != nil {
			return err
		}
		if begins(body, "[") {
			return wire.NewProblem("malformed_json", "the JSON is an array: send many messages to POST /v1/messages/batch")
		}
		submission, err = wire.DecodeSubmission(body, false)
	default:
		submission, err = wire.DecodeCloudEvent(r.Header, body)
	}
	if err != nil {
		return err
	}
	return pointAt(r, mode, s.submit(w, r, submission))
}

// noQuery refuses query parameters where there are none.
func noQuery(r *http.Request, hint string) error {
	if r.URL.RawQuery != "" {
		return wire.NewProblem("malformed_request", "this takes no query parameters: "+hint)
	}
	return nil
}

// checkJSONType lets JSON pass, and what a bare `curl -d` or a fetch without
// headers says of a body that plainly begins as JSON does.
func checkJSONType(contentType string, body []byte) error {
	if contentType == typeJSON {
		return nil
	}
	media, _, _ := mime.ParseMediaType(contentType)
	if carriesJSON(media) || undeclared(media) && (begins(body, "{") || begins(body, "[")) {
		return nil
	}
	return wire.NewProblem("unsupported_media_type", fmt.Sprintf(
		"the Content-Type is %.60q: send application/json here, or bytes of any type to POST /v1/handlers/{message_type}", contentType))
}

// carriesJSON leaves a JSON Patch out, which is no message and no merge patch.
func carriesJSON(media string) bool {
	return media == typeJSON || strings.HasSuffix(media, "+json") && media != "application/json-patch+json"
}

// undeclared reports whether a media type is one that clients take without being
// told.
func undeclared(media string) bool {
	return media == "" || media == "application/x-www-form-urlencoded" || media == "text/plain"
}

func begins(body []byte, with string) bool {
	return bytes.HasPrefix(bytes.TrimLeft(body, " \t\r\n"), []byte(with))
}

// submitBytes accepts the body, whatever it is, as the data of a message. Of a
// CloudEvent it is the event's data.
func (s *server) submitBytes(w http.ResponseWriter, r *http.Request) error {
	messageType := pathValue(r, "message_type")
	mode := wire.CloudEventModeOf(r.Header)
	limit := s.engine.Config().MaxMessageBytes
	switch mode {
	case wire.BatchCloudEvents:
		limit = s.maxBatchBody()
	case wire.StructuredCloudEvent:
		limit = s.maxBody
	}
	body, err := s.readBody(w, r, limit)
	if err != nil {
		return err
	}
	if mode == wire.BatchCloudEvents {
		return s.submitEventsTo(w, r, messageType, body)
	}
	submission := engine.Submission{MessageData: body, ContentType: r.Header.Get("Content-Type")}
	if mode != wire.NoCloudEvent {
		if submission, err = wire.DecodeCloudEvent(r.Header, body); err != nil {
			return err
		}
	}
	submission.MessageType = messageType
	if err := readOptions(r.URL, &submission); err != nil {
		return err
	}
	return pointAt(r, mode, s.submit(w, r, submission))
}

// pointAt makes the refusal of a message point at where in the request it has to be
// changed, as the engine knows fields only.
func pointAt(r *http.Request, mode wire.CloudEventMode, err error) error {
	bad, ok := errors.AsType[*engine.InvalidError](err)
	if !ok {
		return err
	}
	inPath := chi.URLParam(r, "message_type") != "" // is only there where the body is the data
	switch {
	case r.URL.Query().Has(bad.Field):
		return wire.InvalidAt("?"+bad.Field, bad.Reason)
	case bad.Field == "idempotency_key" && r.Header["Idempotency-Key"] != nil:
		return wire.InvalidAt("Idempotency-Key", bad.Reason)
	case bad.Field == "message_type" && inPath:
		return wire.InvalidAt("{message_type}", bad.Reason)
	case bad.Field == "content_type" && inPath && mode == wire.NoCloudEvent:
		return wire.InvalidAt("Content-Type", bad.Reason)
	}
	if inData, is := wire.InData(bad); is && inPath && mode == wire.NoCloudEvent {
		return wire.AtBody(bad, inData)
	}
	return mode.AtAttribute(err)
}

// metadataPrefix begins the query parameters that become metadata.
const metadataPrefix = "metadata."

// setMetadata sets what a parameter says: people write metadata.name, generated
// clients metadata[name] (OpenAPI's deepObject).
func setMetadata(into *engine.Submission, parameter, value string) error {
	name, plain := strings.CutPrefix(parameter, metadataPrefix)
	if !plain {
		inner, closed := strings.CutSuffix(strings.TrimPrefix(parameter, "metadata["), "]")
		if name = inner; !closed || name == "" || strings.ContainsAny(name, "[]") {
			return wire.BadParameter(parameter, "names no metadata: write metadata.<name>=<value>")
		}
	}
	if _, given := into.Metadata[name]; given {
		return wire.BadParameter(parameter, "is given twice")
	}
	if into.Metadata == nil {
		into.Metadata = make(map[string]string)
	}
	into.Metadata[name] = value
	return nil
}

// readOptions reads the message's options from the query.
func readOptions(u *url.URL, into *engine.Submission) error {
	if u.RawQuery == "" {
		return nil
	}
	query, err := parseQuery(u, append(wire.OptionNames(), metadataPrefix, "metadata[")...)
	if err != nil {
		return err
	}
	for name, value := range query {
		reason, known := wire.SetOption(into, name, value)
		if reason != "" {
			return wire.BadParameter(name, reason)
		}
		if !known {
			if err := setMetadata(into, name, value); err != nil {
				return err
			}
		}
	}
	return nil
}

// submit hands a message to the engine and answers with its receipt, or with its
// outcome if the client prefers to wait and it comes in time.
func (s *server) submit(w http.ResponseWriter, r *http.Request, submission engine.Submission) error {
	if err := readHeaders(r.Header, &submission); err != nil {
		return err
	}
	receipt, err := s.engine.Submit(r.Context(), submission)
	if err != nil {
		return err
	}
	setHeader(w, "Location", wire.MessageURL(receipt.ID))
	if receipt.Replayed {
		setHeader(w, "Idempotency-Replayed", "true")
	}
	if lines := r.Header["Prefer"]; lines != nil {
		if status, ended := s.await(w, r, lines, receipt.ID); ended {
			return writeMessage(w, http.StatusOK, &status)
		}
	}
	return writeReceipt(w, receipt)
}

func writeReceipt(w http.ResponseWriter, receipt engine.Receipt) error {
	body := append(wire.AppendReceipt(append(make([]byte, 0, 256), '{'), receipt), '}', '\n')
	return writeJSON(w, http.StatusAccepted, body)
}

func writeMessage(w http.ResponseWriter, code int, status *engine.Status) error {
	setHeader(w, "Cache-Control", "no-store")
	return writeJSON(w, code, append(wire.AppendStatus(nil, status, true), '\n'))
}

// readHeaders reads what of a message stands in headers: its idempotency key, and
// the trace it belongs to. What a CloudEvent or an envelope says of itself is not
// overridden, except by saying something else about the key.
func readHeaders(h http.Header, into *engine.Submission) error {
	if lines := h["Idempotency-Key"]; lines != nil {
		key, ok := idempotencyKey(lines)
		if !ok {
			return wire.NewProblem("malformed_request", `the Idempotency-Key is not one key: send it once, bare or as "…", without control characters`)
		}
		if into.IdempotencyKey != "" && into.IdempotencyKey != key {
			return wire.NewProblem("malformed_request", "the Idempotency-Key differs from idempotency_key: send one of them")
		}
		into.IdempotencyKey = key
	}
	if lines := h["Traceparent"]; len(lines) == 1 && engine.ValidTraceparent(lines[0]) {
		state := strings.Join(h["Tracestate"], ",")
		if !engine.ValidTracestate(state) {
			state = ""
		}
		setTrace(into, lines[0], state)
	}
	return nil
}

// setTrace sets the trace of a message that does not say its own.
func setTrace(into *engine.Submission, traceparent, tracestate string) {
	if into.Origin == nil {
		into.Origin = &engine.Origin{}
	}
	if into.Origin.Traceparent == "" {
		into.Origin.Traceparent, into.Origin.Tracestate = traceparent, tracestate
	}
}

// idempotencyKey reads the header's value: a string of RFC 9651, as the
// Idempotency-Key draft wants it, or the bare key, as most clients send it.
func idempotencyKey(lines []string) (key string, ok bool) {
	if len(lines) != 1 {
		return "", false
	}
	key = strings.TrimSpace(lines[0])
	if inner, quoted := strings.CutPrefix(key, `"`); quoted {
		if key, quoted = strings.CutSuffix(inner, `"`); !quoted {
			return "", false
		}
		key = strings.NewReplacer(`\"`, `"`, `\\`, `\`).Replace(key)
	}
	return key, key != ""
}

// pathValue returns a path parameter unescaped. chi routes by the path as it came only
// where that differs from the usual form; else it has been unescaped already.
func pathValue(r *http.Request, name string) string {
	value := chi.URLParam(r, name)
	if r.URL.RawPath == "" {
		return value
	}
	if unescaped, err := url.PathUnescape(value); err == nil {
		return unescaped
	}
	return value
}
