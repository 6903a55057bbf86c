package tracing_test

import (
	"context"
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/activemessage/activemessage/engine"
	"github.com/activemessage/activemessage/internal/tracing"
)

// BenchmarkMessage runs messages one after the other, untraced, traced without
// being sampled, and traced with a batching exporter that drops what it gets.
func BenchmarkMessage(b *testing.B) {
	exporter := sdktrace.NewBatchSpanProcessor(tracetest.NewNoopExporter())
	for _, c := range []struct {
		name   string
		traced bool
	}{{"otel=off", false}, {"otel=on", true}} {
		b.Run(c.name, func(b *testing.B) {
			var cfg engine.Config
			if c.traced {
				traces, err := tracing.New(b.Context(), exporter, "bench")
				if err != nil {
					b.Fatal(err)
				}
				defer func() { _ = traces.Shutdown(context.Background()) }()
				cfg.Observer = traces
			}
			e, err := engine.New(cfg)
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = e.Drain(context.Background()) }()
			done := make(chan struct{})
			handler := engine.HandlerFunc(func(context.Context, *engine.Message) (engine.Result, error) {
				done <- struct{}{}
				return engine.Result{}, nil
			})
			if err := e.Register("work", handler, engine.Policy{}); err != nil {
				b.Fatal(err)
			}
			submission := engine.Submission{MessageType: "work", MessageData: []byte("data")}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := e.Submit(context.Background(), submission); err != nil {
					b.Fatal(err)
				}
				<-done
			}
		})
	}
}
