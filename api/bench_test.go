package api_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/activemessage/activemessage/api"
	"github.com/activemessage/activemessage/engine"
)

// BenchmarkPost measures POST /v1/messages over keep-alive connections, message
// run and outcome published, against a bare chi handler that reads the body and
// answers 202. Both run in turns within one benchmark, with the same clients.
func BenchmarkPost(b *testing.B) {
	handler := newEcho(b)
	bare := chi.NewRouter()
	bare.Post("/v1/messages", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusAccepted)
	})
	for _, connections := range []int{1, 16} {
		b.Run(fmt.Sprintf("connections=%d", connections), func(b *testing.B) {
			subject, floor := newPoster(b, handler, connections), newPoster(b, bare, connections)
			const round = 2000
			b.ReportAllocs()
			for done := 0; done < b.N; done += round {
				n := min(round, b.N-done)
				subject.post(b, n)
				b.StopTimer()
				floor.post(b, n)
				b.StartTimer()
			}
			b.ReportMetric(float64(b.N)/subject.spent.Seconds(), "posts/s")
			b.ReportMetric(float64(floor.spent)/float64(subject.spent), "ratio-to-bare")
		})
	}
}

// newEcho serves an engine that echoes, until the benchmark ends.
func newEcho(b *testing.B) http.Handler {
	e, err := engine.New(engine.Config{QueueLimit: 1 << 20})
	if err != nil {
		b.Fatal(err)
	}
	echo := engine.HandlerFunc(func(_ context.Context, m *engine.Message) (engine.Result, error) {
		return engine.Result{Data: m.MessageData}, nil
	})
	if err := e.Register("echo", echo, engine.Policy{}); err != nil {
		b.Fatal(err)
	}
	handler, err := api.New(e, api.Config{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := e.Drain(context.Background()); err != nil {
			b.Error(err)
		}
	})
	return handler
}

// BenchmarkBatch measures POST /v1/messages/batch with 100 messages each against
// POST /v1/messages with one, per message, over one connection and over 16. Both
// take turns within one benchmark.
func BenchmarkBatch(b *testing.B) {
	handler := newEcho(b)
	const size = 100
	array := "[" + strings.Repeat(envelope+",", size-1) + envelope + "]"
	lines := strings.Repeat(envelope+"\n", size)
	for _, connections := range []int{1, 16} {
		b.Run(fmt.Sprintf("connections=%d", connections), func(b *testing.B) {
			single := newPoster(b, handler, connections)
			asArray := newPoster(b, handler, connections).sending("/v1/messages/batch", "application/json", array, 207)
			asLines := newPoster(b, handler, connections).sending("/v1/messages/batch", "application/x-ndjson", lines, 207)
			const round = size * 16
			messages := 0
			for b.Loop() {
				messages += round
				asArray.post(b, round/size)
				b.StopTimer()
				single.post(b, round)
				asLines.post(b, round/size)
				b.StartTimer()
			}
			b.ReportMetric(float64(messages)/asArray.spent.Seconds(), "array-messages/s")
			b.ReportMetric(float64(messages)/asLines.spent.Seconds(), "lines-messages/s")
			b.ReportMetric(float64(messages)/single.spent.Seconds(), "single-messages/s")
			b.ReportMetric(float64(single.spent)/float64(asArray.spent), "array-to-single")
		})
	}
}

// envelope is a message as clients send it.
const envelope = `{"message_type":"echo","message_data":{"user":42,"note":"about 100 bytes"},"response_notification":"request_123"}`

// poster has open connections to a server of its own.
type poster struct {
	connections []*postConnection
	spent       time.Duration
}

type postConnection struct {
	conn    net.Conn
	reader  *bufio.Reader
	request []byte
	answer  []byte // how its first line begins
}

func newPoster(b *testing.B, handler http.Handler, connections int) *poster {
	server := httptest.NewServer(handler)
	b.Cleanup(server.Close)
	p := &poster{}
	for range connections {
		conn, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = conn.Close() })
		p.connections = append(p.connections, &postConnection{conn: conn, reader: bufio.NewReaderSize(conn, 64<<10)})
	}
	return p.sending("/v1/messages", "application/json", envelope, http.StatusAccepted)
}

// sending sets what is posted, and how it has to be answered.
func (p *poster) sending(path, contentType, body string, status int) *poster {
	for _, c := range p.connections {
		c.request = fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: bench\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s", path, contentType, len(body), body)
		c.answer = fmt.Appendf(nil, "HTTP/1.1 %d", status)
	}
	return p
}

func (p *poster) post(b *testing.B, n int) {
	began := time.Now()
	var posting sync.WaitGroup
	for i, c := range p.connections {
		share := n / len(p.connections)
		if i < n%len(p.connections) {
			share++
		}
		posting.Go(func() {
			for range share {
				if err := c.post(); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	posting.Wait()
	p.spent += time.Since(began)
}

// post sends one request and reads its answer.
func (c *postConnection) post() error {
	if _, err := c.conn.Write(c.request); err != nil {
		return err
	}
	length := 0
	for first := true; ; first = false {
		line, err := c.reader.ReadSlice('\n')
		if err != nil {
			return err
		}
		if first && !bytes.HasPrefix(line, c.answer) {
			return fmt.Errorf("answered %s", line)
		}
		if value, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return err
			}
		}
		if len(line) == 2 {
			_, err := c.reader.Discard(length)
			return err
		}
	}
}
