package middleware

import (
	"context"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/activemessage/activemessage/engine"
)

// Tracing makes an OpenTelemetry span of every attempt, which the handler's context has.
// Its parent is the context's span (an engine.Observer's), or else what the message's
// Origin names as W3C Trace Context. A failure sets the span's status, with the error's
// text, and so does a panic that passes. A nil provider is the process's, as
// otel.SetTracerProvider set it.
func Tracing(provider trace.TracerProvider) engine.Middleware {
	if provider == nil {
		provider = otel.GetTracerProvider()
	}
	tracer := provider.Tracer("github.com/activemessage/activemessage/engine/middleware")
	return func(next engine.Handler) engine.Handler {
		return wrapped{func(ctx context.Context, m *engine.Message) (result engine.Result, err error) {
			ctx, span := tracer.Start(parent(ctx, m.Origin), "handle "+m.MessageType,
				trace.WithSpanKind(trace.SpanKindConsumer), trace.WithAttributes(
					attribute.String("messaging.destination.name", m.MessageType),
					attribute.String("messaging.message.id", m.ID.String()),
					attribute.Int("activemessage.attempt", m.Attempt)))
			returned := false
			defer func() { // also of a panic, which goes on
				switch {
				case !returned:
					span.SetStatus(codes.Error, "handler crashed")
				case engine.Fails(err):
					span.SetStatus(codes.Error, err.Error())
				}
				span.End()
			}()
			result, err = next.Handle(ctx, m)
			returned = true
			return result, err
		}, next}
	}
}

// parent returns a context whose span is the attempt's parent.
func parent(ctx context.Context, origin *engine.Origin) context.Context {
	if origin == nil || trace.SpanContextFromContext(ctx).IsValid() {
		return ctx
	}
	carrier := propagation.MapCarrier{"traceparent": origin.Traceparent, "tracestate": origin.Tracestate}
	return propagation.TraceContext{}.Extract(ctx, carrier)
}
