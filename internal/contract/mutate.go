package contract

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"

	"pgregory.net/rapid"
)

// mutation makes one thing of a draft wrong, or odd.
type mutation struct {
	name string
	// fits says whether there is something to make wrong; nil means always.
	fits  func(d *draft) bool
	apply func(d *draft)
}

// mutations are told by a function, for a package has no state.
func mutations() []mutation {
	return []mutation{
		{"wrong JSON type", hasDocument, (*draft).mutateType},
		{"missing member", hasDocument, (*draft).mutateMissing},
		{"unknown member", hasDocument, (*draft).mutateUnknown},
		{"number out of range", hasDocument, (*draft).mutateNumber},
		{"odd text", hasDocument, (*draft).mutateText},
		{"excluding members", hasDocument, (*draft).mutateExcluded},
		{"not the top", hasDocument, (*draft).mutateTop},
		{"broken JSON", hasDocument, (*draft).mutateJSON},
		{"odd bytes", hasBody, (*draft).mutateBytes},
		{"long body", hasBody, (*draft).mutateLength},
		{"other body", nil, (*draft).mutateBody},
		{"other content type", nil, (*draft).mutateContentType},
		{"odd parameter", hasParameter, (*draft).mutateParameter},
		{"unknown parameter", nil, (*draft).mutateUnknownParameter},
		{"repeated parameter", hasQuery, (*draft).mutateRepeated},
		{"broken query", nil, (*draft).mutateQuery},
		{"odd path", hasPath, (*draft).mutatePath},
		{"odd header", nil, (*draft).mutateHeader},
		{"repeated header", nil, (*draft).mutateHeaders},
		{"CloudEvents headers", hasBody, (*draft).mutateEvent},
		{"other method", nil, (*draft).mutateMethod},
	}
}

// Mutations returns the names of what Mutated makes wrong.
func Mutations() []string {
	var names []string
	for _, m := range mutations() {
		names = append(names, m.name)
	}
	return names
}

func (d *draft) mutate() {
	fitting := slices.DeleteFunc(mutations(), func(m mutation) bool { return m.fits != nil && !m.fits(d) })
	indices := make([]int, len(fitting))
	for i := range indices {
		indices[i] = i
	}
	m := fitting[rapid.SampledFrom(indices).Draw(d.t, "mutation")]
	d.mutation = m.name
	m.apply(d)
}

func hasDocument(d *draft) bool  { return d.schema != nil }
func hasBody(d *draft) bool      { return d.schema != nil || d.raw != nil }
func hasQuery(d *draft) bool     { return len(d.query) > 0 }
func hasPath(d *draft) bool      { return len(d.path) > 0 }
func hasParameter(d *draft) bool { return len(d.operation.parameters) > 0 }

func sample[E any](d *draft, label string, from ...E) E {
	return rapid.SampledFrom(from).Draw(d.t, label)
}

// spot is an object of the body, or the whole of it, with its schema.
type spot struct {
	object map[string]any
	shape  *shape
}

// spots are the objects that the schema describes.
func spots(value any, s *shape) []spot {
	var all []spot
	switch v := value.(type) {
	case map[string]any:
		all = append(all, spot{v, s})
		for _, name := range slices.Sorted(maps.Keys(s.members)) {
			if _, given := v[name]; given {
				all = append(all, spots(v[name], s.members[name])...)
			}
		}
	case []any:
		for _, item := range v {
			if s.items != nil {
				all = append(all, spots(item, s.items)...)
			}
		}
	}
	return all
}

// spot draws one; without any, the body becomes an object.
func (d *draft) spot() spot {
	all := spots(d.document, d.schema)
	if len(all) == 0 {
		empty := make(map[string]any)
		d.document = empty
		all = []spot{{empty, anyShape()}}
	}
	return rapid.SampledFrom(all).Draw(d.t, "object")
}

// member draws a member that the schema describes by one of the types, or any
// name where it has none.
func (d *draft) member(s spot, types ...string) string {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(s.shape.members)) {
		own := s.shape.members[name].types
		if len(types) == 0 || slices.ContainsFunc(own, func(t string) bool { return slices.Contains(types, t) }) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return "x"
	}
	return rapid.SampledFrom(names).Draw(d.t, "member")
}

func (d *draft) mutateType() {
	s := d.spot()
	s.object[d.member(s)] = sample[any](d, "value", nil, true, 0, 1.5, "", []any{"x", 1}, map[string]any{"x": nil})
}

func (d *draft) mutateMissing() {
	s := d.spot()
	if len(s.shape.required) > 0 {
		delete(s.object, rapid.SampledFrom(s.shape.required).Draw(d.t, "missing"))
		return
	}
	clear(s.object)
}

func (d *draft) mutateUnknown() {
	s := d.spot()
	known := d.member(s)
	name := sample(d, "name", "", "x", "constructor", "__proto__", "a/b~c", "\x00", "Ä", strings.ToUpper(known), strings.ReplaceAll(known, "_", ""), known+" ")
	s.object[name] = d.anything(1)
}

func (d *draft) mutateNumber() {
	s := d.spot()
	name := d.member(s, "integer", "number")
	if beyond := s.shape.member(name).beyond(); len(beyond) > 0 && rapid.Bool().Draw(d.t, "beyond") {
		s.object[name] = json.Number(sample(d, "number", beyond...))
		return
	}
	s.object[name] = json.Number(sample(d, "number",
		"0", "-0", "-1", "10", "-10", "1001", "3.0", "1e0", "0.5", "-0.0", "2147483648",
		"9223372036854775807", "9223372036854775808", "-9223372036854775808", "123456789012345678901234567890"))
}

// member is the shape of a member; any, where it is not described.
func (s *shape) member(name string) *shape {
	if own := s.members[name]; own != nil {
		return own
	}
	return anyShape()
}

func (d *draft) mutateText() {
	s := d.spot()
	s.object[d.member(s, "string")] = d.junk()
}

// junk draws text that some reader may stumble over.
func (d *draft) junk() string {
	if once(d.t, 4, "random") {
		return rapid.String().Draw(d.t, "text")
	}
	return sample(d, "text",
		"", " ", "*", "a*", ".", "..", "a/b", "a%2Fb", "\x00", "\r\n", "\x7f", "\u0085", "\u202e", "\ufeff", "\U0001f600",
		"null", "true", "0", "-1", "+5", "1e9", "0x10", "1_000", "99999999999999999999", "9223372036854775807", "1001", "10", "-10",
		"5s", "-5s", "+5s", "5μs", "0s", "1.5h", "s", ".s", "9999999h", "1h1h", "5 s", "until_terminal", "never",
		"2026-02-30T00:00:00Z", "2026-01-01", "2026-01-01t00:00:00z", "2026-12-31T23:59:60Z", "0000-01-01T00:00:00Z", "9999-12-31T23:59:59.999999999Z", "2026-01-01T00:00:00+24:00",
		"00000000-0000-0000-0000-000000000000", "0197F9C2-5A3B-7C41-9D2E-6F1A2B3C4D5E", "{0197f9c2-5a3b-7c41-9d2e-6f1a2b3c4d5e}", "0197f9c25a3b7c419d2e6f1a2b3c4d5e",
		"00000000.0", "ffffffff.18446744073709551615", "00000000.18446744073709551616", "0.0", "zzzzzzzzzzzzz", "1",
		"!", "AA=", "AA==", "A-_=", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "00-00000000000000000000000000000000-0000000000000000-00",
		strings.Repeat("x", 129), strings.Repeat("x", 256), strings.Repeat("é", 255), strings.Repeat("x", 1025), strings.Repeat("x", 5<<10),
	)
}

func (d *draft) mutateExcluded() {
	s := d.spot()
	for _, set := range s.shape.excluded {
		for _, name := range set {
			s.object[name] = d.draw(s.shape.members[name], name)
		}
	}
	many := make(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(s.shape.members)) {
		many[name] = d.draw(s.shape.members[name], name)
	}
	if len(s.shape.excluded) == 0 {
		maps.Copy(s.object, many)
	}
}

func (d *draft) mutateTop() {
	d.document = sample[any](d, "top", nil, true, 0, "x", []any{}, map[string]any{}, []any{[]any{}}, []any{nil, 1, "x", map[string]any{}}, []any{d.document}, map[string]any{"x": d.document})
}

func (d *draft) mutateJSON() {
	b := d.asText()
	switch at := rapid.IntRange(0, len(b)).Draw(d.t, "at"); sample(d, "how", "cut", "insert", "after", "before", "deep", "twice") {
	case "cut":
		d.raw = b[:at]
	case "insert":
		d.raw = slices.Insert(b, at, []byte(sample(d, "what", "\x00", ",", "}", "]", "\"", "\\", "NaN", "'", "//\n", "\ufeff", "\\ud800"))...)
	case "after":
		d.raw = slices.Concat(b, []byte(sample(d, "what", "x", "{}", ",", "null", "\x00", " \n\t\r")))
	case "before":
		d.raw = append([]byte(sample(d, "what", "\ufeff", ")]}',\n", " \n", "\x00")), b...)
	case "deep":
		depth := sample(d, "depth", 62, 63, 64, 65, 1000)
		deep := strings.Repeat("[", depth) + strings.Repeat("]", depth)
		d.raw = slices.Concat([]byte(`{"message_type":"echo","message_data":`), []byte(deep), []byte("}"))
	case "twice":
		d.raw = bytes.Replace(b, []byte("{"), []byte(`{"type":"echo","type":"echo","message_type":"echo","message_type":"echo"`+sample(d, "comma", ",", "")), 1)
	}
}

func (d *draft) mutateBytes() {
	b := d.asText()
	at := rapid.IntRange(0, len(b)).Draw(d.t, "at")
	d.raw = slices.Insert(b, at, []byte(sample(d, "bytes", "\xff", "\xc3", "\xed\xa0\x80", "\xc0\x80", "\x00", "\xf4\x90\x80\x80"))...)
}

func (d *draft) mutateLength() {
	n := sample(d, "bytes", 4<<10, 4<<10+1, 64<<10, 80<<10)
	if d.schema == nil {
		d.raw = bytes.Repeat([]byte("x"), n)
		return
	}
	s := d.spot()
	s.object[d.member(s, "string")] = strings.Repeat("x", n)
}

func (d *draft) mutateBody() {
	d.asText()
	switch sample(d, "body", "none", "empty", "space", "text", "array", "object") {
	case "none":
		d.raw = nil
	case "empty":
		d.raw = []byte{}
	case "space":
		d.raw = []byte(" \r\n\t")
	case "text":
		d.raw = []byte(rapid.String().Draw(d.t, "text"))
	case "array":
		d.raw = []byte("[]")
	case "object":
		d.raw = []byte("{}")
	}
}

func (d *draft) mutateContentType() {
	d.header.Del("Content-Type")
	media := sample(d, "Content-Type",
		"", "application/json", "text/json", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "text/xml", "image/png",
		"application/x-ndjson", "application/jsonl", "application/vnd.acme+json", "application/merge-patch+json",
		"application/cloudevents+json", "application/cloudevents-batch+json", "application/cloudevents+xml", "APPLICATION/CLOUDEVENTS+JSON; charset=UTF-8",
		"application/json; charset=latin1", "Application/JSON", "application/json;", "json", "/", ";", "\xff", strings.Repeat("x", 300))
	if media != "" {
		d.header["Content-Type"] = []string{media}
	}
}

// mutateParameter gives a parameter of the query an odd value.
func (d *draft) mutateParameter() {
	p := rapid.SampledFrom(d.operation.parameters).Draw(d.t, "parameter")
	value := d.junk()
	if beyond := p.shape.beyond(); len(beyond) > 0 {
		value = sample(d, "value", append(beyond, value)...)
	}
	switch p.in {
	case "path":
		d.path[p.name] = value
	case "header":
		d.header[http.CanonicalHeaderKey(p.name)] = []string{line(value)}
	default:
		d.query = slices.DeleteFunc(d.query, func(own pair) bool { return own.name == p.name })
		d.query = append(d.query, pair{p.name, value})
	}
}

// line drops what Go's client does not send in a header.
func line(value string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\t' || r == 0x7f {
			return -1
		}
		return r
	}, value)
}

func (d *draft) mutateUnknownParameter() {
	d.query = append(d.query, pair{sample(d, "name", "x", "", "limits", "STATE", "cursor", "metadata", "metadata.", "metadata.\x00", "__proto__", "\xff"), d.junk()})
}

func (d *draft) mutateRepeated() {
	p := rapid.SampledFrom(d.query).Draw(d.t, "parameter")
	d.query = append(d.query, pair{p.name, sample(d, "value", p.value, "", "x")})
}

func (d *draft) mutateQuery() {
	d.rawQuery = sample(d, "query", "%", "%zz", "a;b", "=", "&&", "a=%ff", "key=%ff", "metadata.%ff=1", "a=b=c", "?", "[]=1", "limit=%20%35", "since=%00", "+=+")
}

func (d *draft) mutatePath() {
	d.path[rapid.SampledFrom(slices.Sorted(maps.Keys(d.path))).Draw(d.t, "in the path")] = d.junk()
}

func (d *draft) mutateHeader() {
	name := sample(d, "header", "Idempotency-Key", "Prefer", "Accept", "Traceparent", "Tracestate", "Last-Event-Id",
		"Sec-Fetch-Site", "Origin", "Content-Encoding", "Accept-Encoding", "Range", "If-None-Match", "Upgrade", "X-Http-Method-Override", "Forwarded")
	d.header[name] = []string{sample(d, "value", "", " ", `"`, `""`, `"a`, `"a\"b"`, "a, b", "\xff", "é", "\t", "0", "-1", "*/*;q=0", "text/html", "application/*", "cross-site", "same-origin",
		"https://evil.example", "null", "gzip", "bytes=0-1", "wait=", "wait=99999999999", "wait=-1", "wait=1;x, wait=2", "websocket", strings.Repeat("x", 300), strings.Repeat("x", 2000))}
}

func (d *draft) mutateHeaders() {
	name := sample(d, "header", "Idempotency-Key", "Prefer", "Accept", "Traceparent", "Content-Type", "Last-Event-Id")
	d.header[name] = append(d.header[name], "a", sample(d, "value", "a", "b"))
}

// mutateEvent makes a CloudEvent in binary mode of the request.
func (d *draft) mutateEvent() {
	d.header["Ce-Specversion"] = []string{sample(d, "specversion", "1.0", "0.3", "")}
	for _, name := range []string{"Ce-Id", "Ce-Source", "Ce-Type", "Ce-Time", "Ce-Subject", "Ce-Priority", "Ce-Partitionkey", "Ce-Expirytime", "Ce-Delay", "Ce-Traceparent", "Ce-X", "Ce-"} {
		if rapid.Bool().Draw(d.t, name) {
			d.header[name] = []string{sample(d, "value", "echo", "1", "%41", "%ff", "%zz", `"a`, "2h", "2999-01-01T00:00:00Z", "")}
		}
	}
}

func (d *draft) mutateMethod() {
	d.method = sample(d, "method", "GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "QUERY", "get", "X")
}
