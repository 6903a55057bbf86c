package contract

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/pb33f/jsonschema/v6"
	"github.com/pb33f/libopenapi/utils"
)

// Message is one message of an AsyncAPI document.
type Message struct {
	// Channel is its channel's key. Name tells it from the channel's others on the
	// wire.
	Channel, Name string
	// Summary is what it is for, in one line.
	Summary string
	// Sent is set if the server sends it, and not set if clients do.
	Sent bool
	// Replies are the names of the messages that may answer it.
	Replies []string
	// Examples are what the document shows of it.
	Examples []Example
}

// Example is a payload that the document shows.
type Example struct {
	// Name is unique in its message.
	Name string
	// Payload is JSON.
	Payload json.RawMessage
}

// String returns the channel and the name.
func (m Message) String() string { return m.Channel + " " + m.Name }

// Messages checks what travels on streams against an AsyncAPI document. Its methods
// may be called from any goroutine.
type Messages struct {
	all     []Message
	schemas map[string]*jsonschema.Schema // by Message.String

	mu   sync.Mutex      // guards seen
	seen map[string]bool // Message.String
}

// asyncDocument is what is read of a document beside its schemas.
type asyncDocument struct {
	Channels map[string]struct {
		Messages map[string]struct {
			Name, Summary string
			Examples      []Example
		}
	}
	Operations map[string]asyncOperation
}

type asyncOperation struct {
	Action   string
	Messages []asyncReference
	Reply    struct{ Messages []asyncReference }
}

// asyncReference is {$ref: '#/channels/{channel}/messages/{key}'}.
type asyncReference struct {
	Ref string `json:"$ref"`
}

// NewMessages reads a document whose messages stand in their channels. The error
// names the message that has no operation, or whose schema is none.
func NewMessages(document []byte) (*Messages, error) {
	inJSON, err := utils.ConvertYAMLtoJSON(document)
	if err != nil {
		return nil, fmt.Errorf("read the document: %w", err)
	}
	var doc asyncDocument
	if err := json.Unmarshal(inJSON, &doc); err != nil {
		return nil, fmt.Errorf("read the document: %w", err)
	}
	compile, err := compiler(inJSON)
	if err != nil {
		return nil, err
	}
	m := &Messages{schemas: make(map[string]*jsonschema.Schema), seen: make(map[string]bool)}
	for pointer, message := range doc.messages() {
		if !doc.use(pointer, &message) {
			return nil, fmt.Errorf("%s: exactly one operation has to send or receive it", pointer)
		}
		if m.schemas[message.String()] != nil {
			return nil, fmt.Errorf("%s: another message of the channel has its name", pointer)
		}
		if m.schemas[message.String()], err = compile(pointer + "/payload"); err != nil {
			return nil, fmt.Errorf("%s: %w", pointer, err)
		}
		m.all = append(m.all, message)
	}
	slices.SortFunc(m.all, func(a, b Message) int { return cmp.Compare(a.String(), b.String()) })
	return m, nil
}

// compiler returns a function that makes the schema a pointer into the document
// stands for. AsyncAPI's own are those of JSON Schema draft 7.
func compiler(document []byte) (func(pointer string) (*jsonschema.Schema, error), error) {
	const location = "asyncapi://document"
	resource, err := jsonschema.UnmarshalJSON(bytes.NewReader(document))
	if err != nil {
		return nil, fmt.Errorf("read the schemas: %w", err)
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft7)
	c.AssertFormat()
	c.AssertContent()
	if err := c.AddResource(location, resource); err != nil {
		return nil, fmt.Errorf("read the schemas: %w", err)
	}
	return func(pointer string) (*jsonschema.Schema, error) { return c.Compile(location + pointer) }, nil
}

// messages returns all messages of the channels by their pointers, without what
// the operations say.
func (doc *asyncDocument) messages() map[string]Message {
	all := make(map[string]Message)
	for channel, c := range doc.Channels {
		for key, message := range c.Messages {
			all["#/channels/"+channel+"/messages/"+key] = Message{
				Channel: channel, Name: message.Name, Summary: message.Summary, Examples: message.Examples,
			}
		}
	}
	return all
}

// use completes a message by what the operations say of it; it reports whether it
// has exactly one direction.
func (doc *asyncDocument) use(pointer string, message *Message) bool {
	reference := asyncReference{Ref: pointer}
	received := false
	for _, operation := range doc.Operations {
		if slices.Contains(operation.Reply.Messages, reference) {
			message.Sent = true
		}
		if !slices.Contains(operation.Messages, reference) {
			continue
		}
		switch operation.Action {
		case "send":
			message.Sent = true
		case "receive":
			received = true
			message.Replies = append(message.Replies, doc.names(operation.Reply.Messages)...)
		}
	}
	return message.Sent != received
}

func (doc *asyncDocument) names(references []asyncReference) []string {
	all := doc.messages()
	names := make([]string, 0, len(references))
	for _, reference := range references {
		names = append(names, all[reference.Ref].Name)
	}
	return names
}

// All returns the document's messages by channel and name.
func (m *Messages) All() []Message { return slices.Clone(m.all) }

// Validate returns how a payload, which is JSON, breaks its message's schema, or
// nil.
func (m *Messages) Validate(channel, name string, payload []byte) error {
	message := Message{Channel: channel, Name: name}
	schema := m.schemas[message.String()]
	if schema == nil {
		return fmt.Errorf("%s is not documented: there are %s", message, strings.Join(slices.Sorted(maps.Keys(m.schemas)), ", "))
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(payload))
	if err != nil {
		return fmt.Errorf("%s: %w", message, err)
	}
	if err := schema.Validate(value); err != nil {
		return fmt.Errorf("%s: %w", message, err)
	}
	return nil
}

// CheckSent is Validate for what a server has sent: what only clients send is a
// fault too, and a message without fault is noted as seen.
func (m *Messages) CheckSent(channel, name string, payload []byte) error {
	if err := m.Validate(channel, name, payload); err != nil {
		return err
	}
	for _, message := range m.all {
		if message.Channel == channel && message.Name == name && !message.Sent {
			return fmt.Errorf("%s is for clients to send", message)
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.seen[Message{Channel: channel, Name: name}.String()] = true
	return nil
}

// Unseen returns the messages of the server that no CheckSent has passed.
func (m *Messages) Unseen() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var unseen []string
	for _, message := range m.all {
		if message.Sent && !m.seen[message.String()] {
			unseen = append(unseen, message.String())
		}
	}
	return unseen
}
