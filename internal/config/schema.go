package config

import (
	"bytes"
	"errors"
	"strconv"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/activemessage/activemessage"
)

// schema is config.schema.json, compiled, and as it is written.
type schema struct {
	compiled *jsonschema.Schema
	raw      map[string]any
}

// theSchema is compiled once. It is a part of the program, so that a fault in it is
// one of the program.
var theSchema = sync.OnceValue(func() schema {
	raw, err := jsonschema.UnmarshalJSON(bytes.NewReader(activemessage.ConfigSchema()))
	if err != nil {
		panic(err)
	}
	const name = "config.schema.json"
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource(name, raw); err != nil {
		panic(err)
	}
	return schema{compiled: compiler.MustCompile(name), raw: raw.(map[string]any)}
})

// at returns the schema that an absolute location names; nil if there is none.
func (s schema) at(location string) map[string]any {
	_, pointer, _ := strings.Cut(location, "#")
	var keys []string
	for key := range strings.SplitSeq(pointer, "/") {
		if key != "" {
			keys = append(keys, strings.NewReplacer("~1", "/", "~0", "~").Replace(key))
		}
	}
	found, _ := lookup(s.raw, keys).(map[string]any)
	return found
}

// validate adds what the schema finds wrong to the faults.
func (d *document) validate() {
	err := theSchema().compiled.Validate(d.root)
	var failed *jsonschema.ValidationError
	switch {
	case errors.As(err, &failed):
		d.tell(failed)
	case err != nil:
		d.refuse(Position{}, nil, err.Error())
	}
}

// tell adds the faults that have no cause but themselves.
func (d *document) tell(e *jsonschema.ValidationError) {
	if d.describe(e) {
		return
	}
	for _, cause := range e.Causes {
		d.tell(cause)
	}
}

// addOnce tells a fault of a value that has none yet: of one value the first says
// enough.
func (d *document) addOnce(keys []string, reason string) {
	if key := path(keys); !d.told[key] {
		d.told[key] = true
		d.addAt(d.places[key].value, keys, reason)
	}
}

// addAtKey tells a fault of a key, or of what its value lacks.
func (d *document) addAtKey(keys []string, reason string) {
	found := d.places[path(keys)]
	where := found.key
	if where.Line == 0 {
		where = found.value
	}
	d.addAt(where, keys, reason)
}

func (d *document) addAt(where Position, keys []string, reason string) {
	for n := 1; n <= len(keys); n++ {
		d.faulty[path(keys[:n])] = true
	}
	d.faults = append(d.faults, &Error{File: d.file, At: where, Key: joined(keys), Reason: reason})
}

// isFaulty reports whether the value at a path, or one inside, has a fault.
func (d *document) isFaulty(keys []string) bool { return d.faulty[path(keys)] }

// lookup returns the value at a path from here; nil if there is none.
func lookup(here any, keys []string) any {
	for _, key := range keys {
		switch inside := here.(type) {
		case map[string]any:
			here = inside[key]
		case []any:
			i, err := strconv.Atoi(key)
			if err != nil || i < 0 || i >= len(inside) {
				return nil
			}
			here = inside[i]
		default:
			return nil
		}
	}
	return here
}
