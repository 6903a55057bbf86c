package wire_test

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/activemessage/activemessage/engine"
	"github.com/activemessage/activemessage/engine/remote"
	"github.com/activemessage/activemessage/internal/wire"
)

const workID = "0197f9c2-5a3b-7c41-9d2e-6f1a2b3c4d5e"

// FuzzDecodeWorkFrame: no frame crashes, every refusal can be told, and the quick reader
// reads as the thorough one does, for which a space behind the brace is enough.
func FuzzDecodeWorkFrame(f *testing.F) {
	for _, frame := range []string{
		`{"op":"hello","instance":"i","types":[{"message_type":"a","policy":{"max_attempts":3}}],"window":1,"held":[{"id":"` + workID + `","lease":1}]}`,
		`{"op":"ack","id":"` + workID + `","lease":1}`,
		`{"op":"done","id":"` + workID + `","lease":12,"data":{"a":[1,"}"]}}`,
		`{"op":"done","id":"` + workID + `","lease":1,"data":1,"content_type":"a/b"}`,
		`{"op":"done","id":"` + workID + `","lease":1,"data": null }`,
		`{"op":"fail","id":"` + workID + `","lease":1,"kind":"retry","after_ms":3}`,
		`{"op":"beat","held":[],"window":2}`, `{"op":"progress","id":"` + workID + `","lease":1,"fraction":0.5}`, `{"op":"x","id":7}`,
	} {
		f.Add([]byte(frame))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := wire.DecodeWorkFrame(data)
		if problem, ok := errors.AsType[*wire.Problem](err); err != nil && (!ok || !json.Valid(problem.AppendJSON(nil))) {
			t.Errorf("refused with %v", err)
		}
		if len(data) == 0 || data[0] != '{' {
			return
		}
		thorough, slow := wire.DecodeWorkFrame(append([]byte("{ "), data[1:]...))
		if (err == nil) != (slow == nil) || err == nil && (got.Op != thorough.Op || got.Lease != thorough.Lease ||
			string(got.Data) != string(thorough.Data) || got.ContentType != thorough.ContentType) {
			t.Errorf("%s\nreads as %+v, %v\nor as %+v, %v", data, got, err, thorough, slow)
		}
	})
}

func TestAppendJob(t *testing.T) {
	t.Parallel()
	id, err := engine.ParseID(workID)
	if err != nil {
		t.Fatal(err)
	}
	job := engine.Job{MaxAttempts: 3, Deadline: time.Unix(0, 0), Message: &engine.Message{
		ID: id, Attempt: 2, MessageType: "a", MessageData: []byte("[1,\n2]"), ContentType: "application/json", Checkpoint: []byte{1},
	}}
	want := `{"op":"job","id":"` + workID + `","lease":2,"message_type":"a","attempt":2,"max_attempts":3,` +
		`"deadline":"1970-01-01T00:00:00.000000Z","message_data":[1,2],"content_type":"application/json","checkpoint_base64":"AQ=="}`
	if got := string(wire.AppendJob(nil, &job)); got != want {
		t.Errorf("%s\nexpected\n%s", got, want)
	}
}

func BenchmarkWorkFrames(b *testing.B) {
	done := []byte(`{"op":"done","id":"` + workID + `","lease":1,"data":{"a":[1,2,3],"b":"hello"}}`)
	b.Run("done", func(b *testing.B) {
		for b.Loop() {
			if _, err := wire.DecodeWorkFrame(done); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("done thorough", func(b *testing.B) {
		spaced := append([]byte("{ "), done[1:]...)
		for b.Loop() {
			if _, err := wire.DecodeWorkFrame(spaced); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("settled", func(b *testing.B) {
		var buffer []byte
		for b.Loop() {
			buffer = wire.AppendSettled(buffer[:0], remote.Settled{})
		}
	})
}
