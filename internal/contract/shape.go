package contract

import (
	"cmp"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// unbounded stands for a length that a schema does not bound.
const unbounded = -1

// shape is what a JSON Schema says, as far as values are drawn by it.
type shape struct {
	types      []string // none means any
	constants  []any    // of enum or const
	examples   []any
	pattern    string
	format     string
	encoding   string
	minimum    float64
	maximum    float64
	minLength  int
	maxLength  int
	minItems   int
	maxItems   int
	maxMembers int
	items      *shape // of an array
	members    map[string]*shape
	required   []string
	additional *shape // of members that are not listed; nil means that there are none
	// alternatives are whole shapes, of which oneOf or anyOf wants one.
	alternatives []*shape
	// excluded are sets of members that must not all be there.
	excluded [][]string
}

func anyShape() *shape {
	return &shape{
		minimum: math.Inf(-1), maximum: math.Inf(1),
		maxLength: unbounded, maxItems: unbounded, maxMembers: unbounded,
	}
}

// maxNesting ends the reading of a schema that contains itself.
const maxNesting = 32

// schemas reads the document's schemas.
type schemas struct{ document map[string]any }

// resolve follows a local reference.
func (d schemas) resolve(value any) (map[string]any, error) {
	m, _ := value.(map[string]any)
	reference, is := m["$ref"].(string)
	if !is {
		return m, nil
	}
	var at any = d.document
	for token := range strings.SplitSeq(strings.TrimPrefix(reference, "#/"), "/") {
		inside, _ := at.(map[string]any)
		at = inside[strings.NewReplacer("~1", "/", "~0", "~").Replace(token)]
	}
	if _, is := at.(map[string]any); !is {
		return nil, fmt.Errorf("%s leads nowhere", reference)
	}
	return d.resolve(at)
}

// shape reads a schema; nil allows anything.
func (d schemas) shape(schema any) (*shape, error) { return d.nested(schema, 0) }

func (d schemas) nested(schema any, depth int) (*shape, error) {
	s := anyShape()
	if depth > maxNesting {
		return nil, errors.New("a schema contains itself: that is not read")
	}
	m, _ := schema.(map[string]any)
	return s, d.apply(s, m, depth)
}

// apply adds what a schema says to a shape. What is said twice the later schema
// says, but for types, members and the like, which add up.
func (d schemas) apply(s *shape, m map[string]any, depth int) error {
	if m["$ref"] != nil {
		target, err := d.resolve(m)
		if err != nil {
			return err
		}
		if err := d.apply(s, target, depth+1); err != nil {
			return err
		}
	}
	for _, part := range list(m["allOf"]) {
		if err := d.apply(s, object(part), depth+1); err != nil {
			return err
		}
	}
	s.applyText(m)
	s.applyBounds(m)
	if err := d.applyArray(s, m, depth); err != nil {
		return err
	}
	if err := d.applyObject(s, m, depth); err != nil {
		return err
	}
	return d.applyAlternatives(s, m, depth)
}

func (s *shape) applyText(m map[string]any) {
	switch t := m["type"].(type) {
	case string:
		s.types = []string{t}
	case []any:
		s.types = texts(t)
	}
	s.pattern = cmp.Or(text(m["pattern"]), s.pattern)
	s.format = cmp.Or(text(m["format"]), s.format)
	s.encoding = cmp.Or(text(m["contentEncoding"]), s.encoding)
	s.examples = append(s.examples, list(m["examples"])...)
	if example, given := m["example"]; given {
		s.examples = append(s.examples, example)
	}
	if values := list(m["enum"]); values != nil {
		s.constants = values
	}
	if constant, given := m["const"]; given {
		s.constants = []any{constant}
	}
}

func (s *shape) applyBounds(m map[string]any) {
	for name, into := range map[string]*float64{"minimum": &s.minimum, "maximum": &s.maximum} {
		if n, given := number(m[name]); given {
			*into = n
		}
	}
	for name, into := range map[string]*int{
		"minLength": &s.minLength, "maxLength": &s.maxLength,
		"minItems": &s.minItems, "maxItems": &s.maxItems, "maxProperties": &s.maxMembers,
	} {
		if n, given := number(m[name]); given {
			*into = int(n)
		}
	}
}

func (d schemas) applyArray(s *shape, m map[string]any, depth int) (err error) {
	if m["items"] != nil {
		s.items, err = d.nested(m["items"], depth+1)
	}
	return err
}

func (d schemas) applyObject(s *shape, m map[string]any, depth int) (err error) {
	for name, schema := range object(m["properties"]) {
		member, err := d.nested(schema, depth+1)
		if err != nil {
			return err
		}
		if s.members == nil {
			s.members = make(map[string]*shape)
		}
		s.members[name] = member
	}
	s.required = append(s.required, texts(list(m["required"]))...)
	if not := texts(list(object(m["not"])["required"])); not != nil {
		s.excluded = append(s.excluded, not)
	}
	switch additional := m["additionalProperties"].(type) {
	case bool:
		s.additional = nil
		if additional {
			s.additional = anyShape()
		}
	case map[string]any:
		s.additional, err = d.nested(additional, depth+1)
	}
	return err
}

func (d schemas) applyAlternatives(s *shape, m map[string]any, depth int) error {
	base := *s
	for _, alternative := range slices.Concat(list(m["oneOf"]), list(m["anyOf"])) {
		whole := base
		whole.members = maps.Clone(base.members)
		if err := d.apply(&whole, object(alternative), depth+1); err != nil {
			return err
		}
		s.alternatives = append(s.alternatives, &whole)
	}
	return nil
}

func list(value any) []any {
	l, _ := value.([]any)
	return l
}

func object(value any) map[string]any {
	m, _ := value.(map[string]any)
	return m
}

func text(value any) string {
	s, _ := value.(string)
	return s
}

func texts(values []any) []string {
	var all []string
	for _, value := range values {
		all = append(all, text(value))
	}
	return all
}

func number(value any) (float64, bool) {
	switch n := value.(type) {
	case int:
		return float64(n), true
	case int64:
		return float64(n), true
	case uint64:
		return float64(n), true
	case float64:
		return n, true
	}
	return 0, false
}

// once draws true one time in n; it shrinks to false.
func once(t *rapid.T, n int, label string) bool {
	return rapid.SampledFrom(append(make([]bool, n-1), true)).Draw(t, label)
}

// pool draws values: by their schemas, and in half of the cases one of those that
// are known to mean something.
type pool struct {
	t     *rapid.T
	known Known
}

// draw draws a value of a shape. The name is the member's or the parameter's.
func (p pool) draw(s *shape, name string) any {
	if len(s.alternatives) > 0 {
		return p.draw(rapid.SampledFrom(s.alternatives).Draw(p.t, name+" alternative"), name)
	}
	if len(s.constants) > 0 {
		return rapid.SampledFrom(s.constants).Draw(p.t, name)
	}
	if value, found := p.drawKnown(s, name); found {
		return value
	}
	if len(s.types) == 0 {
		return p.anything(3)
	}
	switch rapid.SampledFrom(s.types).Draw(p.t, name+" type") {
	case "object":
		return p.object(s)
	case "array":
		return p.array(s, name)
	case "string":
		return p.text(s, name)
	case "integer":
		return p.integer(s, name)
	case "number":
		return rapid.Float64Range(max(s.minimum, -1e300), min(s.maximum, 1e300)).Draw(p.t, name)
	case "boolean":
		return rapid.Bool().Draw(p.t, name)
	}
	return nil
}

// integer draws the bounds more often than chance would.
func (p pool) integer(s *shape, name string) int64 {
	const exact = 1 << 53 // what every JSON reader can hold
	least, most := int64(max(s.minimum, -exact)), int64(min(s.maximum, exact))
	if once(p.t, 4, name+" at its bound") {
		return rapid.SampledFrom([]int64{least, most}).Draw(p.t, name)
	}
	return rapid.Int64Range(least, most).Draw(p.t, name)
}

// beyond are the numbers just outside of the bounds.
func (s *shape) beyond() []string {
	var all []string
	for _, n := range []float64{s.minimum - 1, s.maximum + 1} {
		if !math.IsInf(n, 0) {
			all = append(all, strconv.FormatFloat(n, 'f', -1, 64))
		}
	}
	return all
}

func (p pool) drawKnown(s *shape, name string) (any, bool) {
	known := slices.Clone(s.examples)
	if p.known != nil && (len(s.types) == 0 || slices.Contains(s.types, "string")) {
		for _, text := range p.known(name) {
			known = append(known, text)
		}
	}
	if len(known) == 0 || once(p.t, 4, name+" by schema") {
		return nil, false
	}
	return rapid.SampledFrom(known).Draw(p.t, name), true
}

// object draws an object: the required members always, the others seldom, for some
// of them exclude each other by rules that no schema tells.
func (p pool) object(s *shape) map[string]any {
	m := make(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(s.members)) {
		if slices.Contains(s.required, name) || once(p.t, 5, "with "+name) {
			m[name] = p.draw(s.members[name], name)
		}
	}
	if s.additional != nil && once(p.t, 3, "additional") {
		for range rapid.IntRange(1, 3).Draw(p.t, "count") {
			m[p.name()] = p.draw(s.additional, "")
		}
	}
	for _, set := range s.excluded {
		if containsAll(m, set) {
			delete(m, rapid.SampledFrom(set).Draw(p.t, "excluded"))
		}
	}
	s.trim(m)
	return m
}

// trim removes members that need not be there, while there are too many.
func (s *shape) trim(m map[string]any) {
	for _, name := range slices.Sorted(maps.Keys(m)) {
		if s.maxMembers != unbounded && len(m) > s.maxMembers && !slices.Contains(s.required, name) {
			delete(m, name)
		}
	}
}

func containsAll(m map[string]any, names []string) bool {
	return !slices.ContainsFunc(names, func(name string) bool {
		_, has := m[name]
		return !has
	})
}

// name draws the name of an additional member.
func (p pool) name() string {
	if once(p.t, 8, "odd name") {
		return rapid.StringN(1, 8, -1).Draw(p.t, "name")
	}
	return rapid.StringMatching(`[a-z]{3,8}`).Draw(p.t, "name")
}

func (p pool) array(s *shape, name string) []any {
	items := cmp.Or(s.items, anyShape())
	most := s.minItems + 3
	if s.maxItems != unbounded {
		most = min(most, s.maxItems)
	}
	all := make([]any, 0, most)
	for range rapid.IntRange(s.minItems, most).Draw(p.t, name+" count") {
		all = append(all, p.draw(items, name))
	}
	return all
}

// text draws a string. Those of a known format are plain ones: what is odd within a
// format is for tests of the format's reader.
func (p pool) text(s *shape, name string) string {
	switch {
	case s.format == "uuid":
		return rapid.StringMatching(`[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}`).Draw(p.t, name)
	case s.format == "date-time":
		at := time.Unix(rapid.Int64Range(0, 1<<33).Draw(p.t, name), rapid.Int64Range(0, 1e9-1).Draw(p.t, name+" nanoseconds"))
		zone := time.FixedZone("", 900*rapid.IntRange(-48, 56).Draw(p.t, name+" zone"))
		return at.In(zone).Format(time.RFC3339Nano)
	case s.encoding == "base64" || s.format == "byte":
		return base64.StdEncoding.EncodeToString(p.bytes(64))
	case s.pattern != "":
		return rapid.StringMatching(s.pattern).Filter(s.fits).Draw(p.t, name)
	}
	longest := 24
	if s.maxLength != unbounded {
		longest = min(longest, s.maxLength)
		if once(p.t, 16, "longest "+name) {
			return strings.Repeat(rapid.SampledFrom([]string{"x", "é"}).Draw(p.t, "character"), s.maxLength)
		}
	}
	if once(p.t, 8, "odd "+name) {
		return rapid.StringN(s.minLength, longest, -1).Draw(p.t, name)
	}
	return rapid.StringOfN(rapid.RuneFrom([]rune("abcxyz 09_-.:/äß€")), s.minLength, longest, -1).Draw(p.t, name)
}

func (s *shape) fits(text string) bool {
	n := utf8.RuneCountInString(text)
	return n >= s.minLength && (s.maxLength == unbounded || n <= s.maxLength)
}

func (p pool) bytes(most int) []byte {
	return rapid.SliceOfN(rapid.Byte(), 0, most).Draw(p.t, "bytes")
}

// anything draws any JSON that nests no deeper than depth.
func (p pool) anything(depth int) any {
	kinds := []string{"null", "boolean", "integer", "string", "number"}
	if depth > 0 {
		kinds = append(kinds, "array", "object")
	}
	switch rapid.SampledFrom(kinds).Draw(p.t, "kind") {
	case "boolean":
		return rapid.Bool().Draw(p.t, "boolean")
	case "integer":
		return rapid.Int64().Draw(p.t, "integer")
	case "string":
		return rapid.StringN(0, 12, -1).Draw(p.t, "string")
	case "number":
		return rapid.Float64Range(-1e300, 1e300).Draw(p.t, "number")
	case "array":
		all := make([]any, rapid.IntRange(0, 3).Draw(p.t, "count"))
		for i := range all {
			all[i] = p.anything(depth - 1)
		}
		return all
	case "object":
		m := make(map[string]any)
		for range rapid.IntRange(0, 3).Draw(p.t, "count") {
			m[p.name()] = p.anything(depth - 1)
		}
		return m
	}
	return nil
}
