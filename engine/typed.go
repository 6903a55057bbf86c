package engine

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Typed adapts a function of Go values: MessageData is decoded as JSON into In
// (empty data leaves In zero), and Out is encoded as the result with content
// type application/json.
//
// The handler is a Checker: Submit refuses data that does not decode. So In is decoded
// once to check and once to run; an UnmarshalJSON of In's has no side effects, and clients
// are told the text of its error. Data
// that was accepted and does not decode, under another handler, fails the message without
// a retry, with code "invalid_data". The handler is a Describer, too.
//
// MessageFrom gives fn the message.
func Typed[In, Out any](fn func(context.Context, In) (Out, error)) Handler {
	return typed[In, Out]{fn}
}

type typed[In, Out any] struct {
	fn func(context.Context, In) (Out, error)
}

// Handle decodes, calls the function, and encodes.
func (t typed[In, Out]) Handle(ctx context.Context, m *Message) (Result, error) {
	var in In
	if err := decodeJSON(m.MessageData, &in); err != nil {
		return Result{}, Permanent(&Error{Code: CodeInvalidData, Message: misfit(m.MessageData, err).Error(), Cause: err})
	}
	out, err := t.fn(context.WithValue(ctx, messageKey{}, m), in)
	if err != nil {
		return Result{}, err
	}
	data, err := json.Marshal(out)
	if err != nil {
		return Result{}, err
	}
	return Result{Data: data, ContentType: "application/json"}, nil
}

// messageKey is of a Typed handler's message in its context.
type messageKey struct{}

// MessageFrom returns the message that a Typed handler runs, from its context: for its ID, its
// attempt, Progress and Save. It is nil in any other context.
func MessageFrom(ctx context.Context) *Message {
	m, _ := ctx.Value(messageKey{}).(*Message)
	return m
}

// Check refuses what Handle would not decode.
func (typed[In, Out]) Check(s *Submission) error {
	var in In
	if err := decodeJSON(s.MessageData, &in); err != nil {
		return misfit(s.MessageData, err)
	}
	return nil
}

// Describe returns In and Out.
func (typed[In, Out]) Describe() (data, result reflect.Type) {
	return reflect.TypeFor[In](), reflect.TypeFor[Out]()
}

func decodeJSON(data []byte, into any) error {
	if len(bytes.TrimSpace(data)) == 0 {
		return nil
	}
	return json.Unmarshal(data, into)
}

// misfit says why data does not decode, and where, without names of Go types.
func misfit(data []byte, err error) *InvalidError {
	if wrong, is := errors.AsType[*json.UnmarshalTypeError](err); is {
		return &InvalidError{Field: dataField + locate(data, wrong), Reason: wrongKind(wrong)}
	}
	return &InvalidError{Field: dataField, Reason: cutText(decodeReason(err), maxReason)}
}

// maxReason bounds what is quoted of a submitter's data.
const maxReason = 512

// goName finds what reads as the name of a Go type.
var goName = regexp.MustCompile(`\b[a-z]\w*\.[A-Z]|\bGo (value|struct|type)|^json: `)

func decodeReason(err error) string {
	if wrong, is := errors.AsType[*json.SyntaxError](err); is {
		return fmt.Sprintf("is not valid JSON at byte %d: %s", wrong.Offset, wrong)
	}
	if _, is := errors.AsType[*time.ParseError](err); is {
		return "has a time that is not as RFC 3339 writes it, such as 2006-01-02T15:04:05Z"
	}
	if _, is := errors.AsType[base64.CorruptInputError](err); is {
		return "has bytes that are not standard base64 with padding (RFC 4648, section 4)"
	}
	// The words of a type of the handler's that decodes itself.
	if own := err.Error(); !goName.MatchString(own) {
		return "does not fit: " + own
	}
	return "does not fit: a member has the wrong form"
}

// wrongKind says what is there and what is wanted.
func wrongKind(wrong *json.UnmarshalTypeError) string {
	is := "is a JSON " + wrong.Value
	if number, has := strings.CutPrefix(wrong.Value, "number "); has {
		is = "is the number " + cutText(number, maxReason/2)
	}
	if wanted := wantedKind(wrong.Type); wanted != "" {
		return is + ": send " + wanted
	}
	return is + ", which does not fit"
}

func wantedKind(t reflect.Type) string {
	if t == nil {
		return ""
	}
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return fmt.Sprintf("an integer of %d bits", t.Bits())
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return fmt.Sprintf("an integer of %d bits that is not negative", t.Bits())
	case reflect.Float32, reflect.Float64:
		return fmt.Sprintf("a number of %d bits", t.Bits())
	case reflect.String:
		return "a string"
	case reflect.Struct, reflect.Map:
		return "an object"
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return "a string of base64"
		}
		return "an array"
	case reflect.Array:
		return "an array"
	}
	return ""
}

// locate returns the JSON Pointer (RFC 6901) of what a decode failed at, or nothing if it
// is not certain: a type that decodes itself may tell an offset into its own part.
func locate(data []byte, wrong *json.UnmarshalTypeError) string {
	at, found := walkTo(data, wrong.Offset)
	if !found || at.kind != strings.Fields(wrong.Value + " ")[0] {
		return ""
	}
	pointer, named := strings.Builder{}, wrong.Field == ""
	for _, token := range at.path {
		named = named || hasSuffixFold(wrong.Field, token)
		pointer.WriteByte('/')
		_, _ = strings.NewReplacer("~", "~0", "/", "~1").WriteString(&pointer, token) // never fails
	}
	if !named || pointer.Len() > maxReason {
		return ""
	}
	return pointer.String()
}

func hasSuffixFold(s, suffix string) bool {
	return suffix != "" && len(s) >= len(suffix) && strings.EqualFold(s[len(s)-len(suffix):], suffix)
}

// jsonPlace is a value in a JSON text.
type jsonPlace struct {
	path []string // of member names and indices
	kind string   // as json.UnmarshalTypeError names it
}

// level is an object or an array that the walk is in.
type level struct {
	array bool
	name  bool // a member's name is next
	index int
}

// walkTo finds the value whose token ends at an offset. The data is valid JSON.
func walkTo(data []byte, offset int64) (jsonPlace, bool) {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	var levels []level
	var path []string
	for {
		token, err := decoder.Token()
		if err != nil {
			return jsonPlace{}, false
		}
		top := len(levels) - 1
		if delim, is := token.(json.Delim); is && (delim == '}' || delim == ']') {
			levels, path = levels[:top], path[:top]
			continue
		}
		if top >= 0 && levels[top].name {
			path[top], levels[top].name = fmt.Sprint(token), false
			continue
		}
		if top >= 0 && levels[top].array {
			path[top] = strconv.Itoa(levels[top].index)
			levels[top].index++
		}
		if end := decoder.InputOffset(); end >= offset {
			return jsonPlace{path, kindOf(token)}, end == offset
		}
		if top >= 0 && !levels[top].array {
			levels[top].name = true
		}
		if delim, is := token.(json.Delim); is {
			levels, path = append(levels, level{array: delim == '[', name: delim == '{'}), append(path, "")
		}
	}
}

func kindOf(token json.Token) string {
	switch v := token.(type) {
	case json.Delim:
		if v == '[' {
			return "array"
		}
		return "object"
	case string:
		return "string"
	case json.Number:
		return "number"
	case bool:
		return "bool"
	}
	return "null"
}
