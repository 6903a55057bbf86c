package main

import (
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/activemessage/activemessage/internal/contract"
)

// spans collects the names of the spans of one trace, as an OTLP collector gets them.
type spans struct {
	t     *testing.T
	trace string
	mu    sync.Mutex
	names []string
}

func (s *spans) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var reader io.Reader = r.Body
	if r.Header.Get("Content-Encoding") == "gzip" {
		unzipped, err := gzip.NewReader(r.Body)
		if err != nil {
			s.t.Error(err)
			return
		}
		reader = unzipped
	}
	body, err := io.ReadAll(reader)
	if err != nil || r.URL.Path != "/v1/traces" {
		s.t.Errorf("%s: %v", r.URL.Path, err)
	}
	var export collector.ExportTraceServiceRequest
	if err := proto.Unmarshal(body, &export); err != nil {
		s.t.Error(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, resource := range export.ResourceSpans {
		for _, scope := range resource.ScopeSpans {
			for _, span := range scope.Spans {
				if string(span.TraceId) == s.trace {
					s.names = append(s.names, span.Name)
				}
			}
		}
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
}

// One variable switches tracing on; what a message went through is one trace, which
// its submitter began, and a server that stops sends the last of it.
func TestSpansAreExported(t *testing.T) {
	got := &spans{t: t, trace: "\x0a\xf7\x65\x19\x16\xcd\x43\xdd\x84\x48\xeb\x21\x1c\x80\x31\x9c"}
	server := httptest.NewServer(got)
	defer server.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", server.URL)
	p := startProcess(t)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.url+"/v1/messages",
		strings.NewReader(`{"message_type":"echo","response_notification":"r"}`))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	r.Header.Set("Prefer", "wait=30") // a server that stops before would hand it back
	response, err := contract.Client(t).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	p.stop()
	got.mu.Lock()
	defer got.mu.Unlock()
	slices.Sort(got.names)
	if names := strings.Join(got.names, ", "); names != "POST /v1/messages, publish echo, queue echo, run echo, submit echo" {
		t.Errorf("spans %s", names)
	}
}
