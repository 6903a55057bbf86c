// Package tracing follows messages with OpenTelemetry: spans for submit, queue
// wait, run and publish, sent by OTLP. The standard OTEL_ variables switch it on;
// without them the server has no observer and pays nothing.
//
// It is the one door to OpenTelemetry. Sampling, batching and their bounds are the
// SDK's, which reads OTEL_TRACES_SAMPLER, OTEL_BSP_MAX_QUEUE_SIZE and the others.
package tracing

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

const scope = "github.com/activemessage/activemessage"

// Tracing makes spans and sends them.
type Tracing struct {
	provider   *sdktrace.TracerProvider
	tracer     trace.Tracer
	propagator propagation.TraceContext
}

// FromEnvironment returns what the OTEL_ variables ask for; nil, without an error,
// if they ask for nothing. getenv is os.Getenv. The error says which variable asks
// for what is not there.
func FromEnvironment(ctx context.Context, getenv func(string) string, version string) (*Tracing, error) {
	wanted, err := wanted(getenv)
	if err != nil || !wanted {
		return nil, err
	}
	exporter, err := otlptracehttp.New(ctx) // reads OTEL_EXPORTER_OTLP_…
	if err != nil {
		return nil, fmt.Errorf("OTLP exporter: %w", err)
	}
	t, err := New(ctx, sdktrace.NewBatchSpanProcessor(exporter), version)
	if err != nil {
		return nil, errors.Join(err, exporter.Shutdown(ctx))
	}
	return t, nil
}

// wanted reports whether spans shall be exported.
func wanted(getenv func(string) string) (bool, error) {
	exporter := getenv("OTEL_TRACES_EXPORTER")
	endpoint := getenv("OTEL_EXPORTER_OTLP_ENDPOINT") + getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
	switch {
	case strings.EqualFold(getenv("OTEL_SDK_DISABLED"), "true"), exporter == "none", exporter == "" && endpoint == "":
		return false, nil
	case exporter != "" && exporter != "otlp":
		return false, fmt.Errorf("OTEL_TRACES_EXPORTER %q is not there: use otlp or none", exporter)
	}
	for _, name := range []string{"OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"} {
		if protocol := getenv(name); protocol != "" && protocol != "http/protobuf" {
			return false, fmt.Errorf("%s %q is not there: use http/protobuf", name, protocol)
		}
	}
	return true, nil
}

// New returns a Tracing that hands its spans to processor, which it shuts down.
func New(ctx context.Context, processor sdktrace.SpanProcessor, version string) (*Tracing, error) {
	resources, err := resource.New(ctx,
		resource.WithAttributes(attribute.String("service.name", "activemessage"), attribute.String("service.version", version)),
		resource.WithTelemetrySDK(),
		resource.WithFromEnv(), // OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES win
	)
	if err != nil {
		return nil, fmt.Errorf("resource: %w", err)
	}
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(processor), sdktrace.WithResource(resources))
	return &Tracing{provider: provider, tracer: provider.Tracer(scope, trace.WithInstrumentationVersion(version))}, nil
}

// Middleware makes a span of each request that does work: not of probes, scrapes,
// pages, and streams without end. It goes into a chi router, so that spans are named
// by their route.
func (t *Tracing) Middleware(next http.Handler) http.Handler {
	return otelhttp.NewHandler(next, "http",
		otelhttp.WithTracerProvider(t.provider),
		otelhttp.WithPropagators(t.propagator),
		otelhttp.WithFilter(func(r *http.Request) bool {
			return strings.HasPrefix(r.URL.Path, "/v1/") && r.URL.Path != "/v1/ws" && r.URL.Path != "/v1/notifications"
		}),
		otelhttp.WithSpanNameFormatter(func(_ string, r *http.Request) string {
			if r.Pattern == "" {
				return r.Method
			}
			return r.Method + " " + r.Pattern
		}),
	)
}

// Shutdown sends what is left and ends the exporter's goroutine.
func (t *Tracing) Shutdown(ctx context.Context) error {
	if err := t.provider.Shutdown(ctx); err != nil {
		return fmt.Errorf("tracing: %w", err)
	}
	return nil
}

// LogTo sends what the SDK has to complain of, such as an endpoint that does not
// answer, to a logger; for the whole process, as the SDK has it.
func LogTo(logger *slog.Logger) {
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { logger.Warn("tracing", slog.Any("error", err)) }))
}
