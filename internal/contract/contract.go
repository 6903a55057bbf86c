// Package contract holds HTTP traffic against an OpenAPI document, and frames and
// events against an AsyncAPI document, for tests: it reports all that the document
// does not describe, and what of the server's it describes and was never seen.
package contract

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"
	"github.com/pb33f/libopenapi-validator/config"
	liberrors "github.com/pb33f/libopenapi-validator/errors"
	v3 "github.com/pb33f/libopenapi/datamodel/high/v3"
	"github.com/pb33f/libopenapi/orderedmap"
)

// Operation is one method of one path of the document.
type Operation struct {
	// Method is upper case, Path has its parameters in braces.
	Method, Path string
	// Statuses are the documented ones, without default.
	Statuses []int
	// anyRequest and anyResponse tell where a body may be of any type, so that its
	// bytes may be anything, too.
	anyRequest  bool
	anyResponse map[int]bool // by status
}

// String returns the method and the path.
func (o Operation) String() string { return o.Method + " " + o.Path }

// Checker checks traffic. Its methods may be called from any goroutine.
type Checker struct {
	validator  validator.Validator
	paths      *orderedmap.Map[string, *v3.PathItem]
	operations []Operation

	mu   sync.Mutex      // guards seen
	seen map[string]bool // "GET /path 200"
}

// New reads a document. The error names what in it is no OpenAPI.
func New(document []byte) (*Checker, error) {
	doc, err := libopenapi.NewDocument(document)
	if err != nil {
		return nil, fmt.Errorf("read the document: %w", err)
	}
	model, err := doc.BuildV3Model()
	if err != nil {
		return nil, fmt.Errorf("build the model: %w", err)
	}
	v, errs := validator.NewValidator(doc,
		config.WithFormatAssertions(),
		config.WithContentAssertions(),
		config.WithRejectUndeclaredRequestBody())
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	if ok, faults := v.ValidateDocument(); !ok {
		return nil, fmt.Errorf("the document is no OpenAPI: %w", join(faults))
	}
	c := &Checker{validator: v, paths: model.Model.Paths.PathItems, seen: make(map[string]bool)}
	for path, item := range c.paths.FromOldest() {
		for method, operation := range item.GetOperations().FromOldest() {
			c.operations = append(c.operations, newOperation(strings.ToUpper(method), path, operation))
		}
	}
	return c, nil
}

func newOperation(method, path string, operation *v3.Operation) Operation {
	o := Operation{Method: method, Path: path, anyResponse: make(map[int]bool)}
	if body := operation.RequestBody; body != nil {
		o.anyRequest = ofAnyType(body.Content)
	}
	for code, response := range operation.Responses.Codes.FromOldest() {
		if status, err := strconv.Atoi(code); err == nil {
			o.Statuses = append(o.Statuses, status)
			o.anyResponse[status] = ofAnyType(response.Content)
		}
	}
	return o
}

func ofAnyType(content *orderedmap.Map[string, *v3.MediaType]) bool {
	if content == nil {
		return false
	}
	_, is := content.Get("*/*")
	return is
}

// anyBytes returns headers under which the validator does not try to decode a body.
func anyBytes(h http.Header) http.Header {
	h = h.Clone()
	h.Set("Content-Type", "application/octet-stream")
	return h
}

// Operations returns what the document has, in its order.
func (c *Checker) Operations() []Operation { return slices.Clone(c.operations) }

// CheckRequest returns how a request breaks the document, or nil. It does not
// read the request's body but the one given.
func (c *Checker) CheckRequest(r *http.Request, body []byte) error {
	r = r.Clone(r.Context())
	if operation, _ := c.find(r); operation.anyRequest && !strings.HasPrefix(r.Header.Get("Content-Type"), "application/cloudevents") {
		r.Header = anyBytes(r.Header)
	}
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	if ok, faults := c.validator.ValidateHttpRequestSync(r); !ok {
		return join(faults)
	}
	return nil
}

// CheckResponse returns how a response breaks the document, or nil, and notes that
// it was seen. A status that only default stands for is a fault too.
func (c *Checker) CheckResponse(r *http.Request, response *http.Response, body []byte) error {
	operation, ok := c.find(r)
	if !ok {
		return fmt.Errorf("%s %s is not documented", r.Method, r.URL.Path)
	}
	if !slices.Contains(operation.Statuses, response.StatusCode) {
		return fmt.Errorf("%s: status %d is not documented", operation, response.StatusCode)
	}
	if operation.anyResponse[response.StatusCode] {
		opaque := *response
		opaque.Header = anyBytes(response.Header)
		response = &opaque
	}
	if err := c.check(r, response, body); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen[fmt.Sprint(operation, " ", response.StatusCode)] = true
	return nil
}

// CheckProblem checks an error that belongs to no operation (404 for a path, 405
// for a method) against what default says.
func (c *Checker) CheckProblem(response *http.Response, body []byte) error {
	r, err := http.NewRequest(http.MethodGet, "/", nil)
	if err != nil {
		return fmt.Errorf("make a request: %w", err)
	}
	return c.check(r, response, body)
}

func (c *Checker) check(r *http.Request, response *http.Response, body []byte) error {
	replayed := *response
	replayed.Body = io.NopCloser(bytes.NewReader(body))
	if ok, faults := c.validator.ValidateHttpResponse(r, &replayed); !ok {
		return join(faults)
	}
	return nil
}

// Unseen returns the documented responses that no CheckResponse has passed.
func (c *Checker) Unseen() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var unseen []string
	for _, operation := range c.operations {
		for _, status := range operation.Statuses {
			if pair := fmt.Sprint(operation, " ", status); !c.seen[pair] {
				unseen = append(unseen, pair)
			}
		}
	}
	return unseen
}

// find prefers a path without parameters, as routers do.
func (c *Checker) find(r *http.Request) (Operation, bool) {
	var found Operation
	for _, operation := range c.operations {
		if operation.Method != r.Method || !matches(operation.Path, r.URL.Path) {
			continue
		}
		if found.Path == "" || !strings.Contains(operation.Path, "{") {
			found = operation
		}
	}
	return found, found.Path != ""
}

func matches(template, path string) bool {
	want, got := strings.Split(template, "/"), strings.Split(path, "/")
	return slices.EqualFunc(want, got, func(w, g string) bool {
		return w == g || strings.HasPrefix(w, "{") && g != ""
	})
}

func join(faults []*liberrors.ValidationError) error {
	all := make([]error, 0, len(faults))
	for _, fault := range faults {
		text := fault.Message + ": " + fault.Reason
		for _, violation := range fault.SchemaValidationErrors {
			text += fmt.Sprintf(" [%s: %s]", violation.FieldPath, violation.Reason)
		}
		all = append(all, errors.New(text))
	}
	return errors.Join(all...)
}
