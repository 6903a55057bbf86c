package wire

import (
	"bytes"
	"fmt"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/activemessage/activemessage/engine"
)

// MaxBatch is how many messages one batch may have.
const MaxBatch = 1000

// Item is one message of a batch: a submission, or why it is none.
type Item struct {
	Submission engine.Submission
	// Err is a *Problem, or nil.
	Err error
}

// DecodeArray reads a JSON array of envelopes. A bad element is its Item's error,
// with pointers that begin at the element; the error is the *Problem of a body
// that is no array.
func DecodeArray(body []byte) ([]Item, error) {
	elements, err := splitArray(body)
	if err != nil {
		return nil, err
	}
	items := make([]Item, len(elements))
	for i, element := range elements {
		items[i] = decodeItem(element)
	}
	return items, nil
}

// splitArray returns an array's elements. What is wrong inside of one is left for
// its own decoding to find.
func splitArray(body []byte) ([]jsontext.Value, error) {
	decoder := jsontext.NewDecoder(bytes.NewReader(body), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	if len(bytes.TrimLeft(body, " \t\r\n")) == 0 {
		return nil, malformed("the body is empty: send a JSON array of messages")
	}
	if decoder.PeekKind() != '[' {
		return nil, malformed("the JSON is not an array: send [{…}, {…}], or one message a line as application/x-ndjson")
	}
	if _, err := decoder.ReadToken(); err != nil {
		return nil, notJSON(err)
	}
	var elements []jsontext.Value
	for decoder.PeekKind() != ']' {
		value, err := decoder.ReadValue()
		if err != nil {
			return nil, notJSON(err)
		}
		if len(elements) == MaxBatch {
			return nil, tooMany()
		}
		elements = append(elements, value.Clone())
	}
	if _, err := decoder.ReadToken(); err != nil {
		return nil, notJSON(err)
	}
	if rest := bytes.TrimLeft(body[decoder.InputOffset():], " \t\r\n"); len(rest) > 0 {
		return nil, malformed("there is more after the array")
	}
	return elements, nil
}

// DecodeLines reads one envelope a line (NDJSON); empty lines are skipped. The
// error is a *Problem.
func DecodeLines(body []byte) ([]Item, error) {
	var items []Item
	for line := range bytes.SplitSeq(body, []byte("\n")) {
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		if len(items) == MaxBatch {
			return nil, tooMany()
		}
		items = append(items, decodeItem(bytes.Clone(line)))
	}
	return items, nil
}

func decodeItem(envelope []byte) Item {
	submission, err := DecodeSubmission(envelope, false)
	return Item{submission, err}
}

func tooMany() *Problem {
	return NewProblem("message_too_large", fmt.Sprintf("the batch has more than %d messages: send several batches", MaxBatch))
}

// Answer is what became of one item.
type Answer struct {
	Receipt engine.Receipt
	// Problem is nil if the message was accepted.
	Problem *Problem
}

// AppendAnswers appends the answer to a batch as a JSON object.
func AppendAnswers(b []byte, answers []Answer) []byte {
	refused := 0
	for i := range answers {
		if answers[i].Problem != nil {
			refused++
		}
	}
	b = strconv.AppendInt(append(b, `{"accepted":`...), int64(len(answers)-refused), 10)
	b = strconv.AppendInt(append(b, `,"refused":`...), int64(refused), 10)
	b = append(b, `,"items":[`...)
	for i := range answers {
		if i > 0 {
			b = append(b, ',')
		}
		if p := answers[i].Problem; p != nil {
			b = strconv.AppendInt(append(b, `{"status":`...), int64(p.Status), 10)
			b = append(p.AppendJSON(append(b, `,"problem":`...)), '}')
			continue
		}
		b = append(b, `{"status":202,"receipt":{`...)
		b = append(AppendReceipt(b, answers[i].Receipt), '}', '}')
	}
	return append(b, ']', '}')
}
