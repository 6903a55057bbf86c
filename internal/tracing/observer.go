package tracing

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/activemessage/activemessage/engine"
)

var _ engine.Observer = (*Tracing)(nil)

// Submit makes the span of a submission. It is a child of the request's, or of the
// trace the message says it belongs to; the message carries it on as its own
// traceparent, as W3C Trace Context has a participant do.
func (t *Tracing) Submit(ctx context.Context, s *engine.Submission) func(engine.Receipt, error) {
	ctx, span := t.tracer.Start(t.parent(ctx, s.Origin), "submit "+s.MessageType,
		trace.WithSpanKind(trace.SpanKindProducer), trace.WithAttributes(messageType(s.MessageType)))
	carrier := propagation.MapCarrier{}
	t.propagator.Inject(ctx, carrier)
	origin := engine.Origin{Traceparent: carrier["traceparent"], Tracestate: carrier["tracestate"]}
	if !engine.ValidTracestate(origin.Tracestate) { // as long as the request's may be
		origin.Tracestate = ""
	}
	if s.Origin != nil {
		origin.CloudEvent = s.Origin.CloudEvent
	}
	s.Origin = &origin
	return func(receipt engine.Receipt, err error) {
		if err != nil {
			span.SetStatus(codes.Error, err.Error())
		} else {
			span.SetAttributes(messageID(receipt.ID))
		}
		span.End()
	}
}

// parent returns a context whose span is the message's parent. A message of a batch
// may belong to another trace than the request.
func (t *Tracing) parent(ctx context.Context, origin *engine.Origin) context.Context {
	if origin == nil || origin.Traceparent == "" {
		return ctx
	}
	said := t.remote(ctx, origin)
	if trace.SpanContextFromContext(ctx).TraceID() == trace.SpanContextFromContext(said).TraceID() {
		return ctx
	}
	return said
}

// remote returns ctx with the span that origin names.
func (t *Tracing) remote(ctx context.Context, origin *engine.Origin) context.Context {
	return t.propagator.Extract(ctx, propagation.MapCarrier{"traceparent": origin.Traceparent, "tracestate": origin.Tracestate})
}

// Run makes the spans of one attempt: of its wait, which is over, and of its run.
func (t *Tracing) Run(m *engine.Message, queuedAt time.Time) (context.Context, engine.Run) {
	ctx := context.Background()
	if m.Origin != nil {
		ctx = t.remote(ctx, m.Origin)
	}
	now := time.Now()
	common := trace.WithAttributes(messageType(m.MessageType), messageID(m.ID), attribute.Int("activemessage.attempt", m.Attempt))
	_, wait := t.tracer.Start(ctx, "queue "+m.MessageType, trace.WithTimestamp(queuedAt), common)
	wait.End(trace.WithTimestamp(now))
	ctx, span := t.tracer.Start(ctx, "run "+m.MessageType, trace.WithTimestamp(now), trace.WithSpanKind(trace.SpanKindConsumer), common)
	return ctx, &run{tracing: t, ctx: ctx, span: span, messageType: m.MessageType}
}

// run is one attempt's span.
type run struct {
	tracing     *Tracing
	ctx         context.Context
	span        trace.Span
	messageType string
	returned    time.Time
}

func (r *run) Returned(err error) {
	r.returned = time.Now()
	if engine.Fails(err) {
		r.span.SetStatus(codes.Error, err.Error())
	}
}

func (r *run) Settled(state engine.State, published bool) {
	if published {
		_, publish := r.tracing.tracer.Start(r.ctx, "publish "+r.messageType,
			trace.WithTimestamp(r.returned), trace.WithSpanKind(trace.SpanKindProducer))
		publish.End()
	}
	if state != "" {
		r.span.SetAttributes(attribute.String("activemessage.state", string(state)))
	}
	r.span.End(trace.WithTimestamp(r.returned))
}

// The attributes are named as OpenTelemetry's conventions for messaging have them.
func messageType(name string) attribute.KeyValue {
	return attribute.String("messaging.destination.name", name)
}

func messageID(id engine.ID) attribute.KeyValue {
	return attribute.String("messaging.message.id", id.String())
}
