package ws_test

import (
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/coder/websocket"

	"github.com/activemessage/activemessage/engine"
	"github.com/activemessage/activemessage/engine/remote"
)

// A worker lies in every way. Each lie is answered, or closes its own connection in words,
// and a neighbour with one message notices nothing.
func TestAWorkerThatLies(t *testing.T) {
	eachStore(t, func(h *hall) {
		honest, liar := h.hello("honest", 1, ""), h.hello("liar", 1_000_000_000, "")
		liar.send(`{"op":"drain"}`) // it shall not get the honest worker's message
		synctest.Wait()
		id := h.submit(`1`)
		job := honest.take()
		synctest.Wait()
		never := workFrame{ID: "0197f9c2-5a3b-7c41-9d2e-6f1a2b3c4d5e", Lease: 1}
		for _, of := range []workFrame{never, job} {
			liar.send(`{"op":"ack","id":%q,"lease":%d}`, of.ID, of.Lease)
			liar.stopped(of, "stale")
			liar.send(`{"op":"progress","id":%q,"lease":%d,"fraction":-7e300}`, of.ID, of.Lease)
			liar.stopped(of, "stale")
			liar.send(`{"op":"save","id":%q,"lease":%d,"data":1}`, of.ID, of.Lease)
			liar.stopped(of, "stale")
			liar.done(of)
			liar.settled(of, true)
			liar.send(`{"op":"fail","id":%q,"lease":%d,"kind":"permanent"}`, of.ID, of.Lease)
			liar.settled(of, true)
			if f := liar.beat(of.ref() + "," + of.ref()); len(f.Stop) != 2 || f.Stop[0].Reason != "stale" {
				h.t.Errorf("beat %+v", f)
			}
		}
		liar = h.hello("liar", 1, job.ref()) // it asks for another's lease
		liar.stopped(job, "stale")
		liar.send(`{"op":"dance","id":7}`)
		liar.beat("")
		if s := h.workers.Stats(); s.Leases != 1 || s.Stale < 15 || s.Lost != 0 {
			h.t.Errorf("%+v", s)
		}
		honest.done(job)
		honest.settled(job, false)
		h.expect(id, engine.StateSucceeded, 1, 0)
	})
}

// What cannot be closes the connection that it came on, with a code and in words, and is
// counted.
func TestFramesThatCannotBe(t *testing.T) {
	inHall(t, engine.Config{}, remote.Config{MaxHeld: 2, MaxTypes: 2, MaxInstances: 4}, func(h *hall) {
		if err := h.engine.Register("own", engine.HandlerFunc(nil), engine.Policy{}); err != nil {
			h.t.Fatal(err)
		}
		const lease = `{"id":"0197f9c2-5a3b-7c41-9d2e-6f1a2b3c4d5e","lease":1}`
		hello := func(members string) string {
			return `{"op":"hello","instance":"x","types":[{"message_type":"work"}]` + members + `}`
		}
		for _, c := range []struct {
			frame string
			code  websocket.StatusCode
		}{
			{`nonsense`, websocket.StatusInvalidFramePayloadData},
			{`[]`, websocket.StatusInvalidFramePayloadData},
			{`{"op":"beat","held":[]}`, websocket.StatusPolicyViolation},
			{`{"op":7}`, websocket.StatusPolicyViolation},
			{hello(``), websocket.StatusPolicyViolation},
			{hello(`,"window":-1`), websocket.StatusPolicyViolation},
			{hello(`,"window":1000000001`), websocket.StatusPolicyViolation},
			{hello(`,"window":"many"`), websocket.StatusPolicyViolation},
			{hello(`,"window":1,"held":[` + lease + `,` + lease + `,` + lease + `]`), websocket.StatusPolicyViolation},
			{hello(`,"window":1,"held":[{"id":"x","lease":1}]`), websocket.StatusPolicyViolation},
			{`{"op":"hello","types":[{"message_type":"work"}],"window":1}`, websocket.StatusPolicyViolation},
			{`{"op":"hello","instance":"x","types":[],"window":1}`, websocket.StatusPolicyViolation},
			{`{"op":"hello","instance":"x","types":[{"message_type":"new"},{"message_type":"own"}],"window":1}`, websocket.StatusPolicyViolation},
			{`{"op":"hello","instance":"x","types":[{"message_type":"new"},{"message_type":"a b"}],"window":1}`, websocket.StatusPolicyViolation},
			{`{"op":"hello","instance":"x","types":[{"message_type":"new","policy":{"max_attempts":-1}}],"window":1}`, websocket.StatusPolicyViolation},
			{`{"op":"hello","instance":"x","types":[{"message_type":"a"},{"message_type":"b"},{"message_type":"c"}],"window":1}`, websocket.StatusPolicyViolation},
		} {
			w := h.connect()
			w.send("%s", c.frame)
			w.closed(c.code)
		}
		if _, err := h.engine.TypeStats("new"); err == nil {
			h.t.Error("a refused hello has registered a type")
		}
		for _, c := range []struct {
			frame string
			code  websocket.StatusCode
		}{
			{`{"op":`, websocket.StatusInvalidFramePayloadData},
			{hello(`,"window":1`), websocket.StatusPolicyViolation},
			{`{"op":"beat","held":[],"window":-1}`, websocket.StatusPolicyViolation},
			{`{"op":"beat","held":[` + lease + `,` + lease + `,` + lease + `]}`, websocket.StatusPolicyViolation},
			{`{"op":"done","id":"x","lease":1}`, websocket.StatusPolicyViolation},
			{`{"op":"progress","id":"0197f9c2-5a3b-7c41-9d2e-6f1a2b3c4d5e","lease":1,"fraction":"NaN"}`, websocket.StatusPolicyViolation},
			{`{"op":"progress","id":"0197f9c2-5a3b-7c41-9d2e-6f1a2b3c4d5e","lease":1,"fraction":1e999}`, websocket.StatusPolicyViolation},
			{`{"op":"fail","id":"0197f9c2-5a3b-7c41-9d2e-6f1a2b3c4d5e","lease":1,"kind":"never"}`, websocket.StatusPolicyViolation},
			{`{"op":"done","id":"0197f9c2-5a3b-7c41-9d2e-6f1a2b3c4d5e","lease":1,"data":1,"data_base64":""}`, websocket.StatusPolicyViolation},
		} {
			w := h.hello("one", 1, "")
			w.send("%s", c.frame)
			w.closed(c.code)
		}
		silent := h.connect()
		silent.closed(3008)
		for n := range 4 {
			h.hello(fmt.Sprint("many ", n), 1, "")
		}
		w := h.connect()
		w.send("%s", hello(`,"window":1`))
		w.closed(websocket.StatusTryAgainLater)
		if s := h.workers.Stats(); s.Refused != 9 || s.Malformed != 17 {
			h.t.Errorf("%+v", s)
		}
	})
}
