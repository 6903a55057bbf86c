package webhook

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/activemessage/activemessage/engine"
)

// BenchmarkHandle measures the handler against a bare http.Client that POSTs the same
// data and headers, signed once for all, to the same receiver; in turns within one run,
// with so many under way at once. The ratio is what to look at: what signing, the guard
// and the breaker leave of it.
func BenchmarkHandle(b *testing.B) {
	for _, c := range []struct{ underway, size int }{{1, 100}, {16, 100}, {16, 64 << 10}} {
		b.Run(fmt.Sprintf("underway=%d/bytes=%d", c.underway, c.size), func(b *testing.B) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				w.Header().Set("Content-Type", "application/json")
				_, _ = io.WriteString(w, `{"ok":true}`)
			}))
			b.Cleanup(server.Close)
			data := strings.Repeat("x", c.size)
			subject, header := handlerCall(b, server.URL, data)
			runInTurns(b, c.underway, subject, clientCall(b, server.URL, []byte(data), header))
		})
	}
}

func handlerCall(b *testing.B, url, data string) (func(context.Context) error, http.Header) {
	h := start(b, Config{URL: url, Callback: "https://am.example"})
	m := message(data)
	m.Origin = &engine.Origin{Traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
	return func(ctx context.Context) error {
		_, err := h.Handle(ctx, m)
		return err
	}, h.request(b.Context(), m).Header
}

// clientCall is the floor, with as many connections kept as the handler does.
func clientCall(b *testing.B, url string, data []byte, header http.Header) func(context.Context) error {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: maxIdle}}
	b.Cleanup(client.CloseIdleConnections)
	return func(ctx context.Context) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(data))
		if err != nil {
			return err
		}
		request.Header = header.Clone()
		response, err := client.Do(request)
		if err != nil {
			return err
		}
		defer func() { _ = response.Body.Close() }()
		_, err = io.ReadAll(response.Body)
		return err
	}
}

// runInTurns makes b.N calls of both, in alternating rounds.
func runInTurns(b *testing.B, underway int, subject, floor func(context.Context) error) {
	const round = 500
	var spent, bare time.Duration
	b.ReportAllocs()
	for done := 0; done < b.N; done += round {
		n := min(round, b.N-done)
		spent += runRound(b, underway, n, subject)
		b.StopTimer()
		bare += runRound(b, underway, n, floor)
		b.StartTimer()
	}
	b.ReportMetric(float64(b.N)/spent.Seconds(), "msg/s")
	b.ReportMetric(float64(bare)/float64(spent), "ratio-to-floor")
}

func runRound(b *testing.B, underway, n int, call func(context.Context) error) time.Duration {
	began := time.Now()
	var wg sync.WaitGroup
	for i := range min(underway, n) {
		wg.Go(func() {
			for range (n - i + underway - 1) / underway {
				if err := call(b.Context()); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	return time.Since(began)
}
