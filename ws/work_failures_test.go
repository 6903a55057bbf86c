package ws_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/activemessage/activemessage/engine"
	"github.com/activemessage/activemessage/engine/remote"
	"github.com/activemessage/activemessage/engine/sqlitestore"
)

// A hundred messages' reports in one burst: each is answered, in order, and another worker
// is served meanwhile.
func TestABurstOnOneSocket(t *testing.T) {
	eachStore(t, func(h *hall) {
		const n = 100
		w := h.hello("one", n, "")
		var jobs []workFrame
		for i := range n {
			h.submit(fmt.Sprint(i))
		}
		for range n {
			jobs = append(jobs, w.take())
		}
		sent := make(chan struct{})
		go func() {
			defer close(sent)
			for _, job := range jobs {
				for range 3 { // as often as a worker that is nervous
					w.done(job)
				}
			}
		}()
		answers := make(map[string]int)
		for len(answers) < n {
			f := w.next("settled")
			if answers[f.ID] == 0 && f.Stale {
				h.t.Errorf("the first answer is %+v", f)
			}
			if answers[f.ID]++; f.ID != jobs[len(answers)-1].ID && answers[f.ID] == 1 {
				h.t.Errorf("%s came out of order", f.ID)
			}
		}
		go func() { // the rest of the answers
			for {
				if _, _, err := w.conn.Read(h.t.Context()); err != nil {
					return
				}
			}
		}()
		<-sent
		if s := h.engine.Stats(); s.Types["work"].Outcomes[engine.StateSucceeded] != n {
			h.t.Errorf("%+v", s.Types["work"].Outcomes)
		}
	})
}

// A worker acks, beats, and never answers: the type's timeout ends the attempt. As long as
// the worker holds on to it, it has no room for another; others have.
func TestAWorkerThatAcksAndNeverAnswers(t *testing.T) {
	eachStore(t, func(h *hall) {
		h.register("work", engine.Policy{Timeout: 12 * time.Second, Grace: time.Second, MaxAttempts: 1})
		w := h.hello("one", 1, "")
		id := h.submit(`1`)
		job := w.take()
		for range 2 {
			time.Sleep(5 * time.Second)
			w.beat(job.ref())
		}
		w.stopped(job, "timeout")
		w.stopped(job, "stale")
		h.expect(id, engine.StateFailed, 1, 0)
		next := h.submit(`2`)
		time.Sleep(5 * time.Second)
		if f := w.beat(job.ref()); len(f.Stop) != 0 && f.Stop[0].Reason != "stale" {
			h.t.Errorf("beat %+v", f)
		}
		h.expect(next, engine.StateQueued, 0, 0)
		other := h.hello("two", 1, "")
		taken := other.take()
		other.done(taken)
		other.settled(taken, false)
		h.expect(next, engine.StateSucceeded, 1, 0)
		w.beat("") // it has let go
		last := h.submit(`3`)
		other.send(`{"op":"drain"}`)
		if taken := w.next("job"); taken.ID != last.String() {
			h.t.Errorf("job %+v", taken)
		}
	})
}

// A worker acks and says nothing ever again: it is closed after three beats, and the message
// is lost to it when its lease ends.
func TestAWorkerThatAcksAndDies(t *testing.T) {
	eachStore(t, func(h *hall) {
		w := h.hello("one", 1, "")
		id := h.submit(`1`)
		job := w.take()
		began := time.Now()
		w.closed(3008)
		if after := time.Since(began); after < 15*time.Second || after > 20*time.Second {
			h.t.Errorf("closed after %s", after)
		}
		h.expect(id, engine.StateRunning, 1, 0)
		time.Sleep(5 * time.Second)
		again := h.hello("two", 1, "").take()
		if after := time.Since(began); after < 30*time.Second || after > 31*time.Second || again.ID != job.ID || again.Attempt != 2 {
			h.t.Errorf("attempt %d after %s", again.Attempt, after)
		}
		h.expect(id, engine.StateRunning, 2, 1)
	})
}

// A message that kills its workers fails after three of them, and takes no others with it.
func TestAPoisonMessageThatKillsThreeWorkers(t *testing.T) {
	eachStore(t, func(h *hall) {
		h.register("work", engine.Policy{MaxAttempts: 5})
		id := h.submit(`"poison"`)
		for n := 1; n <= 3; n++ {
			w := h.hello(fmt.Sprint("worker ", n), 1, "")
			job := w.take()
			if job.Attempt != n || job.ID != id.String() {
				h.t.Errorf("job %+v", job)
			}
			synctest.Wait()
			w.cut()
			time.Sleep(31 * time.Second)
		}
		s := h.status(id)
		if s.State != engine.StateFailed || s.Lost != 3 || s.Error.Code != engine.CodeLost {
			h.t.Errorf("%+v, %v", s, s.Error)
		}
	})
}

// The server is restarted while a worker runs a message. The worker goes on, comes to the
// next server with its lease, and settles it there: nothing runs twice, nothing is lost.
func TestTheServerIsRestarted(t *testing.T) {
	dir := t.TempDir()
	inBubble(t, func(t *testing.T) {
		store := openStore(t, dir)
		h := open(t, engine.Config{Store: store}, remote.Config{})
		defer h.stop()
		w := h.hello("one", 2, "")
		id, other := h.submit(`1`), h.submit(`2`)
		job, second := w.take(), w.take()
		synctest.Wait()
		go h.stop()
		w.next("drain")
		for range 11 { // nearly for as long as the server waits
			time.Sleep(5 * time.Second)
			w.beat(job.ref() + "," + second.ref())
		}
		w.closed(websocket.StatusServiceRestart)
		synctest.Wait()
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
		store = openStore(t, dir)
		defer func() { _ = store.Close() }()
		next := open(t, engine.Config{Store: store}, remote.Config{})
		defer next.stop()
		w = next.hello("one", 2, job.ref()+","+second.ref())
		if f := w.beat(job.ref() + "," + second.ref()); len(f.Stop) != 0 {
			h.t.Errorf("beat %+v", f)
		}
		w.done(job)
		w.settled(job, false)
		w.done(second)
		w.settled(second, false)
		next.expect(id, engine.StateSucceeded, 1, 0)
		next.expect(other, engine.StateSucceeded, 1, 0)
	})
}

func openStore(t *testing.T, dir string) *sqlitestore.Store {
	t.Helper()
	store, err := sqlitestore.Open(t.Context(), sqlitestore.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	return store
}
