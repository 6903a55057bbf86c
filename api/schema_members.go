package api

import (
	"reflect"
	"slices"
	"strings"
	"unicode"
)

// member is a field as encoding/json sees it.
type member struct {
	field  reflect.StructField
	name   string
	tagged bool
	depth  int // in embedded structs
	// optional: it may be left out when it is written.
	optional bool
	// quoted: it is a scalar in a string.
	quoted bool
	// ambiguous: there is another one that has as good a claim to the name.
	ambiguous bool
}

// description is the field's tag jsonschema, as the library has it; that of others,
// such as minimum=1, is none.
func (m *member) description() string {
	tag := m.field.Tag.Get("jsonschema")
	if before, _, found := strings.Cut(tag, "="); found && !strings.ContainsAny(before, " \t\n") {
		return ""
	}
	return tag
}

// members lists the members of a struct in the order of its fields, by encoding/json's
// rules for embedded structs, without those that none of several fields has.
func members(t reflect.Type) []*member {
	var all []*member
	byName := make(map[string]*member)
	type embedded struct {
		t        reflect.Type
		optional bool
	}
	seen := map[reflect.Type]bool{t: true}
	for depth, level := 0, []embedded{{t, false}}; len(level) > 0; depth++ {
		var next []embedded
		for _, s := range level {
			for i := range s.t.NumField() {
				m := newMember(s.t.Field(i), depth, s.optional)
				switch inner, isPointer := m.inlined(); {
				case m.name == "":
				case inner == nil:
					all = append(all, m)
					claim(byName, m)
				case !seen[inner]:
					next = append(next, embedded{inner, s.optional || isPointer})
				}
			}
		}
		// One that is embedded twice at a depth is there twice: its names are ambiguous.
		for _, s := range next {
			seen[s.t] = true
		}
		level = next
	}
	return slices.DeleteFunc(all, func(m *member) bool { return m.ambiguous || byName[m.name] != m })
}

// claim gives a member its name, unless one that is less deep, or tagged, has it.
func claim(byName map[string]*member, m *member) {
	holder := byName[m.name]
	switch {
	case holder == nil, holder.depth == m.depth && m.tagged && !holder.tagged:
		byName[m.name] = m
	case holder.depth == m.depth && m.tagged == holder.tagged:
		holder.ambiguous = true
	}
}

// newMember reads a field's tag; it has no name if the field is none for encoding/json.
func newMember(field reflect.StructField, depth int, optional bool) *member {
	m := &member{field: field, depth: depth, optional: optional}
	tag := field.Tag.Get("json")
	if tag == "-" || !field.IsExported() && (!field.Anonymous || deref(field.Type).Kind() != reflect.Struct) {
		return m
	}
	name, options, _ := strings.Cut(tag, ",")
	if m.tagged = name != "" && !strings.ContainsFunc(name, unlikely); !m.tagged {
		name = field.Name
	}
	m.name = name
	for option := range strings.SplitSeq(options, ",") {
		switch option {
		case "omitempty", "omitzero":
			m.optional = true
		case "string":
			m.quoted = scalar(deref(field.Type).Kind())
		}
	}
	return m
}

// inlined returns the struct whose members stand in place of the field, and whether it is
// behind a pointer; nil if the field is a member itself.
func (m *member) inlined() (t reflect.Type, isPointer bool) {
	if t = deref(m.field.Type); !m.field.Anonymous || m.tagged || t.Kind() != reflect.Struct {
		return nil, false
	}
	return t, m.field.Type.Kind() == reflect.Pointer
}

func deref(t reflect.Type) reflect.Type {
	if t.Name() == "" && t.Kind() == reflect.Pointer {
		return t.Elem()
	}
	return t
}

func scalar(k reflect.Kind) bool {
	return k == reflect.String || reflect.Bool <= k && k <= reflect.Float64
}

// unlikely reports whether encoding/json takes no name with the character.
func unlikely(r rune) bool {
	return !strings.ContainsRune("!#$%&()*+-./:;<=>?@[]^_{|}~ ", r) && !unicode.IsLetter(r) && !unicode.IsDigit(r)
}
