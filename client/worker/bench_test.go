package worker_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/activemessage/activemessage/client/worker"
	"github.com/activemessage/activemessage/engine"
	"github.com/activemessage/activemessage/engine/remote"
	"github.com/activemessage/activemessage/ws"
)

// BenchmarkJobs runs empty jobs in a worker over a real socket, with a server beside it on
// the same cores. The server keeps nothing on disk.
func BenchmarkJobs(b *testing.B) {
	for _, window := range []int{1, 4, 16, 64} {
		b.Run(fmt.Sprintf("window=%d", window), func(b *testing.B) {
			e, err := engine.New(engine.Config{QueueLimit: 1 << 20})
			if err != nil {
				b.Fatal(err)
			}
			if err := e.Register("work", engine.Outside(), engine.Policy{QueueLimit: 1 << 20}); err != nil {
				b.Fatal(err)
			}
			workers := remote.New(e, remote.Config{})
			sockets := ws.NewWork(workers, ws.Config{CloseSpread: time.Millisecond})
			server := httptest.NewServer(sockets)
			ctx, stop := context.WithCancel(context.Background())
			ended := make(chan error, 1)
			done, left := make(chan struct{}, 1), b.N
			_ = left
			go func() {
				ended <- worker.Run(ctx, worker.Config{URL: server.URL, Window: window, Logger: slog.New(slog.DiscardHandler),
					Handlers: one(func(_ context.Context, job *worker.Job) (worker.Result, error) {
						return worker.Result{Data: job.Data, ContentType: job.ContentType}, nil
					})})
			}()
			sub, err := e.Subscribe(engine.Selector{ResponseNotification: "*"}, e.Cursor())
			if err != nil {
				b.Fatal(err)
			}
			go func() {
				for n := 0; n < b.N; {
					d, err := sub.Next(ctx)
					if err != nil {
						return
					}
					n += len(d.Notifications)
					if d.Gap != nil {
						n += int(d.Gap.To - d.Gap.From + 1)
					}
				}
				close(done)
			}()
			b.ResetTimer()
			for range b.N {
				for {
					_, err := e.Submit(ctx, engine.Submission{MessageType: "work", MessageData: []byte(`{"n":1}`), ContentType: "application/json", ResponseNotification: "x"})
					if err == nil {
						break
					}
				}
			}
			<-done
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "jobs/s")
			b.StopTimer()
			sub.Close()
			stop()
			<-ended
			now, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			_ = e.Drain(now)
			_ = sockets.Shutdown(now)
			workers.Close()
			server.Close()
		})
	}
}
