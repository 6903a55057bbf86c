package engine_test

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/activemessage/activemessage/engine"
)

type part struct {
	Price  int8            `json:"price"`
	Labels map[string]bool `json:"labels"`
}

type base struct {
	Small uint8 `json:"small"`
}

type purchase struct {
	base
	Parts  []part     `json:"parts"`
	By     *int64     `json:"by"`
	At     time.Time  `json:"at"`
	Big    *big.Int   `json:"big"`
	IP     netip.Addr `json:"ip"`
	Raw    []byte     `json:"raw"`
	Own    inner      `json:"own"`
	Quoted int        `json:"quoted,string"`
}

// inner decodes itself, so that what it fails with has offsets of its own.
type inner struct{ A, B string }

func (i *inner) UnmarshalJSON(data []byte) error {
	var plain struct{ A, B string }
	if err := json.Unmarshal(data, &plain); err != nil {
		return err
	}
	i.A, i.B = plain.A, plain.B
	return nil
}

func typedHandler[In any]() engine.Handler {
	return engine.Typed(func(context.Context, In) (string, error) { return "", nil })
}

// What a typed handler would not decode is refused, with where and why, in words that
// have no Go types; and nothing that it would decode.
func TestTypedRefusesWhatItWouldNotDecode(t *testing.T) {
	t.Parallel()
	e := start(t, engine.Config{})
	for name, h := range map[string]engine.Handler{
		"order": typedHandler[purchase](), "list": typedHandler[[]map[string]int](), "any": typedHandler[any](), "ints": typedHandler[map[int]string](),
	} {
		if err := e.Register(name, h, engine.Policy{}); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ messageType, data, field, reason string }{
		{"order", ``, "", ""},
		{"order", " \n", "", ""},
		{"order", `null`, "", ""},
		{"order", `{"unknown":1,"by":null,"BY":3}`, "", ""},
		{"order", `{"by":"x"}`, "message_data/by", "is a JSON string: send an integer of 64 bits"},
		{"order", `{"By": 1.5}`, "message_data/By", "is the number 1.5: send an integer of 64 bits"},
		{"order", `  {"parts":[{"price":1},{"price":1000}]}`, "message_data/parts/1/price", "is the number 1000: send an integer of 8 bits"},
		{"order", `{"parts":[{"labels":{"a/b~":1}}]}`, "message_data/parts/0/labels/a~1b~0", "is a JSON number: send true or false"},
		{"order", `{"parts":{}}`, "message_data/parts", "is a JSON object: send an array"},
		{"order", `{"small":-1}`, "message_data/small", "is the number -1: send an integer of 8 bits that is not negative"},
		{"order", `{"raw":7}`, "message_data/raw", "is a JSON number: send a string of base64"},
		{"order", `{"raw":"*"}`, "message_data", "has bytes that are not standard base64"},
		{"order", `{"at":"tomorrow"}`, "message_data", "has a time that is not as RFC 3339 writes it"},
		{"order", `{"big":"x"}`, "message_data", "does not fit: a member has the wrong form"},
		{"order", `{"ip":"x"}`, "message_data", `does not fit: ParseAddr("x"): unable to parse IP`},
		{"order", `{"quoted":1}`, "message_data", "does not fit: a member has the wrong form"},
		{"order", `{"own":{"A":"a","B":1}}`, "message_data", "is a JSON number: send a string"},
		{"order", `[]`, "message_data", "is a JSON array: send an object"},
		{"order", `{"by":1`, "message_data", "is not valid JSON at byte 7: unexpected end of JSON input"},
		{"order", `{} {}`, "message_data", "is not valid JSON at byte 4: invalid character '{' after top-level value"},
		{"list", `[{"a":1},{"a":1,"b":[]}]`, "message_data/1/b", "is a JSON array: send an integer of 64 bits"},
		{"any", `{"a":[1,null]}`, "", ""},
		{"any", `1e400`, "message_data", "is the number 1e400: send a number of 64 bits"},
		{"ints", `{"1":"a"}`, "", ""},
		{"ints", `{"x":"a"}`, "message_data", "is the number x"},
	} {
		_, err := e.Submit(t.Context(), engine.Submission{MessageType: c.messageType, MessageData: []byte(c.data)})
		if c.field == "" {
			if err != nil {
				t.Errorf("%s %s: %v", c.messageType, c.data, err)
			}
			continue
		}
		bad, is := errors.AsType[*engine.InvalidError](err)
		if !is || bad.Field != c.field || !strings.HasPrefix(bad.Reason, c.reason) {
			t.Errorf("%s %s: %v", c.messageType, c.data, err)
		}
	}
	stats := e.Stats()
	if got := stats.Refused[engine.RefusedInvalid]; got != 19 || stats.Types["order"].Refused[engine.RefusedInvalid] != 16 {
		t.Errorf("%d refusals are counted, %d of order", got, stats.Types["order"].Refused[engine.RefusedInvalid])
	}
}

// FuzzTypedCheck: whatever is sent, it is refused exactly if it does not decode, and what the
// refusal points at is there.
func FuzzTypedCheck(f *testing.F) {
	for _, seed := range []string{`{"parts":[{"price":1},{"price":1000}]}`, `{"own":{"A":"a","B":1}}`, `[{"a":1}]`, `{"parts":[[`, `"\ud800"`, `{"":{"~/":1e999}}`} {
		f.Add([]byte(seed))
	}
	checker, _ := engine.Power[engine.Checker](typedHandler[purchase]())
	f.Fuzz(func(t *testing.T, data []byte) {
		err := checker.Check(&engine.Submission{MessageData: data})
		var into purchase
		decoded := len(strings.TrimSpace(string(data))) == 0 || json.Unmarshal(data, &into) == nil
		if (err == nil) != decoded {
			t.Fatalf("check says %v, decoding says %t", err, decoded)
		}
		bad, is := errors.AsType[*engine.InvalidError](err)
		if !is || bad.Field == "message_data" {
			return
		}
		var value any
		if err := json.Unmarshal(data, &value); err != nil {
			return // a number that is too large
		}
		for _, token := range strings.Split(bad.Field, "/")[1:] {
			token = strings.NewReplacer("~1", "/", "~0", "~").Replace(token)
			switch v := value.(type) {
			case map[string]any:
				member, has := v[token]
				if !has {
					t.Fatalf("%s points at nothing", bad.Field)
				}
				value = member
			case []any:
				var i int
				if _, err := fmt.Sscan(token, &i); err != nil || i >= len(v) {
					t.Fatalf("%s points at nothing", bad.Field)
				}
				value = v[i]
			default:
				t.Fatalf("%s points into a %T", bad.Field, value)
			}
		}
	})
}

// checked is a handler with a check of its own.
type checked struct {
	engine.HandlerFunc
	check func(*engine.Submission) error
}

func (c checked) Check(s *engine.Submission) error { return c.check(s) }

// Every door of the engine asks the check; what it says is told as its kind has it, and
// its panic harms nobody.
func TestCheckRefuses(t *testing.T) {
	t.Parallel()
	e := start(t, engine.Config{})
	h := checked{echo, func(s *engine.Submission) error {
		switch string(s.MessageData) {
		case "secret":
			return errors.New("table users has no row")
		case "own":
			return fmt.Errorf("check: %w", &engine.Error{Message: "no such user", Cause: errors.New("secret")})
		case "field":
			return &engine.InvalidError{Field: "key", Reason: "names no user"}
		case "panic":
			panic("secret")
		case "nil":
			return (*engine.Error)(nil)
		}
		s.MessageData, s.MessageType = []byte("changed"), "changed"
		return nil
	}}
	if err := e.Register("checked", h, engine.Policy{}); err != nil {
		t.Fatal(err)
	}
	var batch []engine.Submission
	expected := []string{
		"message_data: is not what this message type takes", "message_data: no such user", "key: names no user",
		"message_data: cannot be checked: the check of this message type crashed", "message_data: handler failed", "",
	}
	for _, data := range []string{"secret", "own", "field", "panic", "nil", "good"} {
		batch = append(batch, engine.Submission{MessageType: "checked", MessageData: []byte(data), ResponseNotification: "n"})
	}
	for i, accepted := range e.SubmitAll(t.Context(), batch) {
		_, err := e.Submit(t.Context(), batch[i])
		for _, err := range []error{err, accepted.Err} {
			if expected[i] == "" {
				mustBe(t, err, nil)
				continue
			}
			mustBe(t, err, engine.ErrInvalid)
			if err.Error() != expected[i] {
				t.Errorf("%s: %v", batch[i].MessageData, err)
			}
		}
	}
	for _, n := range read(t, subscribe(t, e, "*", engine.Cursor{}), 0) {
		t.Error(n)
	}
	if got := e.Stats().Types["checked"].Refused[engine.RefusedInvalid]; got != 10 {
		t.Errorf("%d refusals are counted", got)
	}
}

// A message that was accepted is answered again, also when its type has become stricter;
// a new one is not.
func TestAReplayIsNotChecked(t *testing.T) {
	t.Parallel()
	e := start(t, engine.Config{})
	strict := false
	h := checked{echo, func(*engine.Submission) error {
		if strict {
			return &engine.Error{Message: "too strict"}
		}
		return nil
	}}
	if err := e.Register("checked", h, engine.Policy{}); err != nil {
		t.Fatal(err)
	}
	s := engine.Submission{MessageType: "checked", IdempotencyKey: "1"}
	first := submit(t, e, s)
	strict = true
	if again := submit(t, e, s); !again.Replayed || again.ID != first.ID {
		t.Errorf("%+v", again)
	}
	s.IdempotencyKey = "2"
	_, err := e.Submit(t.Context(), s)
	mustBe(t, err, engine.ErrInvalid)
}

// unwrapping tells what it wraps, as a middleware of one's own may.
type unwrapping struct{ engine.Handler }

func (u unwrapping) Unwrap() engine.Handler { return u.Handler }

// endless wraps itself.
type endless struct{ engine.HandlerFunc }

func (h endless) Unwrap() engine.Handler { return h }

// Middleware that knows nothing of powers keeps them; one that has its own is asked first.
func TestChainKeepsPowers(t *testing.T) {
	t.Parallel()
	plain := func(next engine.Handler) engine.Handler {
		return engine.HandlerFunc(func(ctx context.Context, m *engine.Message) (engine.Result, error) { return next.Handle(ctx, m) })
	}
	telling := func(next engine.Handler) engine.Handler { return unwrapping{next} }
	inOrder := typedHandler[purchase]()
	for name, h := range map[string]engine.Handler{
		"bare": inOrder, "plain": engine.Chain(inOrder, plain, plain), "telling": engine.Chain(inOrder, telling),
		"both": engine.Chain(inOrder, plain, telling, plain, telling), "nothing": engine.Chain(inOrder),
		"nested": engine.Chain(engine.Chain(inOrder, plain), plain),
	} {
		d, has := engine.Power[engine.Describer](h)
		if !has {
			t.Errorf("%s: not described", name)
			continue
		}
		if data, result := d.Describe(); data != reflect.TypeFor[purchase]() || result != reflect.TypeFor[string]() {
			t.Errorf("%s: %v, %v", name, data, result)
		}
		if c, has := engine.Power[engine.Checker](h); !has || c.Check(&engine.Submission{MessageData: []byte("x")}) == nil {
			t.Errorf("%s: not checked", name)
		}
	}
	for name, h := range map[string]engine.Handler{"nil": nil, "func": engine.HandlerFunc(echo), "endless": endless{echo}, "chain": engine.Chain(engine.HandlerFunc(echo), plain)} {
		if _, has := engine.Power[engine.Checker](h); has {
			t.Errorf("%s has a check", name)
		}
	}
	if h := engine.Chain(inOrder, func(engine.Handler) engine.Handler { return nil }); h != nil {
		t.Error("a nil handler is hidden")
	}
	unzip := func(engine.Handler) engine.Handler {
		return checked{echo, func(s *engine.Submission) error {
			_, err := gzip.NewReader(strings.NewReader(string(s.MessageData)))
			return err
		}}
	}
	outer, _ := engine.Power[engine.Checker](engine.Chain(inOrder, plain, unzip))
	if err := outer.Check(&engine.Submission{MessageData: []byte("{}")}); !errors.Is(err, gzip.ErrHeader) && err == nil {
		t.Error("the inner check was asked")
	}
}

// The types of a registered handler are told, and of others none.
func TestDescribe(t *testing.T) {
	t.Parallel()
	e := start(t, engine.Config{})
	if err := e.Register("order", typedHandler[purchase](), engine.Policy{}); err != nil {
		t.Fatal(err)
	}
	register(t, e, "echo", engine.Policy{}, echo)
	if data, result, err := e.Describe("order"); data != reflect.TypeFor[purchase]() || result != reflect.TypeFor[string]() || err != nil {
		t.Error(data, result, err)
	}
	if data, result, err := e.Describe("echo"); data != nil || result != nil || err != nil {
		t.Error(data, result, err)
	}
	_, _, err := e.Describe("nope")
	mustBe(t, err, engine.ErrUnknownType)
}

// BenchmarkTyped is what the check at submission costs: against a handler that decodes
// only when it runs.
func BenchmarkTyped(b *testing.B) {
	data := []byte(`{"parts":[{"price":1,"labels":{"a":true}},{"price":2}],"by":3,"at":"2026-01-02T15:04:05Z"}`)
	inOrder := typedHandler[purchase]()
	for name, h := range map[string]engine.Handler{"checked": inOrder, "unchecked": engine.HandlerFunc(inOrder.Handle)} {
		b.Run(name, func(b *testing.B) {
			e := start(b, engine.Config{QueueLimit: 1 << 30, QueueBytes: 1 << 40})
			if err := e.Register("order", h, engine.Policy{}); err != nil {
				b.Fatal(err)
			}
			sub := subscribe(b, e, "n", e.Cursor())
			for b.Loop() {
				submit(b, e, engine.Submission{MessageType: "order", MessageData: data, ResponseNotification: "n"})
				read(b, sub, 1)
			}
		})
	}
}

// A handler that takes another's place is asked from then on.
func TestReplaceTakesTheCheckAlong(t *testing.T) {
	t.Parallel()
	e := start(t, engine.Config{})
	register(t, e, "work", engine.Policy{}, echo)
	s := engine.Submission{MessageType: "work", MessageData: []byte("no JSON")}
	submit(t, e, s)
	if err := e.Replace("work", typedHandler[purchase](), engine.Policy{}); err != nil {
		t.Fatal(err)
	}
	_, err := e.Submit(t.Context(), s)
	mustBe(t, err, engine.ErrInvalid)
	if err := e.Replace("work", engine.HandlerFunc(echo), engine.Policy{}); err != nil {
		t.Fatal(err)
	}
	submit(t, e, s)
}

// What puts a message off, or hands it on, is no failure.
func TestFails(t *testing.T) {
	t.Parallel()
	err := errors.New("bad")
	for _, failure := range []error{err, engine.Permanent(err), engine.RetryAfter(time.Second, err), engine.Throttle(time.Second, err), engine.Lost(err), &engine.Error{}} {
		if !engine.Fails(failure) || !engine.Fails(fmt.Errorf("wrapped: %w", failure)) {
			t.Errorf("%v is no failure", failure)
		}
	}
	for _, none := range []error{nil, engine.Snooze(time.Second), engine.Throttle(time.Second, nil), engine.Detach(time.Second), engine.HandBack()} {
		if engine.Fails(none) || none != nil && engine.Fails(fmt.Errorf("wrapped: %w", none)) {
			t.Errorf("%v is a failure", none)
		}
	}
}
