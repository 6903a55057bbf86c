package enginetest_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/activemessage/activemessage/engine"
	"github.com/activemessage/activemessage/engine/enginetest"
)

// mail is the handler under test: it sends, unless the server is busy.
type mail struct {
	busy int // how often the server still is
	sent []string
}

func (m *mail) send(_ context.Context, in struct{ To string }) (string, error) {
	if m.busy > 0 {
		m.busy--
		return "", engine.RetryAfter(time.Minute, errors.New("421 try again later"))
	}
	m.sent = append(m.sent, in.To)
	return "sent", nil
}

func ExampleRun() {
	test := func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { // where minutes take no time
			server := &mail{busy: 2}
			outcome := enginetest.Run(t, engine.Typed(server.send),
				engine.Submission{MessageData: []byte(`{"to":"ada@example.org"}`)}, engine.Policy{MaxAttempts: 3})
			if outcome.State != engine.StateSucceeded || len(outcome.Attempts) != 3 || len(server.sent) != 1 {
				t.Errorf("%+v", outcome)
			}
		})
	}
	examples["TestMailIsSentInTheEnd"] = test
}

func ExampleOnce() {
	test := func(t *testing.T) {
		outcome := enginetest.Once(t, engine.Typed((&mail{busy: 1}).send), engine.Submission{}, engine.Policy{MaxAttempts: 3})
		if outcome.State != engine.StateRetrying || outcome.After != time.Minute {
			t.Errorf("%+v", outcome)
		}
		// What the handler would not take is refused, as it is when it is submitted.
		outcome = enginetest.Once(t, engine.Typed((&mail{}).send), engine.Submission{MessageData: []byte(`{"to":7}`)}, engine.Policy{})
		if !errors.Is(outcome.Refused, engine.ErrInvalid) {
			t.Errorf("%+v", outcome)
		}
	}
	examples["TestMailIsPutOffByAMinute"] = test
}

// examples are the tests above, which are run as tests, too.
var examples = make(map[string]func(*testing.T))

func TestExamples(t *testing.T) {
	ExampleRun()
	ExampleOnce()
	for name, test := range examples {
		t.Run(name, test)
	}
}
