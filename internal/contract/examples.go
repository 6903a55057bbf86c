package contract

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/pb33f/go-yaml"
	v3 "github.com/pb33f/libopenapi/datamodel/high/v3"
)

// RequestExample is a request that the document shows: its path parameters have
// their examples, and beyond them it has one parameter, or one body.
type RequestExample struct {
	// Name says of what it is an example.
	Name string
	Request
}

// Examples returns every example of a request, at least one of each operation, in the
// document's order. The error names a parameter or a body that should have an example
// and has none.
func (c *Checker) Examples() ([]RequestExample, error) {
	var all []RequestExample
	for path, item := range c.paths.FromOldest() {
		for method, operation := range item.GetOperations().FromOldest() {
			some, err := examplesOf(strings.ToUpper(method), path, slices.Concat(item.Parameters, operation.Parameters), operation)
			if err != nil {
				return nil, fmt.Errorf("%s %s: %w", method, path, err)
			}
			all = append(all, some...)
		}
	}
	return all, nil
}

func examplesOf(method, path string, parameters []*v3.Parameter, operation *v3.Operation) ([]RequestExample, error) {
	plain := RequestExample{"plain", Request{Operation: newOperation(method, path, operation), Method: method, Path: path, Header: make(http.Header)}}
	for _, parameter := range parameters {
		if parameter.In != "path" {
			continue
		}
		if parameter.Example == nil {
			return nil, fmt.Errorf("the path's %s has no example", parameter.Name)
		}
		plain.Path = strings.ReplaceAll(plain.Path, "{"+parameter.Name+"}", url.PathEscape(parameter.Example.Value))
	}
	bodies, err := bodyExamples(plain, operation.RequestBody)
	if err != nil {
		return nil, err
	}
	if len(bodies) > 0 {
		plain = bodies[0]
	}
	all := append([]RequestExample{plain}, bodies[min(1, len(bodies)):]...)
	for _, parameter := range parameters {
		if parameter.In == "path" || parameter.Example == nil {
			continue
		}
		example, err := withParameter(plain, parameter)
		if err != nil {
			return nil, err
		}
		all = append(all, example)
	}
	return all, nil
}

// withParameter gives a request one parameter.
func withParameter(e RequestExample, parameter *v3.Parameter) (RequestExample, error) {
	e.Name = parameter.Name
	e.Header = e.Header.Clone()
	var value any
	if err := parameter.Example.Decode(&value); err != nil {
		return e, fmt.Errorf("the example of %s: %w", parameter.Name, err)
	}
	if parameter.In == "header" {
		e.Header.Set(parameter.Name, fmt.Sprint(value))
		return e, nil
	}
	query := make(url.Values)
	switch value := value.(type) {
	case []any:
		for _, element := range value {
			query.Add(parameter.Name, fmt.Sprint(element))
		}
	case map[string]any: // a deepObject
		for name, member := range value {
			query.Add(parameter.Name+"["+name+"]", fmt.Sprint(member))
		}
	default:
		query.Add(parameter.Name, parameter.Example.Value)
	}
	e.Query = query.Encode()
	return e, nil
}

func bodyExamples(plain RequestExample, body *v3.RequestBody) ([]RequestExample, error) {
	if body == nil {
		return nil, nil
	}
	var all []RequestExample
	for contentType, media := range body.Content.FromOldest() {
		if strings.Contains(contentType, "*") {
			continue
		}
		nodes := []*yaml.Node{media.Example}
		for _, example := range media.Examples.FromOldest() {
			nodes = append(nodes, example.Value)
		}
		if nodes[0] == nil {
			nodes = nodes[1:]
		}
		if len(nodes) == 0 {
			return nil, fmt.Errorf("the body as %s has no example", contentType)
		}
		for i, node := range nodes {
			text, err := bodyText(contentType, node)
			if err != nil {
				return nil, fmt.Errorf("example %d of %s: %w", i+1, contentType, err)
			}
			example := plain
			example.Name, example.Body = fmt.Sprint(contentType, " ", i+1), text
			example.Header = http.Header{"Content-Type": {contentType}}
			all = append(all, example)
		}
	}
	return all, nil
}

// bodyText writes an example as its content type has it.
func bodyText(contentType string, node *yaml.Node) ([]byte, error) {
	if !strings.HasSuffix(contentType, "json") || contentType == "application/x-ndjson" {
		return []byte(node.Value), nil
	}
	var value any
	if err := node.Decode(&value); err != nil {
		return nil, err
	}
	return json.Marshal(value)
}
