package api

import (
	"fmt"
	"mime"
	"net/http"

	"github.com/activemessage/activemessage/engine"
	"github.com/activemessage/activemessage/internal/wire"
)

// batchBytes is how large a batch's body may be, unless one message may be larger.
const batchBytes = 16 << 20

func (s *server) maxBatchBody() int64 { return max(s.maxBody, batchBytes) }

// submitBatch accepts many messages, each answered in its place: as a JSON array,
// or as one envelope a line (NDJSON).
func (s *server) submitBatch(w http.ResponseWriter, r *http.Request) error {
	if err := noQuery(r, "put each message's options into its JSON"); err != nil {
		return err
	}
	body, err := s.readBody(w, r, s.maxBatchBody())
	if err != nil {
		return err
	}
	items, mode, err := decodeBatch(r.Header, body)
	if err != nil {
		return err
	}
	return s.submitItems(w, r, items, mode)
}

// decodeBatch reads a batch as its Content-Type says; without one, as it begins.
func decodeBatch(h http.Header, body []byte) ([]wire.Item, wire.CloudEventMode, error) {
	contentType := h.Get("Content-Type")
	var items []wire.Item
	var err error
	switch media, _, _ := mime.ParseMediaType(contentType); {
	case media == typeEventBatch:
		items, err = wire.DecodeCloudEvents(body)
		return items, wire.BatchCloudEvents, err
	case media == "application/x-ndjson", media == "application/jsonl", undeclared(media) && begins(body, "{"):
		items, err = wire.DecodeLines(body)
	case carriesJSON(media), undeclared(media) && begins(body, "["):
		items, err = wire.DecodeArray(body)
	default:
		err = wire.NewProblem("unsupported_media_type", fmt.Sprintf(
			"the Content-Type is %.60q: send application/json with an array, application/x-ndjson, or %s", contentType, typeEventBatch))
	}
	return items, wire.NoCloudEvent, err
}

// submitEventsTo submits a batch of CloudEvents to one handler, with the query's
// options for each.
func (s *server) submitEventsTo(w http.ResponseWriter, r *http.Request, messageType string, body []byte) error {
	if r.URL.Query().Has("idempotency_key") {
		return wire.BadParameter("idempotency_key", "is for one message: give each event of a batch its idempotencykey")
	}
	items, err := wire.DecodeCloudEvents(body)
	if err != nil {
		return err
	}
	for i := range items {
		items[i].Submission.MessageType = messageType
		if err := readOptions(r.URL, &items[i].Submission); err != nil {
			return err
		}
	}
	return s.submitItems(w, r, items, wire.BatchCloudEvents)
}

// submitItems submits what can be and answers 207 with the answer to each.
func (s *server) submitItems(w http.ResponseWriter, r *http.Request, items []wire.Item, mode wire.CloudEventMode) error {
	if r.Header["Idempotency-Key"] != nil {
		return wire.NewProblem("malformed_request", "an Idempotency-Key is for one message: give each of a batch its idempotency_key")
	}
	answers := make([]wire.Answer, len(items))
	refuse := func(i int, err error) {
		answers[i].Problem = wire.ProblemFor(pointAt(r, mode, err))
	}
	submissions := make([]engine.Submission, 0, len(items))
	places := make([]int, 0, len(items)) // of the submissions, among the items
	for i := range items {
		err := items[i].Err
		if err == nil {
			err = readHeaders(r.Header, &items[i].Submission)
		}
		if err != nil {
			refuse(i, err)
			continue
		}
		submissions, places = append(submissions, items[i].Submission), append(places, i)
	}
	for i, accepted := range s.engine.SubmitAll(r.Context(), submissions) {
		if accepted.Err != nil {
			refuse(places[i], accepted.Err)
			continue
		}
		answers[places[i]].Receipt = accepted.Receipt
	}
	setHeader(w, "Cache-Control", "no-store")
	return writeJSON(w, http.StatusMultiStatus, append(wire.AppendAnswers(make([]byte, 0, 256*len(items)), answers), '\n'))
}
