package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/activemessage/activemessage"
)

// File is a configuration that is as the schema wants it.
type File struct {
	// Name is the file's, as it was given.
	Name string
	// Handlers are those that the file names, sorted by message type.
	Handlers []Handler
	// HasHandlers is whether the file has the key, be it empty.
	HasHandlers bool

	document *document
}

// Read parses a file. The error is Errors, also if the file cannot be read.
func Read(name string) (*File, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, unreadable(name, err)
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, MaxBytes+1))
	if err != nil {
		return nil, unreadable(name, err)
	}
	return Parse(name, data)
}

func unreadable(name string, err error) error {
	if failed, is := errors.AsType[*fs.PathError](err); is {
		err = failed.Err // without the name, which the fault has
	}
	return Errors{{File: name, Reason: "cannot be read: " + err.Error()}}
}

// Parse reads a configuration; name stands in its errors. An empty one is valid. The
// error is Errors: all that is wrong.
func Parse(name string, data []byte) (*File, error) {
	d := read(name, data)
	f := &File{Name: name, document: d}
	if !d.unread {
		d.validate()
		f.readDurations()
		f.readHandlers()
	}
	if err := d.faults.asError(); err != nil {
		return nil, err
	}
	return f, nil
}

// Schema returns the JSON Schema that files are held against.
func Schema() []byte { return activemessage.ConfigSchema() }

// Keys returns the names of all settings that a file can have, handlers not among
// them, sorted.
func Keys() []string {
	properties, _ := theSchema().raw["properties"].(map[string]any)
	var keys []string
	for key := range properties {
		if key != "handlers" {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

// Setting returns the value of a top-level key as a command line would have it: text;
// of a list its elements, of keys with values "a=1;b=2". It is false if the file does
// not have it.
func (f *File) Setting(key string) (values []string, given bool) {
	root, _ := f.document.root.(map[string]any)
	value, given := root[key]
	if !given {
		return nil, false
	}
	switch v := value.(type) {
	case []any:
		values = texts(v)
	case map[string]any:
		var pairs []string
		for name, inner := range v {
			pairs = append(pairs, fmt.Sprintf("%s=%v", name, inner))
		}
		slices.Sort(pairs)
		values = []string{strings.Join(pairs, ";")}
	default:
		values = []string{fmt.Sprint(v)}
	}
	return values, true
}

// At returns where the key at a path stands; zero if the file does not have it.
func (f *File) At(keys ...string) Position { return f.document.places[path(keys)].key }

// Fault is an error of the value at a path, or, if the file does not have it, of what
// is around it.
func (f *File) Fault(reason string, keys ...string) *Error {
	e := &Error{File: f.Name, Key: joined(keys), Reason: reason}
	for n := len(keys); n > 0; n-- {
		if found, has := f.document.places[path(keys[:n])]; has {
			e.At = found.value
			break
		}
	}
	return e
}
