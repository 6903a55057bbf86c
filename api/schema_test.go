package api_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"math/big"
	"net/netip"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pb33f/jsonschema/v6"
	"pgregory.net/rapid"

	"github.com/activemessage/activemessage/api"
)

// failer is what a helper needs of a *testing.T, or of a *rapid.T.
type failer interface {
	Helper()
	Fatalf(format string, args ...any)
}

// compile makes a published schema one that validates.
func compile(t failer, schema []byte) *jsonschema.Schema {
	t.Helper()
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(schema))
	if err != nil {
		t.Fatalf("%v\n%s", err, schema)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	c.AssertContent()
	if err := c.AddResource("schema://handler", value); err != nil {
		t.Fatalf("%v\n%s", err, schema)
	}
	compiled, err := c.Compile("schema://handler")
	if err != nil {
		t.Fatalf("%v\n%s", err, schema)
	}
	return compiled
}

func validate(t failer, s *jsonschema.Schema, data []byte) error {
	t.Helper()
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatalf("%v\n%q", err, data)
	}
	return s.Validate(value)
}

// Types that are easy to describe wrongly.
type (
	tree struct {
		Value    int8             `json:"value" jsonschema:"what it holds"`
		Children []tree           `json:"children,omitempty"`
		Parent   *tree            `json:"parent"`
		ByName   map[string]*tree `json:"by_name"`
	}
	endlessList []endlessList
	endlessMap  map[string]endlessMap
	endlessPtr  *endlessPtr
	blob        []byte
	color       string
	small       uint8
	// lower and Upper write and read themselves as other than they look.
	lower struct{ Text string }
	Upper struct{ Text string }
	loud  int
	inner struct {
		Shared int
		Deep   string `json:"deep"`
		Both   int
	}
	other struct {
		Both string
		Deep []int `json:"Deep"`
	}
	Named struct {
		X int
	}
	odd struct {
		inner
		*other
		Named   `json:"named"`
		Shared  string
		At      time.Time `jsonschema:"minimum=1"`
		Until   *time.Time
		Raw     json.RawMessage
		Any     any
		Texter  fmt.Stringer
		Bytes   []byte
		Blob    blob
		Smalls  []small
		Hash    [4]byte
		Pair    [2]int
		Big     big.Int
		BigPtr  *big.Int
		IP      netip.Addr
		URL     url.URL
		Number  json.Number
		Quoted  int          `json:",string"`
		Quoted2 *bool        `json:"quoted2,string,omitempty"`
		Quoted3 json.Number  `json:"quoted3,string"`
		Loud    loud         `json:"loud,string"`
		Hidden  string       `json:"-"`
		Zero    int          `json:"zero,omitzero"`
		Ints    map[int]bool `json:"ints"`
		Colors  map[color]color
		Lower   lower
		Lowers  map[string]lower
		Upper   Upper
		Uppers  []*Upper
		Float   float32
		Chan    chan int `json:"chan,omitempty"`
		Pointer ***uint16
		Structs []struct{ A, B *struct{ C [20]int } }
	}
	bad struct {
		Func   func()
		Keys   map[struct{ A int }]int
		Number complex128
	}
)

func (l *lower) UnmarshalJSON(data []byte) error { return json.Unmarshal(data, &l.Text) }
func (l *lower) MarshalJSON() ([]byte, error)    { return json.Marshal(l.Text) }
func (u *Upper) UnmarshalText(text []byte) error { u.Text = string(text); return nil }
func (u Upper) MarshalText() ([]byte, error)     { return []byte(u.Text), nil }
func (l loud) MarshalJSON() ([]byte, error)      { return []byte(`{"loud":true}`), nil }

func oddTypes() []reflect.Type {
	return []reflect.Type{
		reflect.TypeFor[tree](), reflect.TypeFor[*tree](), reflect.TypeFor[odd](), reflect.TypeFor[bad](), reflect.TypeFor[any](),
		reflect.TypeFor[endlessList](), reflect.TypeFor[endlessMap](), reflect.TypeFor[blob](), reflect.TypeFor[[]byte](),
		reflect.TypeFor[json.RawMessage](), reflect.TypeFor[time.Time](), reflect.TypeFor[lower](), reflect.TypeFor[Upper](),
		reflect.TypeFor[struct{}](), reflect.TypeFor[chan int](), reflect.TypeFor[map[bool]int](), reflect.TypeFor[[3]Upper](),
		reflect.TypeFor[uint64](), reflect.TypeFor[color](), reflect.TypeFor[error](), reflect.TypeFor[loud](),
	}
}

// scalars are what random types end in.
func scalars() []reflect.Type {
	return append(oddTypes(), reflect.TypeFor[int](), reflect.TypeFor[int8](), reflect.TypeFor[uint16](), reflect.TypeFor[string](),
		reflect.TypeFor[bool](), reflect.TypeFor[float64](), reflect.TypeFor[json.Number](), reflect.TypeFor[small]())
}

// drawType draws a type.
func drawType(t *rapid.T, depth int) reflect.Type {
	kind := rapid.IntRange(0, 9).Draw(t, "kind")
	if depth == 0 {
		kind = 0
	}
	switch kind {
	case 1:
		return reflect.SliceOf(drawType(t, depth-1))
	case 2:
		return reflect.ArrayOf(rapid.SampledFrom([]int{0, 1, 2, 17}).Draw(t, "length"), drawType(t, depth-1))
	case 3:
		return reflect.MapOf(rapid.SampledFrom([]reflect.Type{reflect.TypeFor[string](), reflect.TypeFor[int8](), reflect.TypeFor[color]()}).Draw(t, "key"), drawType(t, depth-1))
	case 4:
		return reflect.PointerTo(drawType(t, depth-1))
	case 5, 6, 7, 8:
		var fields []reflect.StructField
		for i := range rapid.IntRange(0, 4).Draw(t, "fields") {
			tag := rapid.SampledFrom([]string{"", `json:"a"`, `json:"b,omitempty"`, `json:"c,string"`, `json:"A"`, `json:"-"`, `json:",omitzero"`}).Draw(t, "tag")
			fields = append(fields, reflect.StructField{Name: string(rune('A' + i)), Type: drawType(t, depth-1), Tag: reflect.StructTag(tag)})
		}
		return reflect.StructOf(fields)
	}
	return rapid.SampledFrom(scalars()).Draw(t, "scalar")
}

// drawValue draws JSON that might be read into a type.
func drawValue(t *rapid.T, of reflect.Type, depth int) any {
	if depth == 0 || rapid.IntRange(0, 14).Draw(t, "stray") == 0 {
		return rapid.SampledFrom([]any{nil, true, 0, -1, 1.5, 300, "x", "", "17", "AAA=", "2026-01-02T15:04:05Z", []any{}, []any{1, "x"}, map[string]any{}, map[string]any{"a": 1, "Both": "x"}}).Draw(t, "any")
	}
	switch of.Kind() {
	case reflect.Pointer:
		return drawValue(t, of.Elem(), depth)
	case reflect.Slice, reflect.Array:
		list := []any{}
		for range rapid.IntRange(0, 3).Draw(t, "length") {
			list = append(list, drawValue(t, of.Elem(), depth-1))
		}
		return list
	case reflect.Map:
		return map[string]any{rapid.SampledFrom([]string{"1", "x"}).Draw(t, "key"): drawValue(t, of.Elem(), depth-1)}
	case reflect.Struct:
		object := make(map[string]any)
		for _, field := range reflect.VisibleFields(of) {
			if rapid.IntRange(0, 2).Draw(t, "there") == 0 {
				continue
			}
			name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
			if name == "" {
				name = field.Name
			}
			object[name] = drawValue(t, field.Type, depth-1)
			if strings.Contains(options, "string") && rapid.Bool().Draw(t, "quoted") {
				object[name] = fmt.Sprint(object[name])
			}
		}
		return object
	case reflect.String:
		return "text"
	case reflect.Bool:
		return true
	case reflect.Float32, reflect.Float64:
		return 2.5
	case reflect.Interface:
		return map[string]any{"any": []any{1, nil}}
	}
	return rapid.SampledFrom([]any{0, 1, 100, 1000}).Draw(t, "number")
}

// A schema says what is enforced and no more: what a decoder takes, its schema takes; and
// what is written of that, the schema of the result takes. The types are the same in every
// run, unless -rapid.seed says otherwise; it is not parallel, for it sets that flag.
func TestPropertySchema(t *testing.T) {
	if seed := flag.Lookup("rapid.seed"); seed.Value.String() == seed.DefValue {
		if err := flag.Set("rapid.seed", "1"); err != nil {
			t.Fatal(err)
		}
	}
	refused, taken := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		of := drawType(t, 3)
		reads := compile(t, api.JSONSchema(of, true))
		writes := compile(t, api.JSONSchema(of, false))
		for range 10 {
			data, err := json.Marshal(drawValue(t, of, 4))
			if err != nil {
				t.Fatal(err)
			}
			into := reflect.New(of)
			decoded := json.Unmarshal(data, into.Interface())
			fault := validate(t, reads, data)
			if decoded == nil && fault != nil {
				t.Fatalf("%s is decoded into %s, and refused by\n%s\n%v", data, of, api.JSONSchema(of, true), fault)
			}
			if fault != nil {
				refused++
			}
			if decoded != nil {
				continue
			}
			taken++
			written, err := json.Marshal(into.Elem().Interface())
			if err != nil {
				continue
			}
			if fault := validate(t, writes, written); fault != nil {
				t.Fatalf("%s is written of %s, and refused by\n%s\n%v", written, of, api.JSONSchema(of, false), fault)
			}
		}
	})
	if refused < 50 || taken < 50 {
		t.Errorf("%d are refused, %d taken: the test tests nothing", refused, taken)
	}
}

// What is plainly wrong is refused by the schema, not by the decoder alone.
func TestSchemaRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		of         reflect.Type
		good, bad  []string
		has, lacks []string
	}{
		{
			reflect.TypeFor[tree](),
			[]string{`{}`, `null`, `{"value":1,"unknown":{},"children":[{"children":null}],"parent":{"value":-128},"by_name":{"a":null}}`},
			[]string{`[]`, `{"value":128}`, `{"value":"1"}`, `{"children":[{"value":true}]}`, `{"parent":{"parent":{"value":1.5}}}`, `{"by_name":{"a":[]}}`},
			[]string{`"$schema":"https://json-schema.org/draft/2020-12/schema"`, `"description":"what it holds"`, `"$ref":"#/$defs/tree"`},
			[]string{"required", "additionalProperties\":false", "api_test"},
		},
		{
			reflect.TypeFor[odd](),
			[]string{`{"Both":{},"Pair":[1,2,"skipped"],"Bytes":[1],"named":{"X":1},"X":"free"}`},
			[]string{`{"Quoted":1}`, `{"named":{"X":"1"}}`, `{"Pair":["x"]}`, `{"Hash":"AAAA"}`, `{"At":1}`, `{"At":"x"}`, `{"ints":{"1":2}}`,
				`{"Uppers":[1]}`, `{"Pointer":-1}`, `{"Shared":1}`, `{"Structs":[{"A":{"C":{}}}]}`},
			nil, []string{"minimum=1", "Hidden", "Both"},
		},
		{reflect.TypeFor[endlessList](), []string{`[[],[[]]]`}, []string{`[[1]]`}, nil, nil},
		{reflect.TypeFor[any](), []string{`1`, `null`}, nil, nil, nil},
		{reflect.TypeFor[bad](), []string{`{}`}, []string{`1`}, nil, nil},
	} {
		schema := api.JSONSchema(c.of, true)
		compiled := compile(t, schema)
		for _, data := range slices.Concat(c.good, c.bad) {
			decoded := json.Unmarshal([]byte(data), reflect.New(c.of).Interface())
			fault := validate(t, compiled, []byte(data))
			if good := slices.Contains(c.good, data); (decoded == nil) != good || (fault == nil) != good {
				t.Errorf("%s %s: decoder %v, schema %v", c.of, data, decoded, fault)
			}
		}
		for _, text := range c.has {
			if !strings.Contains(string(schema), text) {
				t.Errorf("%s lacks %s", schema, text)
			}
		}
		for _, text := range c.lacks {
			if strings.Contains(string(schema), text) {
				t.Errorf("%s has %s", schema, text)
			}
		}
	}
	if schema := api.JSONSchema(reflect.TypeFor[endlessPtr](), true); strings.Contains(string(schema), "type") {
		t.Errorf("a type that ends nowhere is %s", schema)
	}
	// What is written is known in full.
	written := compile(t, api.JSONSchema(reflect.TypeFor[tree](), false))
	for _, incomplete := range []string{`{}`, `null`, `{"value":1,"parent":null}`} {
		if validate(t, written, []byte(incomplete)) == nil {
			t.Errorf("a result %s is described", incomplete)
		}
	}
}
