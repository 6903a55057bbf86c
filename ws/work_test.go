package ws_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/activemessage/activemessage/engine"
	"github.com/activemessage/activemessage/engine/memstore"
	"github.com/activemessage/activemessage/engine/remote"
)

// eachStore runs a test without a store, and with one.
func eachStore(t *testing.T, test func(h *hall)) {
	t.Run("memory", func(t *testing.T) { inHall(t, engine.Config{}, remote.Config{}, test) })
	t.Run("store", func(t *testing.T) { inHall(t, engine.Config{Store: memstore.New()}, remote.Config{}, test) })
}

func TestWorkIsDone(t *testing.T) {
	eachStore(t, func(h *hall) {
		w := h.hello("one", 1, "")
		id := h.submit(`{"a":1}`)
		job := w.take()
		if job.ID != id.String() || string(job.MessageData) != `{"a":1}` || job.Attempt != 1 {
			h.t.Errorf("job %+v", job)
		}
		w.done(job)
		w.settled(job, false)
		h.expect(id, engine.StateSucceeded, 1, 0)
		if s := h.status(id); string(s.Result.Data) != `{"ok":true}` || s.Result.ContentType != "application/json" {
			h.t.Errorf("result %+v", s.Result)
		}
	})
}

// The worker's result is stored, and the connection is cut before it hears so. It comes again
// with its lease, reports again, and is told that all is well: the message does not run twice.
func TestReplyStoredButItsConfirmationLost(t *testing.T) {
	eachStore(t, func(h *hall) {
		w := h.hello("one", 1, "")
		id := h.submit(`1`)
		job := w.take()
		w.done(job)
		w.cut()
		h.expect(id, engine.StateSucceeded, 1, 0)
		next := h.submit(`2`)
		w = h.hello("one", 1, job.ref())
		w.stopped(job, "stale") // its result is not lost: it was reported
		w.done(job)
		w.settled(job, false)
		second := w.take() // the window is free again
		w.done(second)
		w.settled(second, false)
		h.expect(id, engine.StateSucceeded, 1, 0)
		h.expect(next, engine.StateSucceeded, 1, 0)
	})
}

// A message that its worker did not ack is another's after the offer's time, and the attempt
// does not count.
func TestWorkerDiesBeforeTheAck(t *testing.T) {
	eachStore(t, func(h *hall) {
		w := h.hello("one", 1, "")
		id := h.submit(`1`)
		if job := w.next("job"); job.ID != id.String() {
			h.t.Errorf("job %+v", job)
		}
		w.cut()
		other := h.hello("two", 1, "")
		began := time.Now()
		job := other.take()
		if waited := time.Since(began); waited > 5*time.Second || job.Attempt != 2 { // a lease is given once
			h.t.Errorf("attempt %d after %s", job.Attempt, waited)
		}
		other.done(job)
		other.settled(job, false)
		h.expect(id, engine.StateSucceeded, 2, 0)
	})
}

// An offer that is not acked is told to be over, even if the socket lives.
func TestAnOfferThatIsNotAckedIsTakenBack(t *testing.T) {
	inHall(t, engine.Config{}, remote.Config{Beat: time.Minute}, func(h *hall) {
		w := h.hello("one", 1, "")
		id := h.submit(`1`)
		job := w.next("job")
		w.stopped(job, "stale")
		again := w.next("job") // nobody else is there
		if again.ID != id.String() || again.Lease == job.Lease {
			h.t.Errorf("job %+v", again)
		}
		w.done(again) // is an ack too
		w.settled(again, false)
		if s := h.workers.Stats(); s.HandedBack != 1 || s.Lost != 0 {
			h.t.Errorf("%+v", s)
		}
	})
}

// The second socket of an instance has its leases; the first is closed, and what it says is
// worth nothing.
func TestTwoSocketsOfOneInstance(t *testing.T) {
	eachStore(t, func(h *hall) {
		first := h.hello("one", 2, "")
		id := h.submit(`1`)
		job := first.take()
		synctest.Wait()
		second := h.hello("one", 2, job.ref())
		first.closed(4001)
		next := h.submit(`2`)
		other := second.take()
		if other.ID != next.String() {
			h.t.Errorf("job %+v", other)
		}
		second.done(job)
		second.settled(job, false)
		second.done(other)
		second.settled(other, false)
		h.expect(id, engine.StateSucceeded, 1, 0)
		if s := h.workers.Stats(); s.Sessions != 1 || s.Replaced != 1 || s.Leases != 0 {
			h.t.Errorf("%+v", s)
		}
	})
}

// The worker cannot reach the server for ten minutes: its lease ends, another runs the
// message, and the first is told that its result comes too late.
func TestServerGoneTenMinutes(t *testing.T) {
	eachStore(t, func(h *hall) {
		w := h.hello("one", 1, "")
		id := h.submit(`1`)
		job := w.take()
		synctest.Wait()
		w.cut()
		time.Sleep(10 * time.Minute)
		if s := h.workers.Stats(); s.Instances != 0 {
			h.t.Errorf("%+v", s)
		}
		other := h.hello("two", 1, "")
		again := other.take()
		if again.ID != job.ID || again.Attempt != 2 {
			h.t.Errorf("job %+v", again)
		}
		w = h.hello("one", 1, job.ref())
		w.stopped(job, "stale")
		w.done(job)
		w.settled(job, true)
		other.done(again)
		other.settled(again, false)
		h.expect(id, engine.StateSucceeded, 2, 1)
	})
}

// While the server drains, beats keep leases, and what is settled is confirmed; a worker that
// was cut comes again.
func TestBeatsDuringDrain(t *testing.T) {
	inHall(t, engine.Config{}, remote.Config{Drain: 50 * time.Second}, func(h *hall) {
		w := h.hello("one", 2, "")
		first, second := h.submit(`1`), h.submit(`2`)
		one, two := w.take(), w.take()
		synctest.Wait()
		drained := make(chan error, 1)
		go func() { drained <- h.engine.Drain(h.t.Context()) }()
		if f := w.next("drain"); f.WithinMS != 50_000 {
			h.t.Errorf("drain %+v", f)
		}
		for range 8 { // longer than a lease
			time.Sleep(5 * time.Second)
			if f := w.beat(one.ref() + "," + two.ref()); len(f.Stop) != 0 {
				h.t.Errorf("beat %+v", f)
			}
		}
		w.done(one)
		w.settled(one, false)
		w.cut()
		w = h.hello("one", 2, two.ref())
		if f := w.next("drain"); f.WithinMS != 10_000 {
			h.t.Errorf("drain %+v", f)
		}
		w.done(two)
		w.settled(two, false)
		if err := <-drained; err != nil {
			h.t.Error(err)
		}
		h.expect(first, engine.StateSucceeded, 1, 0)
		h.expect(second, engine.StateSucceeded, 1, 0)
		go h.stop()
		w.closed(websocket.StatusServiceRestart)
		synctest.Wait()
	})
}

// A large job is stuck in the socket of a worker that does not read. Its beats are heard all
// the same, and nobody else waits.
func TestStalledDataFrameBeforeAControlFrame(t *testing.T) {
	inHall(t, engine.Config{}, remote.Config{}, func(h *hall) {
		w := h.hello("one", 2, "")
		h.submit(`1`)
		job := w.take()
		h.submit(`"` + strings.Repeat("x", 500<<10) + `"`)
		synctest.Wait() // on its way, and nobody reads it
		for range 4 {
			time.Sleep(5 * time.Second)
			w.send(`{"op":"beat","held":[%s]}`, job.ref())
		}
		other := h.hello("two", 1, "")
		taken := other.take() // it was handed back after its time
		if len(taken.MessageData) < 500<<10 || taken.Attempt != 2 {
			h.t.Errorf("attempt %d of %d bytes", taken.Attempt, len(taken.MessageData))
		}
		other.done(taken)
		other.settled(taken, false)
		if f := w.next("job"); f.ID != taken.ID {
			h.t.Errorf("%+v", f)
		}
		w.done(job)
		for op := ""; op != "settled"; { // beats and the stop come first
			_, data, err := w.conn.Read(h.t.Context())
			var f workFrame
			if err != nil || json.Unmarshal(data, &f) != nil || f.Op == "settled" && (f.Stale || f.ID != job.ID) {
				h.t.Fatalf("%s, %v", data, err)
			}
			op = f.Op
		}
		if s := h.workers.Stats(); s.Dead != 0 || s.Lost != 0 {
			h.t.Errorf("%+v", s)
		}
	})
}

// A large result takes a minute to arrive. The worker cannot beat before it is through, and
// keeps its leases.
func TestALargeResultTakesAMinute(t *testing.T) {
	inHall(t, engine.Config{}, remote.Config{}, func(h *hall) {
		w := h.hello("one", 2, "")
		id, beside := h.submit(`1`), h.submit(`2`)
		job, other := w.take(), w.take()
		message, err := w.conn.Writer(h.t.Context(), websocket.MessageText)
		if err != nil {
			h.t.Fatal(err)
		}
		_, _ = fmt.Fprintf(message, `{"op":"done","id":%q,"lease":%d,"data":"`, job.ID, job.Lease)
		for range 30 {
			time.Sleep(2 * time.Second)
			_, _ = fmt.Fprint(message, strings.Repeat("x", 10<<10))
		}
		_, _ = fmt.Fprint(message, `"}`) // Close tells
		if err := message.Close(); err != nil {
			_, _, closed := w.conn.Read(h.t.Context())
			h.t.Fatal(err, closed)
		}
		w.settled(job, false)
		w.done(other)
		w.settled(other, false)
		h.expect(id, engine.StateSucceeded, 1, 0)
		h.expect(beside, engine.StateSucceeded, 1, 0)
	})
}

// The lease ends while the worker finishes: its result is too late, and it is told so.
func TestLeaseExpiredWhileTheWorkerFinishes(t *testing.T) {
	eachStore(t, func(h *hall) {
		h.register("work", engine.Policy{Timeout: 10 * time.Second, Grace: time.Second, MaxAttempts: 2, Backoff: engine.Backoff{Initial: time.Hour, Max: time.Hour}})
		w := h.hello("one", 1, "")
		id := h.submit(`1`)
		job := w.take()
		time.Sleep(5 * time.Second)
		w.beat(job.ref())
		w.stopped(job, "timeout")
		w.stopped(job, "stale")
		w.done(job)
		w.settled(job, true)
		h.expect(id, engine.StateRetrying, 1, 0)
		if s := h.workers.Stats(); s.Stale != 1 || s.Leases != 0 {
			h.t.Errorf("%+v", s)
		}
	})
}

// A checkpoint that a lost worker saved is with the next attempt.
func TestACheckpointOutlivesItsWorker(t *testing.T) {
	eachStore(t, func(h *hall) {
		w := h.hello("one", 1, "")
		id := h.submit(`1`)
		job := w.take()
		w.send(`{"op":"save","id":%q,"lease":1,"data":{"page":3}}`, job.ID)
		w.send(`{"op":"progress","id":%q,"lease":1,"fraction":0.5,"note":"half"}`, job.ID)
		if s := h.status(id); s.Progress == nil || s.Progress.Fraction != 0.5 {
			h.t.Errorf("progress %+v", s.Progress)
		}
		again := w.dropAll()
		if again.Attempt != 2 || string(again.Checkpoint) != `{"page":3}` {
			h.t.Errorf("job %+v", again)
		}
		w.send(`{"op":"fail","id":%q,"lease":2,"kind":"permanent","code":"no","message":"never"}`, job.ID)
		w.settled(again, false)
		if s := h.status(id); s.State != engine.StateFailed || s.Error.Code != "no" || s.Lost != 1 {
			h.t.Errorf("%+v", s)
		}
	})
}

// A cancel reaches the worker.
func TestACancelReachesTheWorker(t *testing.T) {
	eachStore(t, func(h *hall) {
		w := h.hello("one", 1, "")
		id := h.submit(`1`)
		job := w.take()
		synctest.Wait()
		if _, err := h.engine.Cancel(id); err != nil {
			h.t.Fatal(err)
		}
		w.stopped(job, "cancelled")
		w.send(`{"op":"fail","id":%q,"lease":1}`, job.ID)
		w.settled(job, false)
		h.expect(id, engine.StateCancelled, 1, 0)
	})
}
