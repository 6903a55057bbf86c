package api

import (
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"time"

	"github.com/activemessage/activemessage/engine"
	"github.com/activemessage/activemessage/internal/wire"
)

// listHandlers answers with the registered types, by name.
func (s *server) listHandlers(w http.ResponseWriter, _ *http.Request) error {
	types := s.engine.Stats().Types
	body := []byte(`{"handlers":[`)
	for i, name := range slices.Sorted(maps.Keys(types)) {
		if i > 0 {
			body = append(body, ',')
		}
		body = append(appendHandler(body, name, types[name]), '}')
	}
	setHeader(w, "Cache-Control", "no-store")
	return writeJSON(w, http.StatusOK, append(body, ']', '}', '\n'))
}

// getHandler answers with one registered type.
func (s *server) getHandler(w http.ResponseWriter, r *http.Request) error {
	name := pathValue(r, "message_type")
	stats, err := s.engine.TypeStats(name)
	if err != nil {
		return err
	}
	return s.writeHandler(w, name, stats)
}

// updateHandler changes a type's policy: pauses it, lets it go on, sets its limits
// (a JSON Merge Patch, RFC 7396, of policy).
func (s *server) updateHandler(w http.ResponseWriter, r *http.Request) error {
	if err := noQuery(r, "put the changes into the JSON"); err != nil {
		return err
	}
	body, err := s.readBody(w, r, s.maxBody)
	if err != nil {
		return err
	}
	if err := checkJSONType(r.Header.Get("Content-Type"), body); err != nil {
		return err
	}
	change, err := wire.DecodePolicyPatch(body)
	if err != nil {
		return err
	}
	name := pathValue(r, "message_type")
	stats, err := s.engine.Reconfigure(name, change)
	if err != nil {
		return wire.PolicyProblem(err)
	}
	return s.writeHandler(w, name, stats)
}

// writeHandler answers with one type, and what a list leaves out for its size: the
// schemas of its data and of its result.
func (s *server) writeHandler(w http.ResponseWriter, name string, stats engine.TypeStats) error {
	body := s.appendSchemas(appendHandler(nil, name, stats), name)
	setHeader(w, "Cache-Control", "no-store")
	return writeJSON(w, http.StatusOK, append(body, '}', '\n'))
}

// appendSchemas appends the members data_schema and result_schema if the handler
// describes itself.
func (s *server) appendSchemas(b []byte, name string) []byte {
	data, result, err := s.describe(name)
	if err != nil {
		return b // it is gone since
	}
	if data != nil {
		b = append(append(b, `,"data_schema":`...), jsonSchema(data, true)...)
	}
	if result != nil {
		b = append(append(b, `,"result_schema":`...), jsonSchema(result, false)...)
	}
	return b
}

// describe asks the handler, which may panic: that leaves its schemas out.
func (s *server) describe(name string) (data, result reflect.Type, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("describe %s: panic: %v", name, p)
		}
	}()
	return s.engine.Describe(name)
}

// appendHandler appends a type without the brace that closes it.
func appendHandler(b []byte, name string, t engine.TypeStats) []byte {
	b = wire.AppendString(append(b, `{"message_type":`...), name)
	b = appendPolicy(append(b, `,"policy":`...), t.Policy)
	for _, count := range []struct {
		name  string
		value uint64
	}{
		{"scheduled", uint64(t.Scheduled)},
		{"queued", uint64(t.Queued)},
		{"queued_bytes", uint64(t.QueuedBytes)},
		{"running", uint64(t.Running)},
		{"retrying", uint64(t.Retrying)},
		{"stuck", uint64(t.Stuck)},
		{"submitted", t.Submitted},
		{"retries", t.Retries},
		{"lost", t.Lost},
	} {
		b = strconv.AppendUint(append(b, `,"`+count.name+`":`...), count.value, 10)
	}
	if t.Outside {
		b = strconv.AppendInt(append(b, `,"workers":`...), int64(t.Consumers), 10)
	}
	if !t.ThrottledUntil.IsZero() {
		b = wire.AppendTime(append(b, `,"throttled_until":`...), t.ThrottledUntil)
	}
	b = append(b, `,"outcomes":{`...)
	for i, state := range engine.TerminalStates() {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendUint(append(wire.AppendString(b, string(state)), ':'), t.Outcomes[state], 10)
	}
	return append(b, '}')
}

// appendPolicy writes a bound of 0 as it is: the server's bound applies.
func appendPolicy(b []byte, p engine.Policy) []byte {
	b = strconv.AppendBool(append(b, `{"paused":`...), p.Paused)
	b = strconv.AppendInt(append(b, `,"concurrency":`...), int64(p.Concurrency), 10)
	b = strconv.AppendInt(append(b, `,"queue_limit":`...), int64(p.QueueLimit), 10)
	b = strconv.AppendInt(append(b, `,"queue_bytes":`...), p.QueueBytes, 10)
	b = wire.AppendString(append(b, `,"timeout":`...), durationText(p.Timeout))
	b = wire.AppendString(append(b, `,"grace":`...), durationText(p.Grace))
	b = strconv.AppendInt(append(b, `,"max_attempts":`...), int64(p.MaxAttempts), 10)
	b = strconv.AppendInt(append(b, `,"max_lost":`...), int64(p.MaxLost), 10)
	b = wire.AppendString(append(b, `,"backoff":{"initial":`...), durationText(p.Backoff.Initial))
	b = wire.AppendString(append(b, `,"max":`...), durationText(p.Backoff.Max))
	return append(b, '}', '}')
}

func durationText(d time.Duration) string {
	if d < 0 {
		return wire.Never
	}
	return d.String()
}
