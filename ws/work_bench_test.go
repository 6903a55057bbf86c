package ws_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/activemessage/activemessage/engine"
	"github.com/activemessage/activemessage/engine/remote"
	"github.com/activemessage/activemessage/ws"
)

// BenchmarkWork measures how many messages a second one worker runs over a WebSocket, at a
// window. The floor is the protocol alone: a server that answers the same frames, over the
// same socket, without an engine. Both take turns within one benchmark.
func BenchmarkWork(b *testing.B) {
	for _, window := range []int{1, 4, 16, 64} {
		b.Run(fmt.Sprintf("window=%d", window), func(b *testing.B) {
			subject, floor := newWorkBench(b, window), newWorkFloor(b, window)
			const round = 5000
			for done := 0; done < b.N; done += round {
				n := min(round, b.N-done)
				subject.run(b, n)
				b.StopTimer()
				floor.run(b, n)
				b.StartTimer()
			}
			b.ReportMetric(float64(b.N)/subject.spent.Seconds(), "jobs/s")
			b.ReportMetric(float64(b.N)/floor.spent.Seconds(), "floor-jobs/s")
			b.ReportMetric(float64(floor.spent)/float64(subject.spent), "ratio-to-floor")
		})
	}
}

// workBench is a worker that speaks just what the benchmark needs, and where its messages
// come from.
type workBench struct {
	feed   func(n int)
	reader *bufio.Reader
	writer *bufio.Writer
	spent  time.Duration
}

// run has n messages run.
func (w *workBench) run(b *testing.B, n int) {
	began := time.Now()
	w.feed(n)
	var frame []byte
	for settled := 0; settled < n; {
		_, payload, err := readFrame(w.reader)
		if err != nil {
			b.Fatal(err)
		}
		switch {
		case bytes.HasPrefix(payload, []byte(`{"op":"settled"`)):
			settled++
		case bytes.HasPrefix(payload, []byte(`{"op":"job","id":"`)):
			id := payload[len(`{"op":"job","id":"`):][:36]
			frame = append(append(append(frame[:0], `{"op":"ack","id":"`...), id...), `","lease":1}`...)
			w.send(b, frame)
			frame = append(append(append(frame[:0], `{"op":"done","id":"`...), id...), `","lease":1,"data":{"ok":true}}`...)
			w.send(b, frame)
		}
		if w.reader.Buffered() == 0 {
			if err := w.writer.Flush(); err != nil {
				b.Fatal(err)
			}
		}
	}
	w.spent += time.Since(began)
}

// send writes a masked frame; the mask is zero.
func (w *workBench) send(b *testing.B, payload []byte) {
	head := []byte{0x81, 0x80 | byte(len(payload)), 0, 0, 0, 0}
	if len(payload) > 125 {
		head = binary.BigEndian.AppendUint16([]byte{0x81, 0x80 | 126}, uint16(len(payload)))
		head = append(head, 0, 0, 0, 0)
	}
	if _, err := w.writer.Write(head); err != nil {
		b.Fatal(err)
	}
	if _, err := w.writer.Write(payload); err != nil {
		b.Fatal(err)
	}
}

// dialWork upgrades a connection.
func dialWork(b *testing.B, address string) *workBench {
	b.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = conn.Close() })
	_, _ = fmt.Fprintf(conn, "GET /v1/work HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", address)
	w := &workBench{reader: bufio.NewReaderSize(conn, 64<<10), writer: bufio.NewWriterSize(conn, 64<<10)}
	response, err := http.ReadResponse(w.reader, nil)
	if err != nil || response.StatusCode != http.StatusSwitchingProtocols {
		b.Fatalf("%v, %v", response, err)
	}
	return w
}

func newWorkBench(b *testing.B, window int) *workBench {
	e, err := engine.New(engine.Config{})
	if err != nil {
		b.Fatal(err)
	}
	workers := remote.New(e, remote.Config{})
	sockets := ws.NewWork(workers, ws.Config{CloseSpread: time.Millisecond})
	server := httptest.NewServer(sockets)
	w := dialWork(b, server.Listener.Addr().String())
	b.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = e.Drain(ctx)
		_ = sockets.Shutdown(ctx)
		workers.Close()
		server.Close()
	})
	w.send(b, fmt.Appendf(nil, `{"op":"hello","instance":"b","types":[{"message_type":"work"}],"window":%d}`, window))
	_ = w.writer.Flush()
	if _, _, err := readFrame(w.reader); err != nil {
		b.Fatal(err)
	}
	all := make([]engine.Submission, 5000)
	w.feed = func(n int) {
		for i := range n {
			all[i] = engine.Submission{MessageType: "work", MessageData: []byte(`{"user":42}`), ContentType: "application/json"}
		}
		for _, accepted := range e.SubmitAll(context.Background(), all[:n]) {
			if accepted.Err != nil {
				b.Fatal(accepted.Err)
			}
		}
	}
	return w
}

// newWorkFloor is a server that gives jobs, and answers what is done, by bytes alone.
func newWorkFloor(b *testing.B, window int) *workBench {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	jobs := make(chan int, 1)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		reader := bufio.NewReaderSize(conn, 64<<10)
		if _, err := http.ReadRequest(reader); err != nil {
			return
		}
		_, _ = fmt.Fprint(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		for n := range jobs {
			if giveJobs(conn, reader, n, window) != nil {
				return
			}
		}
	}()
	w := dialWork(b, listener.Addr().String())
	w.feed = func(n int) { jobs <- n }
	b.Cleanup(func() { close(jobs); _ = listener.Close(); <-ended })
	return w
}

func giveJobs(conn net.Conn, reader *bufio.Reader, n, window int) error {
	const id = "0197f9c2-5a3b-7c41-9d2e-6f1a2b3c4d5e"
	job := floorFrame(`{"op":"job","id":"` + id + `","lease":1,"message_type":"work","attempt":1,"max_attempts":1,"deadline":"2026-11-24T18:10:00.000000Z","message_data":{"user":42},"content_type":"application/json"}`)
	settled := floorFrame(`{"op":"settled","id":"` + id + `","lease":1}`)
	var out []byte
	given := min(n, window)
	for range given {
		out = append(out, job...)
	}
	for done := 0; done < n; {
		if reader.Buffered() == 0 && len(out) > 0 {
			if _, err := conn.Write(out); err != nil {
				return err
			}
			out = out[:0]
		}
		var head [8]byte
		if _, err := io.ReadFull(reader, head[:6]); err != nil {
			return err
		}
		length := int(head[1] & 0x7f)
		if length == 126 {
			if _, err := io.ReadFull(reader, head[6:]); err != nil {
				return err
			}
			length = int(binary.BigEndian.Uint16(head[2:]))
		}
		payload, err := reader.Peek(length)
		if err != nil {
			return err
		}
		if bytes.HasPrefix(payload, []byte(`{"op":"done"`)) {
			done++
			out = append(out, settled...)
			if given < n {
				given++
				out = append(out, job...)
			}
		}
		if _, err := reader.Discard(length); err != nil {
			return err
		}
		if done == n {
			_, err := conn.Write(out)
			return err
		}
	}
	return nil
}

func floorFrame(payload string) []byte {
	if len(payload) < 126 {
		return append([]byte{0x81, byte(len(payload))}, payload...)
	}
	return append(binary.BigEndian.AppendUint16([]byte{0x81, 126}, uint16(len(payload))), payload...)
}
