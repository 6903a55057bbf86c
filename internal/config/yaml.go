package config

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

const (
	// MaxBytes bounds a file.
	MaxBytes = 1 << 20
	// maxDepth bounds how deep values nest; the schema has no more than 5.
	maxDepth = 20
)

// place is where a key and its value stand. An element of a list has no key.
type place struct{ key, value Position }

// document is a file as JSON has it, with the places of all there is.
type document struct {
	file   string
	root   any
	places map[string]place // by path
	faults Errors
	told   map[string]bool // values that a fault is told of, by path
	faulty map[string]bool // those, and all around them
	unread bool            // something was left out of root, so that the schema's view of it is worth nothing
}

// path joins keys as places has them: a key may hold any character but NUL.
func path(keys []string) string { return strings.Join(keys, "\x00") }

// joined is a path for people. A key with other characters than keys have is quoted, so
// that it cannot look like something else.
func joined(keys []string) string {
	all := make([]string, len(keys))
	for i, key := range keys {
		all[i] = key
		if key == "" || strings.ContainsFunc(key, func(c rune) bool { return c <= ' ' || c >= utf8.RuneSelf || c == '"' }) {
			all[i] = strconv.Quote(key)
		}
	}
	return strings.Join(all, ".")
}

// read makes a document of YAML.
func read(file string, data []byte) *document {
	d := &document{
		file: file, root: map[string]any{}, places: make(map[string]place),
		told: make(map[string]bool), faulty: make(map[string]bool),
	}
	switch {
	case len(data) > MaxBytes:
		d.refuse(Position{}, nil, fmt.Sprintf("is larger than %d bytes, which no configuration needs", MaxBytes))
		return d
	case !utf8.Valid(data):
		d.refuse(Position{}, nil, "is not text in UTF-8")
		return d
	}
	var documents []yaml.Node
	if err := yaml.Load(data, &documents, yaml.WithV4Defaults(), yaml.WithAllDocuments()); err != nil {
		d.refuseSyntax(data, err)
		return d
	}
	if len(documents) == 0 {
		return d
	}
	if len(documents) > 1 {
		d.refuse(at(&documents[1]), nil, "a second document begins here: a configuration is one")
	}
	root := &documents[0]
	if root.Kind == yaml.DocumentNode && len(root.Content) > 0 {
		root = root.Content[0]
	}
	if root.Kind == yaml.ScalarNode && root.ShortTag() == "!!null" {
		return d // comments only
	}
	d.places[""] = place{value: at(root)}
	d.root = d.value(root, nil)
	return d
}

func at(n *yaml.Node) Position { return Position{n.Line, n.Column} }

func (d *document) refuse(where Position, keys []string, reason string) {
	d.faults = append(d.faults, &Error{File: d.file, At: where, Key: joined(keys), Reason: reason})
	d.unread = true
}

// refuseSyntax tells what the YAML library says, and of tabs what it does not.
func (d *document) refuseSyntax(data []byte, err error) {
	var where Position
	reason := err.Error()
	var load *yaml.LoadError
	if errors.As(err, &load) {
		where = Position{load.Mark.Line, load.Mark.Column}
		reason = load.Message
		if load.ContextMsg != "" {
			reason = load.ContextMsg + ": " + reason
		}
	}
	lines := strings.Split(string(data), "\n")
	if where.Line > 0 && where.Line <= len(lines) {
		line := lines[where.Line-1]
		if indent := line[:len(line)-len(strings.TrimLeft(line, " \t"))]; strings.Contains(indent, "\t") {
			where.Column = strings.Index(indent, "\t") + 1
			reason = "a tab cannot indent: use spaces"
		}
	}
	d.refuse(where, nil, "is not YAML: "+strings.TrimPrefix(reason, "yaml: "))
}

// value returns a node as JSON has it.
func (d *document) value(n *yaml.Node, keys []string) any {
	reason := ""
	switch {
	case len(keys) > maxDepth:
		reason = "is nested too deep"
	case n.Kind == yaml.AliasNode:
		reason = "an alias (*) is not allowed here: write the value out"
	case n.Anchor != "":
		reason = "an anchor (&) is not allowed here: write the value out where it is needed"
	case n.Style&yaml.TaggedStyle != 0:
		reason = "a tag (!) is not allowed here: write the value plainly, text in quotes"
	}
	if reason != "" {
		d.refuse(at(n), keys, reason)
		return nil
	}
	switch n.Kind {
	case yaml.MappingNode:
		return d.mapping(n, keys)
	case yaml.SequenceNode:
		list := make([]any, 0, len(n.Content))
		for i, element := range n.Content {
			inner := append(slices.Clone(keys), strconv.Itoa(i))
			d.places[path(inner)] = place{value: at(element)}
			list = append(list, d.value(element, inner))
		}
		return list
	default:
		return d.scalar(n, keys)
	}
}

func (d *document) mapping(n *yaml.Node, keys []string) any {
	members := make(map[string]any, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Kind != yaml.ScalarNode || key.Anchor != "" || key.Style&yaml.TaggedStyle != 0 {
			d.refuse(at(key), keys, "a key must be plain text")
			continue
		}
		if key.Value == "<<" && key.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) == 0 {
			d.refuse(at(key), keys, "a merge key (<<) is not allowed here: write its values out")
			continue
		}
		inner := append(slices.Clone(keys), key.Value)
		if _, twice := members[key.Value]; twice {
			d.faults = append(d.faults, &Error{
				File: d.file, At: at(key), Key: joined(inner),
				Reason: fmt.Sprintf("is given twice; the first is in line %d", d.places[path(inner)].key.Line),
			})
			continue
		}
		d.places[path(inner)] = place{key: at(key), value: at(value)}
		members[key.Value] = d.value(value, inner)
	}
	return members
}

// scalar returns nil, a bool, a string, or a number that JSON has: YAML's infinities
// and what is not a number are text to the schema, which then refuses them.
func (d *document) scalar(n *yaml.Node, keys []string) any {
	if n.ShortTag() == "!!str" {
		return n.Value
	}
	var value any
	if err := n.Decode(&value); err != nil {
		d.refuse(at(n), keys, "is a value that YAML does not have: put text in quotes")
		return nil
	}
	switch v := value.(type) {
	case nil, bool, int, int64, uint64:
		return v
	case float64:
		if v == math.Trunc(v) && math.Abs(v) < 1<<53 {
			return int64(v) // 1e3 is 1000
		}
		if !math.IsInf(v, 0) && !math.IsNaN(v) {
			return v
		}
	}
	return n.Value // such as a timestamp
}
