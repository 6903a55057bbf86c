package contract

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/pb33f/libopenapi"
	"pgregory.net/rapid"
)

// Known returns values that mean something to the server, such as ids of messages
// there are, for a member or a parameter of a name. They must satisfy its schema.
type Known func(name string) []string

// Request is a request that the document shows, or that was drawn from it.
type Request struct {
	// Operation is whose request it is, or was before its mutation.
	Operation Operation
	// Method is the operation's, unless the mutation took another.
	Method string
	// Path and Query are escaped, as they stand in the request's line.
	Path, Query string
	Header      http.Header
	Body        []byte
	// Chunked sends the body without its length.
	Chunked bool
	// Mutation is what was made wrong; "" means that the request satisfies the
	// document's schemas.
	Mutation string
}

// HTTP makes the request for a server's base URL. The error is of what Go's client
// cannot send.
func (r Request) HTTP(ctx context.Context, base string) (*http.Request, error) {
	var body io.Reader
	if r.Body != nil {
		body = bytes.NewReader(r.Body)
	}
	if r.Chunked {
		body = io.MultiReader(body) // whose length nobody knows
	}
	request, err := http.NewRequestWithContext(ctx, r.Method, base+r.target(), body)
	if err != nil {
		return nil, fmt.Errorf("make a request: %w", err)
	}
	request.Header = r.Header.Clone()
	return request, nil
}

func (r Request) target() string {
	if r.Query == "" {
		return r.Path
	}
	return r.Path + "?" + r.Query
}

// GoString returns the request as a command of curl, for rapid and people.
func (r Request) GoString() string { return r.Curl("$URL") }

// Curl returns the request as a command of curl, to repeat it with bash.
func (r Request) Curl(base string) string {
	command := "curl -i --path-as-is -X " + r.Method
	for _, name := range slices.Sorted(maps.Keys(r.Header)) {
		for _, value := range r.Header[name] {
			command += " -H " + shell(name+": "+value)
		}
	}
	if r.Chunked {
		command += " -H 'Transfer-Encoding: chunked'"
	}
	switch {
	case bytes.IndexByte(r.Body, 0) >= 0: // no argument can have it
		command = "printf %b " + shell(string(escaped(r.Body))) + " | " + command + " --data-binary @-"
	case r.Body != nil:
		command += " --data-binary " + shell(string(r.Body))
	}
	command += ` "` + base + `"` + shell(r.target())
	if r.Mutation != "" {
		command += " # " + r.Mutation
	}
	return command
}

// escaped is for printf's %b.
func escaped(text []byte) []byte {
	var b []byte
	for _, c := range text {
		b = fmt.Appendf(b, `\x%02x`, c)
	}
	return b
}

// longRun is from where on the repetition of a letter is written as one.
const longRun = 100

// shell quotes text for bash.
func shell(text string) string {
	var b []byte
	for at := 0; at < len(text); {
		c, run := text[at], runLength(text[at:])
		if run >= longRun && 'a' <= c && c <= 'z' {
			b = fmt.Appendf(b, `'"$(printf '%c%%.0s' {1..%d})"$'`, c, run)
			at += run
			continue
		}
		b = appendQuoted(b, c)
		at++
	}
	if string(b) == text {
		return "'" + text + "'"
	}
	return "$'" + string(b) + "'"
}

// runLength is how often the first byte is repeated.
func runLength(text string) int { return len(text) - len(strings.TrimLeft(text, text[:1])) }

func appendQuoted(b []byte, c byte) []byte {
	switch {
	case c < ' ' || c > '~':
		return fmt.Appendf(b, `\x%02x`, c)
	case c == '\'' || c == '\\':
		return append(b, '\\', c)
	}
	return append(b, c)
}

// Generator draws requests from a document.
type Generator struct{ operations []*operation }

// operation is what requests of one operation are made of.
type operation struct {
	Operation
	parameters []parameter
	// bodies are by media type; none means that there is no body.
	bodies       []body
	bodyRequired bool
	// accepts are the media types of the answers that are no problems.
	accepts []string
	// prefers is whether an answer can have a Preference-Applied.
	prefers bool
}

type parameter struct {
	name, in string
	required bool
	shape    *shape
}

type body struct {
	media    string
	shape    *shape
	examples []any
}

// isJSON reports whether the body is a JSON document.
func (b body) isJSON() bool { return isJSON(b.media) }

func isJSON(media string) bool {
	media, _, _ = strings.Cut(media, ";")
	return media == "application/json" || strings.HasSuffix(media, "+json")
}

// NewGenerator reads a document. The error says what in it cannot be read.
func NewGenerator(document []byte) (*Generator, error) {
	doc, err := libopenapi.NewDocument(document)
	if err != nil {
		return nil, fmt.Errorf("read the document: %w", err)
	}
	var root map[string]any
	if err := doc.GetSpecInfo().RootNode.Decode(&root); err != nil {
		return nil, fmt.Errorf("decode the document: %w", err)
	}
	g, d := &Generator{}, schemas{root}
	paths := object(root["paths"])
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		item := object(paths[path])
		for _, method := range []string{"get", "post", "put", "patch", "delete"} {
			if item[method] == nil {
				continue
			}
			o, err := d.operation(path, method, item)
			if err != nil {
				return nil, fmt.Errorf("%s %s: %w", method, path, err)
			}
			g.operations = append(g.operations, o)
		}
	}
	return g, nil
}

func (d schemas) operation(path, method string, item map[string]any) (*operation, error) {
	m := object(item[method])
	o := &operation{Operation: Operation{Method: strings.ToUpper(method), Path: path}}
	for _, reference := range slices.Concat(list(item["parameters"]), list(m["parameters"])) {
		p, err := d.parameter(reference)
		if err != nil {
			return nil, err
		}
		o.parameters = append(o.parameters, p)
	}
	if err := d.bodies(o, m["requestBody"]); err != nil {
		return nil, err
	}
	return o, d.answers(o, object(m["responses"]))
}

func (d schemas) parameter(reference any) (parameter, error) {
	m, err := d.resolve(reference)
	if err != nil {
		return parameter{}, err
	}
	s, err := d.shape(m["schema"])
	if err != nil {
		return parameter{}, err
	}
	if example, given := m["example"]; given && !slices.Contains(s.types, "object") {
		s.examples = append(s.examples, example)
	}
	if m["in"] == "path" {
		s.minLength = max(s.minLength, 1) // or it would be another path
	}
	required, _ := m["required"].(bool)
	return parameter{text(m["name"]), text(m["in"]), required, s}, nil
}

func (d schemas) bodies(o *operation, reference any) error {
	m, err := d.resolve(reference)
	if err != nil {
		return err
	}
	o.bodyRequired, _ = m["required"].(bool)
	content := object(m["content"])
	for _, media := range slices.Sorted(maps.Keys(content)) {
		described := object(content[media])
		s, err := d.shape(described["schema"])
		if err != nil {
			return err
		}
		b := body{media: media, shape: s}
		examples := object(described["examples"])
		for _, name := range slices.Sorted(maps.Keys(examples)) {
			b.examples = append(b.examples, object(examples[name])["value"])
		}
		o.bodies = append(o.bodies, b)
	}
	return nil
}

func (d schemas) answers(o *operation, responses map[string]any) error {
	for code, reference := range responses {
		m, err := d.resolve(reference)
		if err != nil {
			return err
		}
		status, err := strconv.Atoi(code)
		if err != nil {
			continue // default
		}
		o.Statuses = append(o.Statuses, status)
		if status < http.StatusBadRequest {
			o.accepts = append(o.accepts, slices.Collect(maps.Keys(object(m["content"])))...)
			o.prefers = o.prefers || object(m["headers"])["Preference-Applied"] != nil
		}
	}
	slices.Sort(o.Statuses)
	slices.Sort(o.accepts)
	o.accepts = slices.Compact(o.accepts)
	return nil
}

// Operations returns what the document has, by path and method.
func (g *Generator) Operations() []Operation {
	all := make([]Operation, 0, len(g.operations))
	for _, o := range g.operations {
		all = append(all, o.Operation)
	}
	return all
}

// Valid draws requests of an operation that satisfy its schemas. Nothing is said
// about rules that the document tells in words.
func (g *Generator) Valid(o Operation, known Known) *rapid.Generator[Request] {
	return rapid.Custom(func(t *rapid.T) Request {
		return g.draft(t, o, known).request()
	})
}

// Mutated draws requests of an operation with one thing made wrong, or at least odd.
func (g *Generator) Mutated(o Operation, known Known) *rapid.Generator[Request] {
	return rapid.Custom(func(t *rapid.T) Request {
		d := g.draft(t, o, known)
		d.mutate()
		return d.request()
	})
}

func (g *Generator) draft(t *rapid.T, o Operation, known Known) *draft {
	i := slices.IndexFunc(g.operations, func(own *operation) bool {
		return own.Method == o.Method && own.Path == o.Path
	})
	if i < 0 {
		t.Fatalf("the document has no %s", o)
	}
	d := &draft{
		pool: pool{t, known}, operation: g.operations[i], method: o.Method,
		path: make(map[string]string), header: make(http.Header),
	}
	d.drawParameters()
	d.drawBody()
	d.drawPreferences()
	return d
}

// draft is a request in the parts that mutations change.
type draft struct {
	pool
	operation *operation
	method    string
	path      map[string]string
	query     []pair
	rawQuery  string // goes after query as it is
	header    http.Header
	chunked   bool
	// schema is of document, which is nil unless the body is JSON; else it is raw.
	schema   *shape
	document any
	raw      []byte
	mutation string
}

type pair struct{ name, value string }

func (d *draft) drawParameters() {
	for _, p := range d.operation.parameters {
		if !p.required && !once(d.t, 4, "with "+p.name) {
			continue
		}
		value := d.draw(p.shape, p.name)
		switch p.in {
		case "path":
			d.path[p.name] = scalar(value)
		case "query":
			d.query = append(d.query, pairs(p, value)...)
		case "header":
			if line := headerLine(scalar(value)); line != "" {
				d.header.Set(p.name, line)
			}
		}
	}
}

// pairs are a query parameter's: an array repeats it, and each member of an object
// is one, in brackets (deepObject).
func pairs(p parameter, value any) []pair {
	var all []pair
	switch v := value.(type) {
	case []any:
		for _, item := range v {
			all = append(all, pair{p.name, scalar(item)})
		}
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			all = append(all, pair{p.name + "[" + name + "]", scalar(v[name])})
		}
	default:
		all = append(all, pair{p.name, scalar(value)})
	}
	return all
}

// scalar is a value as a parameter has it.
func scalar(value any) string {
	switch v := value.(type) {
	case string:
		return v
	case map[string]any, []any:
		return string(encode(v))
	}
	return fmt.Sprint(value)
}

// headerLine drops what cannot stand in a header's line.
func headerLine(text string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return -1
		}
		return r
	}, text))
}

func encode(value any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(value); err != nil {
		return []byte(err.Error()) // not of what is drawn here
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// drawBody draws a body. Where the document says that there may be none, there is
// sometimes none.
func (d *draft) drawBody() {
	o := d.operation
	if len(o.bodies) == 0 || !o.bodyRequired && once(d.t, 4, "without a body") {
		return
	}
	b := rapid.SampledFrom(o.bodies).Draw(d.t, "media type")
	d.header.Set("Content-Type", b.media)
	d.chunked = once(d.t, 8, "chunked")
	switch {
	case b.isJSON():
		d.schema = b.shape
		d.document = d.drawDocument(b)
		if once(d.t, 8, "charset") {
			d.header.Set("Content-Type", b.media+"; charset=utf-8")
		}
	case strings.HasSuffix(b.media, "ndjson"):
		d.raw = d.lines()
	default:
		d.raw = append([]byte{}, d.bytes(64)...)
		if b.media == "*/*" {
			d.header.Set("Content-Type", rapid.SampledFrom([]string{
				"text/plain", "text/plain; charset=utf-8", "image/png", "application/x-protobuf",
			}).Draw(d.t, "Content-Type"))
		}
	}
}

func (d *draft) drawDocument(b body) any {
	if len(b.examples) > 0 && once(d.t, 8, "example") {
		return copied(rapid.SampledFrom(b.examples).Draw(d.t, "which"))
	}
	return d.draw(b.shape, "body")
}

// copied keeps mutations out of the document's own examples.
func copied(value any) any {
	switch v := value.(type) {
	case map[string]any:
		m := maps.Clone(v)
		for name := range m {
			m[name] = copied(m[name])
		}
		return m
	case []any:
		l := slices.Clone(v)
		for i := range l {
			l[i] = copied(l[i])
		}
		return l
	}
	return value
}

// lines are the items of the operation's JSON array, one a line: the document
// cannot say more of NDJSON than that it is text.
func (d *draft) lines() []byte {
	b := []byte{}
	for _, other := range d.operation.bodies {
		if other.media != "application/json" || other.shape.items == nil {
			continue
		}
		for range rapid.IntRange(0, 3).Draw(d.t, "lines") {
			b = append(append(b, encode(d.draw(other.shape.items, "line"))...), '\n')
		}
	}
	return b
}

// drawPreferences draws what the client prefers of the documented answers.
func (d *draft) drawPreferences() {
	without := once(d.t, 4, "without Accept") // drawn in any case: rapid wants at least one draw
	if accepts := d.operation.accepts; len(accepts) > 0 && !without {
		d.header.Set("Accept", rapid.SampledFrom(accepts).Draw(d.t, "Accept"))
	}
	if d.operation.prefers && once(d.t, 4, "with Prefer") {
		d.header.Set("Prefer", rapid.SampledFrom([]string{
			"respond-async", "wait=0", "wait=1", `wait="1", respond-async`, "handling=lenient",
		}).Draw(d.t, "Prefer"))
	}
}

func (d *draft) request() Request {
	path := d.operation.Path
	for name, value := range d.path {
		path = strings.ReplaceAll(path, "{"+name+"}", url.PathEscape(value))
	}
	parts := make([]string, 0, len(d.query)+1)
	for _, p := range d.query {
		part := url.QueryEscape(p.name)
		if p.value != "" {
			part += "=" + url.QueryEscape(p.value)
		}
		parts = append(parts, part)
	}
	if d.rawQuery != "" {
		parts = append(parts, d.rawQuery)
	}
	return Request{
		Operation: d.operation.Operation,
		Method:    d.method,
		Path:      path,
		Query:     strings.Join(parts, "&"),
		Header:    d.header,
		Body:      d.text(),
		Chunked:   d.chunked && d.text() != nil,
		Mutation:  d.mutation,
	}
}

// text is the body's; nil means that there is none.
func (d *draft) text() []byte {
	if d.schema == nil {
		return d.raw
	}
	return encode(d.document)
}

// asText makes a text of a JSON body, for mutations of bytes.
func (d *draft) asText() []byte {
	d.raw, d.schema, d.document = d.text(), nil, nil
	return d.raw
}
