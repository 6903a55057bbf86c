package activemessage_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/activemessage/activemessage"
	"github.com/activemessage/activemessage/engine"
	"github.com/activemessage/activemessage/internal/contract"
)

const (
	// propertyRequests is how many requests one check sends to its own server, and
	// propertyTotal what a whole run sends at least, with rapid's default of checks.
	propertyRequests = 80
	propertyTotal    = 4000
	// propertyWait bounds what Prefer: wait=1 costs.
	propertyWait = 10 * time.Millisecond
)

// TestPropertyContract sends random requests, drawn from the document, to servers
// in random states. Whatever is sent, the answer is one that the document has for
// the operation, and no failure of the server's; what satisfies the schemas is not
// refused, but for the rules of excuses; what is accepted satisfies the schemas, but
// for leniencies.
//
// The requests are the same in every run, unless -rapid.seed says otherwise: a gate
// must not fail for a change that is not its own. `make fuzz` looks for new ones.
//
// It is not parallel, for other tests count on a server's timeouts.
func TestPropertyContract(t *testing.T) {
	if seed := flag.Lookup("rapid.seed"); seed.Value.String() == seed.DefValue {
		if err := flag.Set("rapid.seed", "1"); err != nil {
			t.Fatal(err)
		}
	}
	checker := newChecker(t)
	generator, err := contract.NewGenerator(activemessage.OpenAPI())
	if err != nil {
		t.Fatal(err)
	}
	tally := &tally{answers: make(map[string]map[int]int)}
	operations := weighted(generator.Operations())
	rapid.Check(t, func(t *rapid.T) {
		s := newSession(t, checker, tally)
		for range propertyRequests {
			s.step(t, generator, rapid.SampledFrom(operations).Draw(t, "operation"))
		}
	})
	tally.verify(t, generator)
}

// tally counts what was sent, to show that it was not in vain.
type tally struct {
	requests int
	// answers counts the statuses of the requests that satisfy the schemas.
	answers map[string]map[int]int
}

func (c *tally) add(r *contract.Request, status int) {
	c.requests++
	if r.Mutation != "" {
		return
	}
	name := r.Operation.String()
	if c.answers[name] == nil {
		c.answers[name] = make(map[int]int)
	}
	c.answers[name][status]++
}

// verify wants every operation to have been answered with success.
func (c *tally) verify(t *testing.T, generator *contract.Generator) {
	t.Logf("%d requests", c.requests)
	if checks := flag.Lookup("rapid.checks"); testing.Short() || checks.Value.String() != checks.DefValue {
		return // how many there are is the caller's wish
	}
	if c.requests < propertyTotal {
		t.Errorf("%d requests are less than %d", c.requests, propertyTotal)
	}
	for _, o := range generator.Operations() {
		if !drawn(o) {
			continue
		}
		answers := c.answers[o.String()]
		t.Logf("%s: %v", o, answers)
		if !slices.ContainsFunc(slices.Collect(maps.Keys(answers)), func(status int) bool { return status < 300 }) {
			t.Errorf("%s: no valid request was answered with success: %v", o, answers)
		}
	}
}

// drawn leaves the upgrade out, whose answer is no HTTP any more.
func drawn(o contract.Operation) bool { return o.Path != "/v1/ws" && o.Path != "/v1/work" }

// weighted lists the operations that do something more often than the texts.
func weighted(operations []contract.Operation) []contract.Operation {
	var all []contract.Operation
	for _, o := range operations {
		switch {
		case !drawn(o):
		case o.Path == "/v1/messages" && o.Method == http.MethodPost:
			all = append(all, o, o, o, o, o, o, o, o)
		case strings.HasPrefix(o.Path, "/v1/"):
			all = append(all, o, o, o)
		default:
			all = append(all, o)
		}
	}
	return all
}

// session is one server, and what a client of it has learned.
type session struct {
	*node
	checker *contract.Checker
	tally   *tally
	// ids and cursors are those that the server told.
	ids, cursors []string
	soon, later  string
	// trail are the requests before, which made the server's state.
	trail []string
}

func newSession(t *rapid.T, checker *contract.Checker, tally *tally) *session {
	n := newWrappedNode(t, engine.Config{QueueLimit: 100_000}, propertyWait, func(h http.Handler) http.Handler { return h })
	n.register("outside", engine.Outside(), engine.Policy{})
	now := time.Now()
	ids := []string{n.run("echo", `{"a":1}`), n.run("fail", `{}`)}
	for range 3 { // to be cancelled
		receipt, err := n.engine.Submit(t.Context(), engine.Submission{MessageType: "echo", Delay: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, receipt.ID.String())
	}
	return &session{
		node: n, checker: checker, tally: tally,
		ids: ids, soon: now.Add(time.Hour).Format(time.RFC3339), later: now.Add(48 * time.Hour).Format(time.RFC3339Nano),
		cursors: []string{"0"},
	}
}

// known are values that mean something here, by the name of a member or a
// parameter: a random one would mostly be refused, and reach nothing.
func (s *session) known(name string) []string {
	types, prefixes := []string{"echo", "fail", "retry", "block", "outside", "outside"}, []string{"request_1", "request_2"}
	durations := []string{"1ms", "1.5s", "1m30s"}
	return map[string][]string{
		"message_type": types, "type": types,
		"id": s.ids, "message_id": s.ids,
		"since": s.cursors, "Last-Event-ID": s.cursors,
		"cursor":     {"1", "2", "z"}, // of a list: it counts in base 36
		"deliver_at": {s.soon}, "accepted_before": {s.soon},
		"expires_at": {s.later}, "expirytime": {s.later},
		"accepted_after": {"2020-01-01T00:00:00Z"}, "time": {"2020-01-01T00:00:00Z"},
		"idempotency_key": {"k1", "k2", `"k3"`}, "Idempotency-Key": {"k1", "k2", `"k3"`},
		"idempotency_ttl": {"2h", "until_terminal"},
		"delay":           durations, "timeout": durations, "grace": durations, "initial": durations, "max": {"2h"},
		"traceparent": {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}, "tracestate": {"a=1"},
		"subscribe": prefixes, "response_notification": prefixes, "key": prefixes,
		"content_type": {"application/json", "text/plain"}, "datacontenttype": {"application/json", "text/plain"},
	}[name]
}

// step sends one request and holds its answer against the document.
func (s *session) step(t *rapid.T, generator *contract.Generator, o contract.Operation) {
	requests := generator.Valid(o, s.known)
	if rapid.Bool().Draw(t, "mutated") {
		requests = generator.Mutated(o, s.known)
	}
	r := requests.Draw(t, "request")
	if err := s.exchange(t.Context(), &r); err != nil {
		t.Fatalf("%v\nREQUEST\n%s\nAFTER\n%s", err, r.Curl(s.URL), strings.Join(s.trail, "\n"))
	}
	if r.Method != http.MethodGet {
		s.trail = append(s.trail, r.Curl(s.URL))
	}
}

// answer is a response that was read.
type answer struct {
	*http.Response
	body []byte
	// problem is nil unless the response is one.
	problem *problemDocument
}

type problemDocument struct {
	Type, Title, Detail, Code string
	Status                    int
	Errors                    []fieldError
}

type fieldError struct{ Pointer, Detail string }

// exchange sends a request and returns what is wrong with the answer.
func (s *session) exchange(ctx context.Context, r *contract.Request) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	request, err := r.HTTP(ctx, s.URL)
	if err != nil {
		return err
	}
	response, err := s.Client().Transport.RoundTrip(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	a := &answer{Response: response}
	if response.Header.Get("Content-Type") != "text/event-stream" { // which would not end
		if a.body, err = io.ReadAll(response.Body); err != nil {
			return err
		}
	}
	s.tally.add(r, a.StatusCode)
	s.learn(a.body)
	if err := s.judge(r, request, a); err != nil {
		return fmt.Errorf("%w\nANSWER\n%d %v\n%.2000s", err, a.StatusCode, a.Header, a.body)
	}
	return nil
}

// learn remembers ids and cursors, a bounded number of them.
func (s *session) learn(body []byte) {
	const most = 20
	told := regexp.MustCompile(`"(id|cursor)":"([0-9a-f]{8}(?:-[0-9a-f-]{27}|\.[0-9]+))"`)
	for _, match := range told.FindAllSubmatch(body, most) {
		into, value := &s.ids, string(match[2])
		if strings.Contains(value, ".") {
			into = &s.cursors
		}
		if !slices.Contains(*into, value) && len(*into) < most {
			*into = append(*into, value)
		}
	}
}

// judge holds an answer against all properties.
func (s *session) judge(r *contract.Request, request *http.Request, a *answer) error {
	if a.StatusCode >= 500 && !full(r, a) {
		return errors.New("the server failed")
	}
	if a.StatusCode >= 400 {
		if err := a.readProblem(r); err != nil {
			return err
		}
	}
	if err := s.documented(r, a); err != nil {
		return err
	}
	switch {
	case a.StatusCode < 300:
		return s.acceptable(r, request, a.StatusCode)
	case r.Mutation == "":
		return excused(a)
	}
	return nil
}

// full is the one failure that is meant: the server ends closed event streams when
// it finds out, so that there can be too many of them.
func full(r *contract.Request, a *answer) bool {
	return a.StatusCode == http.StatusServiceUnavailable && r.Operation.Path == "/v1/notifications"
}

// documented holds an answer against the operation's responses. The path's
// parameters do not matter to it, and odd ones are hard to match: "x" stands for them.
func (s *session) documented(r *contract.Request, a *answer) error {
	if a.problem != nil && slices.Contains([]string{"not_found", "method_not_allowed"}, a.problem.Code) {
		if r.Mutation == "" && r.Operation.Path != "/docs/{file}" {
			return errors.New("the operation is not there")
		}
		return s.checker.CheckProblem(a.Response, a.body)
	}
	if a.problem != nil && misread(r) {
		return s.checker.CheckProblem(a.Response, a.body)
	}
	if strings.HasSuffix(r.Operation.Path, "/result") && a.StatusCode == http.StatusOK {
		a.Header.Set("Content-Type", "application/octet-stream") // what it was is the submitter's claim
	}
	path := regexp.MustCompile(`\{[^}]*\}`).ReplaceAllString(r.Operation.Path, "x")
	plain, err := http.NewRequest(r.Method, s.URL+path, nil)
	if err != nil {
		return err
	}
	return s.checker.CheckResponse(plain, a.Response, a.body)
}

// misread reports whether the end of a path is read as a message's id, for it has
// another meaning with another method.
func misread(r *contract.Request) bool {
	return r.Method != r.Operation.Method && slices.Contains([]string{"/v1/messages/batch", "/v1/messages/retry"}, r.Path)
}

// readProblem wants a problem document that says what is wrong, and where.
func (a *answer) readProblem(r *contract.Request) error {
	if err := json.Unmarshal(a.body, &a.problem); err != nil {
		return fmt.Errorf("no problem document: %w", err)
	}
	p := a.problem
	complete := p.Status == a.StatusCode && p.Code != "" && p.Title != "" && p.Detail != ""
	switch {
	case a.Header.Get("Content-Type") != "application/problem+json":
		return errors.New("a problem of another media type")
	case !complete:
		return errors.New("the problem document is not complete")
	case p.Type != "urn:problem-type:activemessage:"+strings.ReplaceAll(p.Code, "_", "-"):
		return errors.New("the problem's type is not its code's")
	case p.Code == "method_not_allowed" && a.Header.Get("Allow") == "":
		return errors.New("405 without Allow")
	}
	return p.pointed(r)
}

// pointed wants errors that say what member or parameter is wrong, wherever it is the
// content that is refused.
func (p *problemDocument) pointed(r *contract.Request) error {
	if len(p.Errors) == 0 && strings.HasPrefix(p.Code, "invalid_") {
		return errors.New("the problem points at nothing")
	}
	for _, e := range p.Errors {
		if e.Detail == "" || !pointsInto(r, e.Pointer, e.Detail) {
			return fmt.Errorf("%q points at nothing", e.Pointer)
		}
	}
	return nil
}

// pointsInto reports whether a pointer leads to a part of the request, or to where
// the detail says that one is missing.
func pointsInto(r *contract.Request, pointer, detail string) bool {
	if name, is := strings.CutPrefix(pointer, "?"); is {
		query, err := url.ParseQuery(r.Query)
		return err == nil && slices.ContainsFunc(slices.Collect(maps.Keys(query)), func(own string) bool {
			return strings.ToValidUTF8(own, "\ufffd") == name // JSON has no other text
		})
	}
	if pointsElsewhere(r, pointer) {
		return true
	}
	var at any
	decoder := json.NewDecoder(bytes.NewReader(r.Body))
	decoder.UseNumber()
	if err := decoder.Decode(&at); err != nil || !strings.HasPrefix(pointer, "/") {
		// What stands before the place where it breaks was read.
		return err != nil && strings.Contains(r.Header.Get("Content-Type"), "json")
	}
	for token := range strings.SplitSeq(pointer[1:], "/") {
		if list, is := at.([]any); is {
			n, err := strconv.Atoi(token)
			if err != nil || n < 0 || n >= len(list) {
				return false
			}
			at = list[n]
			continue
		}
		inside, _ := at.(map[string]any)
		member, has := inside[strings.NewReplacer("~1", "/", "~0", "~").Replace(token)]
		if !has {
			return strings.Contains(detail, "is missing")
		}
		at = member
	}
	return true
}

// pointsElsewhere knows the pointers that lead neither into the body nor the query.
func pointsElsewhere(r *contract.Request, pointer string) bool {
	event := r.Header["Ce-Specversion"] != nil || strings.Contains(strings.ToLower(r.Header.Get("Content-Type")), "cloudevents")
	switch {
	case strings.HasPrefix(pointer, "ce-"): // the header of a CloudEvent's attribute
		return event
	case pointer == "Idempotency-Key", pointer == "Content-Type":
		return r.Header[pointer] != nil
	case pointer == "": // of an event, its extension attributes
		return event
	case pointer == "{message_type}":
		return strings.Contains(r.Operation.Path, pointer)
	case strings.HasSuffix(pointer, "/backoff/max"): // which its default stands for
		return bytes.Contains(r.Body, []byte(`"initial"`))
	case pointer == "/metadata": // parameters that begin with it
		return strings.Contains(r.Query, "metadata")
	case pointer == "/type": // an event's, in the path
		return event
	}
	// An event's attribute may have the name of CloudEvents' extension for it.
	return event && slices.Contains([]string{"/key", "/expiresat"}, pointer)
}

// acceptable wants an accepted request to satisfy the document.
func (s *session) acceptable(r *contract.Request, request *http.Request, status int) error {
	body := r.Body
	if bodiless(r) {
		request.Header.Del("Content-Type")
		body = nil
	}
	if err := s.checker.CheckRequest(request, body); err != nil && !lenient(r, status, err) {
		return fmt.Errorf("accepted, but not valid: %w", err)
	}
	return nil
}

// bodiless reports whether the document has no body for the request: then one is
// not read.
func bodiless(r *contract.Request) bool {
	return r.Method == http.MethodGet || r.Method == http.MethodDelete || strings.HasSuffix(r.Operation.Path, "/retry")
}

// lenient lists what is accepted on purpose beyond what the document can say, and
// what the checker cannot read.
func lenient(r *contract.Request, status int, fault error) bool {
	switch {
	case status == http.StatusMultiStatus:
		return true // each message of a batch is judged in its place, and the checker reads no NDJSON
	case r.Mutation == "other content type", r.Mutation == "repeated header":
		return true // any +json, and what curl and browsers say of JSON if they are not told
	case r.Mutation == "CloudEvents headers":
		return true // the body is the event's data
	}
	// What is null, empty or zero is as good as absent where it means nothing else.
	return slices.ContainsFunc([]string{
		"got null",
		"The value '' is not one of those values",
		"The query parameter 'idempotency_key' is defined as an string, however it failed to pass a schema validation [: minLength: got 0",
		"$.idempotency_key: minLength: got 0",
		"hour/min in offset out of range", // time.Parse takes +24:00
		"$.subject: minLength: got 0",
		"$.time: '' is not valid date-time",
		"$.max_attempts: minimum: got 0",
		"The query parameter 'max_attempts' is defined as an integer, however it failed to pass a schema validation [: minimum: got 0",
	}, func(words string) bool { return strings.Contains(fault.Error(), words) })
}

// excuse is a rule that the document tells in words, for JSON Schema cannot: a
// refusal with these words (a regular expression) is no fault, unless it has the others.
type excuse struct{ pointer, words, unless string }

// excuses is the whole list.
func excuses() []excuse {
	const (
		anywhere = ""
		id       = `"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"`
		cursor   = `"([0-9a-f]{8}\.)?[0-9]{1,19}"`
	)
	return []excuse{
		// What only the server gives, and a client must not make up.
		{anywhere, "is not a message id", id},
		{anywhere, "is not a cursor", cursor},
		{anywhere, "is not one this server gave", cursor},
		{anywhere, "is ahead of the log", ""},
		// Times and durations against the clock, each other, and the type's policy. A
		// duration of many digits is more than 292 years.
		{anywhere, `^"(.*\d{7}|.{40}).*" is not a duration`, ""},
		{anywhere, "is not greater than 0", ""},
		{anywhere, "cannot be given together with delay", ""},
		{anywhere, "is too long: at most 366 days", ""},
		{anywhere, "is too far ahead", ""},
		{anywhere, "is not in the future", ""},
		{anywhere, "is not after the time at which the message is due", ""},
		{anywhere, "than this message type allows", ""},
		{anywhere, "is more than the server's", ""},
		{anywhere, "is less than initial", ""},
		// A worker's instance and types.
		{anywhere, "is run by the server itself", ""},
		{anywhere, `^"\.+" cannot stand in a path`, ""},
		{"/instance", `has \d+ bytes: use at most`, ""},
		// Lengths count characters for JSON Schema, and bytes here.
		{anywhere, "bytes are too long", ""},
		// In words only.
		{anywhere, "(has the|holds a) control character", ""},
		{anywhere, `ends in '\*'`, ""},
		{"/traceparent", "is not a W3C traceparent", ""},
		{"/tracestate", "is not a W3C tracestate", ""},
		{anywhere, "means nothing without (an idempotency key|traceparent)", ""},
		{anywhere, "the Idempotency-Key is not one key", ""}, // a quoted string without its end
		{anywhere, "the Idempotency-Key differs from idempotency_key", ""},
		{anywhere, "an Idempotency-Key is for one message", ""},
		{anywhere, "another message was submitted with this", ""},
		{"?limit", "is for pages", ""},      // not for event streams
		{anywhere, "names no metadata", ""}, // in brackets, a name with brackets
		{anywhere, "give exactly one of response_notification, message_id and message_type", ""},
		// Attributes of CloudEvents: their format says what they may be.
		{anywhere, "is no attribute's name", ""},
		{"/datacontenttype", "is empty", ""},
		{anywhere, "an attribute is a string, an integer, true or false", ""},
		{anywhere, "is a number that is not an integer( of 32 bits)?: send it as a string", ""},
	}
}

func (e excuse) covers(detail string) bool {
	return regexp.MustCompile(e.words).MatchString(detail) && (e.unless == "" || !regexp.MustCompile(e.unless).MatchString(detail))
}

// excused wants a refusal of what satisfies the schemas to name one of the rules.
func excused(a *answer) error {
	if !slices.Contains([]int{http.StatusBadRequest, http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity}, a.StatusCode) {
		return nil // depends on the server's state
	}
	faults := a.problem.Errors
	if len(faults) == 0 {
		faults = []fieldError{{"", a.problem.Detail}}
	}
	for _, fault := range faults {
		if !slices.ContainsFunc(excuses(), func(e excuse) bool {
			return (e.pointer == "" || e.pointer == fault.Pointer) && e.covers(fault.Detail)
		}) {
			return fmt.Errorf("valid, but refused: %s %s", fault.Pointer, fault.Detail)
		}
	}
	return nil
}
