package config

import (
	"bytes"

	"go.yaml.in/yaml/v4"
)

// Entry is a line of what Dump writes.
type Entry struct {
	// Key is the key.
	Key string
	// Value is text, a number, a bool, or a list of text; it is left out if Inner is
	// not nil.
	Value any
	// Inner are the entries that the value has.
	Inner []Entry
	// Comment stands behind the value.
	Comment string
}

// Dump writes entries as YAML that Parse reads.
func Dump(entries []Entry) ([]byte, error) {
	root, err := mappingOf(entries)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	dumper, err := yaml.NewDumper(&out, yaml.WithV4Defaults(), yaml.WithLineWidth(-1))
	if err == nil {
		err = dumper.Dump(root)
	}
	if err == nil {
		err = dumper.Close()
	}
	return out.Bytes(), err
}

func mappingOf(entries []Entry) (*yaml.Node, error) {
	mapping := &yaml.Node{Kind: yaml.MappingNode}
	for _, e := range entries {
		key, value := &yaml.Node{}, &yaml.Node{}
		key.SetString(e.Key)
		var err error
		if e.Inner != nil {
			value, err = mappingOf(e.Inner)
			key.LineComment = e.Comment
		} else {
			err = value.Encode(e.Value)
			value.LineComment = e.Comment
		}
		if err != nil {
			return nil, err
		}
		if value.Kind == yaml.SequenceNode || len(value.Content) == 0 {
			value.Style |= yaml.FlowStyle
		}
		mapping.Content = append(mapping.Content, key, value)
	}
	return mapping, nil
}
