package engine_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/activemessage/activemessage/engine"
)

func TestSubmitRefusesWhatBreaksARule(t *testing.T) {
	t.Parallel()
	e := start(t, engine.Config{MaxMessageBytes: 10})
	register(t, e, "work", engine.Policy{}, echo)
	many := make(map[string]string)
	for i := range 33 {
		many[name(i)] = ""
	}
	for _, c := range []struct {
		name       string
		submission engine.Submission
		target     error
		field      string
	}{
		{"no type", engine.Submission{}, engine.ErrInvalid, "message_type"},
		{"a type of 10 kB", engine.Submission{MessageType: strings.Repeat("x", 10_000)}, engine.ErrInvalid, "message_type"},
		{"an unknown type", engine.Submission{MessageType: "nope"}, engine.ErrUnknownType, ""},
		{"a type that is not UTF-8", engine.Submission{MessageType: "\xff"}, engine.ErrInvalid, "message_type"},
		{"too much data", engine.Submission{MessageType: "work", MessageData: make([]byte, 11)}, engine.ErrTooLarge, ""},
		{"a long prefix", engine.Submission{MessageType: "work", ResponseNotification: strings.Repeat("x", 256)}, engine.ErrInvalid, "response_notification"},
		{"a prefix that is a pattern", engine.Submission{MessageType: "work", ResponseNotification: "a*"}, engine.ErrInvalid, "response_notification"},
		{"a prefix with a line break", engine.Submission{MessageType: "work", ResponseNotification: "a\nb"}, engine.ErrInvalid, "response_notification"},
		{"a key that is not UTF-8", engine.Submission{MessageType: "work", Key: "\xff"}, engine.ErrInvalid, "key"},
		{"a content type with a control character", engine.Submission{MessageType: "work", ContentType: "a\x7f"}, engine.ErrInvalid, "content_type"},
		{"a priority of 10", engine.Submission{MessageType: "work", Priority: 10}, engine.ErrInvalid, "priority"},
		{"too many metadata", engine.Submission{MessageType: "work", Metadata: many}, engine.ErrInvalid, "metadata"},
		{"large metadata", engine.Submission{MessageType: "work", Metadata: map[string]string{"a": strings.Repeat("x", 9000)}}, engine.ErrInvalid, "metadata"},
	} {
		_, err := e.Submit(t.Context(), c.submission)
		if !errors.Is(err, c.target) {
			t.Errorf("%s: %v, expected %v", c.name, err, c.target)
			continue
		}
		if invalid, ok := errors.AsType[*engine.InvalidError](err); ok && invalid.Field != c.field {
			t.Errorf("%s: blames %s, expected %s", c.name, invalid.Field, c.field)
		}
	}
	if queued := e.Stats().Types["work"].Submitted; queued != 0 {
		t.Errorf("%d refused messages were accepted", queued)
	}
	for _, bad := range []string{"", "a b", "a/b", "..", "é", strings.Repeat("x", 129)} {
		mustBe(t, e.Register(bad, engine.HandlerFunc(echo), engine.Policy{}), engine.ErrInvalid)
	}
	_, err := engine.New(engine.Config{QueueLimit: -1})
	mustBe(t, err, engine.ErrInvalid)
}

func TestAResultOverTheLimitFails(t *testing.T) {
	t.Parallel()
	e := start(t, engine.Config{MaxResultBytes: 10})
	register(t, e, "work", engine.Policy{}, func(context.Context, *engine.Message) (engine.Result, error) {
		return engine.Result{Data: make([]byte, 11)}, nil
	})
	sub := subscribe(t, e, "*", engine.Cursor{})
	submit(t, e, engine.Submission{MessageType: "work", ResponseNotification: "a"})
	if n := read(t, sub, 1)[0]; n.Error == nil || n.Error.Code != engine.CodeResultTooLarge {
		t.Error(n.String())
	}
}

func TestListPages(t *testing.T) {
	memoryOnly(t)
	t.Parallel()
	e := start(t, engine.Config{HistoryLimit: 2000})
	register(t, e, "odd", engine.Policy{}, echo)
	register(t, e, "even", engine.Policy{}, echo)
	sub := subscribe(t, e, "*", engine.Cursor{})
	const messages = 3000
	for i := range messages {
		submit(t, e, engine.Submission{MessageType: []string{"even", "odd"}[i%2], ResponseNotification: name(i)})
		read(t, sub, 1)
	}
	var seen []string
	options := engine.ListOptions{State: engine.StateSucceeded, MessageType: "odd", Limit: 300}
	for {
		page, err := e.List(options)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range page.Messages {
			seen = append(seen, m.ResponseNotification)
		}
		if page.Next == 0 {
			break
		}
		options.Before = page.Next
	}
	if len(seen) != 1000 || seen[0] != name(2999) || seen[999] != name(1001) {
		t.Errorf("%d messages from %s to %s: expected the odd half of the history, newest first", len(seen), seen[0], seen[len(seen)-1])
	}
	for _, bad := range []engine.ListOptions{{State: "done"}, {Limit: 1001}, {Limit: -1}} {
		_, err := e.List(bad)
		mustBe(t, err, engine.ErrInvalid)
	}
}
