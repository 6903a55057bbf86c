package ws_test

import (
	"bytes"
	"context"
	"slices"
	"strings"
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

// Frames that arrive at once are answered one by one, in their order, whatever they
// are.
func TestPipelinedFramesAreAnsweredInOrder(t *testing.T) {
	t.Parallel()
	n := start(t, engine.Config{}, ws.Config{})
	conn, reader := rawDial(t, n, "?subscribe=*")
	if _, welcome, err := readFrame(reader); err != nil || !bytes.Contains(welcome, []byte("welcome")) {
		t.Fatalf("%s, %v", welcome, err)
	}
	const rounds = 500
	var frames []byte
	for range rounds {
		for _, text := range []string{
			`{"op":"submit","ref":"accepted","message_type":"echo"}`,
			`{"op":"submit","ref":"accepted","message_type":"echo","message_data":"` + strings.Repeat("x", 30) + `"}`,
			`{"op":"submit","ref":"error","message_type":"nobody"}`,
			`{"op":"submit","ref":"accepted","message_type":"echo"}`,
			`{"op":"submit","ref":"error","message_type":7}`,
			`{"op":"ping","ref":"pong"}`,
			`{"op":"submit","ref":"accepted","message_type":"echo"}`,
		} {
			frames = append(frames, clientFrame(text)...)
		}
	}
	var writing sync.WaitGroup
	defer writing.Wait()
	writing.Go(func() {
		if _, err := conn.Write(frames); err != nil {
			t.Error(err)
		}
	})
	want := []string{"accepted", "accepted", "error", "accepted", "error", "pong", "accepted"}
	for i := range rounds * len(want) {
		_, payload, err := readFrame(reader)
		if err != nil {
			t.Fatalf("after %d answers: %v", i, err)
		}
		op := want[i%len(want)]
		if !bytes.HasPrefix(payload, []byte(`{"op":"`+op+`","ref":"`+op+`"`)) {
			t.Fatalf("answer %d is %s, want %s", i, payload, op)
		}
	}
}

// Frames that are there are submitted together, and answered then: a store makes them
// durable at once.
func TestPipelinedSubmitsGoTogether(t *testing.T) {
	t.Parallel()
	slow := slowStore{make(chan struct{}), make(chan struct{})}
	n := start(t, engine.Config{Observer: slow}, ws.Config{})
	release := sync.OnceFunc(func() { close(slow.release) })
	conn, reader := rawDial(t, n, "")
	t.Cleanup(release) // before everything is stopped
	send := func(frames []byte) {
		if _, err := conn.Write(frames); err != nil {
			t.Fatal(err)
		}
	}
	held := clientFrame(`{"op":"submit","message_type":"count"}`)
	send(held)
	<-slow.entered
	const between = 100
	send(append(bytes.Repeat(clientFrame(`{"op":"submit","message_type":"echo"}`), between), held...))
	slow.release <- struct{}{} // only now are they read
	<-slow.entered
	answers := 0
	next := func(patience time.Duration) error {
		if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		_, _, err := readFrame(reader)
		if err == nil {
			answers++
		}
		return err
	}
	for next(100*time.Millisecond) == nil {
		continue
	}
	// The welcome, the first one's, and of those that were read before it was known
	// that there are many.
	if answers > between/4 {
		t.Errorf("%d answers, while what is with those is being submitted", answers)
	}
	release()
	for answers < 1+1+between+1 {
		if err := next(20 * time.Second); err != nil {
			t.Fatalf("after %d answers: %v", answers, err)
		}
	}
}

// A frame that ends the connection does not take along the one before it, which was
// kept for it.
func TestASubmitBeforeABrokenFrameIsMade(t *testing.T) {
	t.Parallel()
	n := start(t, engine.Config{}, ws.Config{ReadLimit: 90})
	follower := n.dial("?subscribe=*", ws.ProtocolText)
	conn, _ := rawDial(t, n, "")
	const text = `{"op":"submit","message_type":"echo","response_notification":"r"}`
	if _, err := conn.Write(append(clientFrame(text), clientFrame(text+strings.Repeat(" ", 50))...)); err != nil {
		t.Fatal(err)
	}
	if got := follower.read(); got != "r:ok" {
		t.Errorf("%q", got)
	}
}
