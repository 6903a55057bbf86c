package worker_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/activemessage/activemessage/client/worker"
	"github.com/activemessage/activemessage/engine"
	"github.com/activemessage/activemessage/engine/remote"
	"github.com/activemessage/activemessage/ws"
)

// BenchmarkJobs runs empty jobs in a worker over a real socket. The server, which keeps
// nothing on disk, and who submits are beside it on the same cores.
func BenchmarkJobs(b *testing.B) {
	for _, window := range []int{1, 4, 16, 64} {
		b.Run(fmt.Sprintf("window=%d", window), func(b *testing.B) { benchmarkJobs(b, window) })
	}
}

func benchmarkJobs(b *testing.B, window int) {
	const backlog = 1000
	e, err := engine.New(engine.Config{})
	if err != nil {
		b.Fatal(err)
	}
	if err := e.Register("work", engine.Outside(), engine.Policy{}); err != nil {
		b.Fatal(err)
	}
	workers := remote.New(e, remote.Config{})
	sockets := ws.NewWork(workers, ws.Config{CloseSpread: time.Millisecond})
	server := httptest.NewServer(sockets)
	ctx, stop := context.WithCancel(context.Background())
	room, ended, all := make(chan struct{}, backlog), make(chan error, 1), make(chan struct{})
	var ran atomic.Int64
	go func() {
		ended <- worker.Run(ctx, worker.Config{
			URL: server.URL, Window: window, Logger: slog.New(slog.DiscardHandler),
			Handlers: one(func(_ context.Context, job *worker.Job) (worker.Result, error) {
				<-room
				if ran.Add(1) == int64(b.N) {
					close(all)
				}
				return worker.Result{Data: job.Data, ContentType: job.ContentType}, nil
			}),
		})
	}()
	b.ResetTimer()
	for range b.N {
		room <- struct{}{}
		if _, err := e.Submit(ctx, engine.Submission{MessageType: "work", MessageData: []byte(`{"n":1}`), ContentType: "application/json"}); err != nil {
			b.Fatal(err)
		}
	}
	<-all
	stop()
	if err := <-ended; err != nil {
		b.Fatal(err)
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "jobs/s")
	now, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := e.Drain(now); err != nil {
		b.Error(err)
	}
	if err := sockets.Shutdown(now); err != nil {
		b.Error(err)
	}
	workers.Close()
	server.Close()
}
