package ws_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/activemessage/activemessage/engine"
	"github.com/activemessage/activemessage/ws"
)

// slowStore holds the submission of one message type up, as a store's disk may.
type slowStore struct{ entered, release chan struct{} }

func (s slowStore) Submit(_ context.Context, submission *engine.Submission) func(engine.Receipt, error) {
	if submission.MessageType == "count" {
		s.entered <- struct{}{}
		<-s.release
	}
	return func(engine.Receipt, error) {}
}

func (slowStore) Run(*engine.Message, time.Time) (context.Context, engine.Run) {
	return context.Background(), unobserved{}
}

type unobserved struct{}

func (unobserved) Returned(error)             {}
func (unobserved) Settled(engine.State, bool) {}

// While one connection's message is being accepted, the others are told theirs; and
// that one is told its receipt before any notification.
func TestASlowSubmissionHoldsNobodyElseUp(t *testing.T) {
	t.Parallel()
	slow := slowStore{make(chan struct{}), make(chan struct{})}
	n := start(t, engine.Config{Observer: slow}, ws.Config{})
	release := sync.OnceFunc(func() { close(slow.release) })
	submitter := n.dial("?subscribe=*")
	submitter.next("welcome")
	var others []*client
	for range 16 { // so that every flusher has some
		others = append(others, n.dial("?subscribe=*", ws.ProtocolText))
	}
	t.Cleanup(release) // before everything is stopped
	submitter.send(`{"op":"submit","ref":"1","message_type":"count","response_notification":"slow"}`)
	<-slow.entered
	n.submit("echo", `1`, "quick")
	for _, other := range others {
		if got := other.read(); got != "quick:ok" {
			t.Errorf("%q", got)
		}
	}
	release()
	if accepted := submitter.next("accepted"); accepted.Ref != "1" {
		t.Errorf("%+v", accepted)
	}
	var got []string
	for len(got) < 2 {
		for _, item := range submitter.next("notifications").Items {
			got = append(got, item.Notification)
		}
	}
	if !slices.Equal(got, []string{"quick:ok", "slow:ok"}) {
		t.Errorf("%q", got)
	}
}
