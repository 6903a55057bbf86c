package api

import (
	"encoding"
	"encoding/json"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/google/jsonschema-go/jsonschema"
)

// jsonSchema returns the JSON Schema (2020-12) of a Go type: of what encoding/json reads
// into it, or of what it writes of it. A type it cannot speak of may be anything.
//
// The library makes the schemas of single types and writes them down. Those of structs and
// of all that is nested are put together here, for the library's say more than a
// decoder enforces: that members must be there, that there are no others and no null, and
// how many elements there are. They also do not know recursive types, and read tags
// otherwise.
func jsonSchema(t reflect.Type, reads bool) (schema []byte) {
	const dialect = "https://json-schema.org/draft/2020-12/schema"
	defer func() {
		if recover() != nil { // a type is its author's code, too
			schema = []byte(`{"$schema":"` + dialect + `"}`)
		}
	}()
	b := &schemaBuilder{reads: reads, names: make(map[reflect.Type]string), defs: make(map[string]*jsonschema.Schema)}
	root := *b.whole(t)
	root.Schema, root.Defs = dialect, b.defs
	schema, err := json.Marshal(root)
	if err != nil {
		panic(err)
	}
	return schema
}

// schemaBuilder makes one schema. Each named type that has parts has one definition, so
// that it ends with recursive types.
type schemaBuilder struct {
	reads bool
	names map[reflect.Type]string
	defs  map[string]*jsonschema.Schema
}

// of returns a type's schema, or a reference to it.
func (b *schemaBuilder) of(t reflect.Type) *jsonschema.Schema {
	switch t.Kind() {
	case reflect.Struct, reflect.Map, reflect.Slice, reflect.Array:
	default:
		return b.whole(t)
	}
	if t.Name() == "" || b.own(t) != nil {
		return b.whole(t)
	}
	name, known := b.names[t]
	if !known {
		name = b.nameFor(t)
		b.names[t] = name
		b.defs[name] = b.whole(t)
	}
	return &jsonschema.Schema{Ref: "#/$defs/" + name}
}

var notInName = regexp.MustCompile(`[^A-Za-z0-9]+`)

// nameFor returns a name that no other definition has.
func (b *schemaBuilder) nameFor(t reflect.Type) string {
	name := notInName.ReplaceAllString(t.Name(), "_")
	unique := name
	for i := 2; ; i++ {
		taken := false
		for _, other := range b.names {
			taken = taken || other == unique
		}
		if !taken {
			return unique
		}
		unique = name + strconv.Itoa(i)
	}
}

// whole returns a type's schema. All that is read may be null, which changes nothing.
func (b *schemaBuilder) whole(t reflect.Type) *jsonschema.Schema {
	if own := b.own(t); own != nil {
		return own
	}
	if t.Kind() == reflect.Pointer {
		if t.Name() != "" { // which may point at itself, and nothing else
			return &jsonschema.Schema{}
		}
		return b.nullable(b.of(t.Elem()))
	}
	s := b.plain(t)
	if b.reads {
		return b.nullable(s)
	}
	return s
}

func (b *schemaBuilder) plain(t reflect.Type) *jsonschema.Schema {
	switch t.Kind() {
	case reflect.Struct:
		return b.object(t)
	case reflect.Map:
		return b.dictionary(t)
	case reflect.Slice:
		return b.list(t)
	case reflect.Array:
		return b.array(t)
	}
	s, err := jsonschema.ForType(t, nil)
	if err != nil { // such as a channel
		return &jsonschema.Schema{}
	}
	return s
}

var (
	timeType   = reflect.TypeFor[time.Time]()
	numberType = reflect.TypeFor[json.Number]()
)

// own returns the schema of a type that reads or writes itself, or nil.
func (b *schemaBuilder) own(t reflect.Type) *jsonschema.Schema {
	whole, text := reflect.TypeFor[json.Marshaler](), reflect.TypeFor[encoding.TextMarshaler]()
	if b.reads {
		whole, text = reflect.TypeFor[json.Unmarshaler](), reflect.TypeFor[encoding.TextUnmarshaler]()
	}
	pointer := reflect.PointerTo(t)
	var s *jsonschema.Schema
	switch {
	case t.Kind() == reflect.Pointer || t.Kind() == reflect.Interface:
		return nil
	case t == timeType:
		s = &jsonschema.Schema{Type: "string", Format: "date-time"}
	case t == numberType && b.reads:
		return &jsonschema.Schema{Types: []string{"number", "string", "null"}}
	case t == numberType:
		return &jsonschema.Schema{Type: "number"}
	case pointer.Implements(whole):
		return &jsonschema.Schema{}
	case !pointer.Implements(text):
		return nil
	case !b.reads && !t.Implements(text): // whether it is asked depends on where it stands
		return &jsonschema.Schema{}
	default:
		s = &jsonschema.Schema{Type: "string"}
	}
	if b.reads {
		return b.nullable(s)
	}
	return s
}

// nullable also lets null pass.
func (b *schemaBuilder) nullable(s *jsonschema.Schema) *jsonschema.Schema {
	switch {
	case s.Ref != "" && b.reads: // its definition does
	case s.Ref != "":
		return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{s, {Type: "null"}}}
	case s.Type != "":
		s.Types, s.Type = []string{s.Type, "null"}, ""
	case s.Types != nil && !slices.Contains(s.Types, "null"):
		s.Types = append(s.Types, "null")
	}
	return s
}

func (b *schemaBuilder) dictionary(t reflect.Type) *jsonschema.Schema {
	key := t.Key().Kind()
	if key != reflect.String && (key < reflect.Int || key > reflect.Uintptr) && b.own(t.Key()) == nil {
		return &jsonschema.Schema{} // no decoder knows such a key
	}
	s := &jsonschema.Schema{Type: "object", AdditionalProperties: b.of(t.Elem())}
	if !b.reads {
		return b.nullable(s)
	}
	return s
}

// list is also the schema of bytes, which are a string of base64.
func (b *schemaBuilder) list(t reflect.Type) *jsonschema.Schema {
	s := &jsonschema.Schema{Types: []string{"array", "null"}, Items: b.of(t.Elem())}
	if t.Elem().Kind() == reflect.Uint8 {
		switch {
		case b.reads:
			s.Types = []string{"string", "array", "null"}
		case b.own(t.Elem()) == nil:
			return &jsonschema.Schema{Types: []string{"string", "null"}, ContentEncoding: "base64"}
		}
	}
	return s
}

// maxTuple is how many elements of an array are described one by one.
const maxTuple = 16

// array reads as many elements as there are, and skips the others.
func (b *schemaBuilder) array(t reflect.Type) *jsonschema.Schema {
	s := &jsonschema.Schema{Type: "array"}
	switch n, element := t.Len(), b.of(t.Elem()); {
	case !b.reads:
		s.Items, s.MinItems, s.MaxItems = element, &n, &n
	case n <= maxTuple:
		s.PrefixItems = slices.Repeat([]*jsonschema.Schema{element}, n)
	}
	return s
}

func (b *schemaBuilder) object(t reflect.Type) *jsonschema.Schema {
	s := &jsonschema.Schema{Type: "object", Properties: make(map[string]*jsonschema.Schema)}
	for _, m := range members(t) {
		property := *b.of(m.field.Type) // not the one that others share
		if scalar := deref(m.field.Type); m.quoted && (scalar == numberType || b.own(scalar) == nil) {
			property = *b.nullable(&jsonschema.Schema{Type: "string"})
		}
		property.Description = m.description()
		s.Properties[m.name] = &property
		s.PropertyOrder = append(s.PropertyOrder, m.name)
		if !b.reads && !m.optional {
			s.Required = append(s.Required, m.name)
		}
	}
	return s
}
