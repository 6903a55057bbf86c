package metrics_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/activemessage/activemessage/engine"
	"github.com/activemessage/activemessage/handlers"
	"github.com/activemessage/activemessage/internal/metrics"
)

func TestScrape(t *testing.T) {
	t.Parallel()
	e, err := engine.New(engine.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if err := handlers.RegisterExamples(e); err != nil {
		t.Fatal(err)
	}
	for _, messageType := range []string{"echo", "panic", "nobody-knows-this"} {
		_, _ = e.Submit(context.Background(), engine.Submission{MessageType: messageType, ResponseNotification: "p"})
	}
	if err := e.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(metrics.Handler(metrics.Source{Engine: e.Stats, Connections: func() int { return 3 }, Version: "v1"}))
	defer server.Close()
	response, err := http.Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	text := string(body)
	for _, line := range []string{
		`activemessage_messages_submitted_total{message_type="echo"} 1`,
		`activemessage_messages_refused_total{reason="unknown_type"} 1`,
		`activemessage_outcomes_total{message_type="panic",state="failed"} 1`,
		`activemessage_handler_duration_seconds_count{message_type="echo"} 1`,
		`activemessage_queue_wait_seconds_bucket{message_type="echo",le="+Inf"} 1`,
		`activemessage_notifications_published_total 3`,
		`activemessage_websocket_connections 3`,
		`activemessage_draining 1`,
		`activemessage_build_info{version="v1"} 1`,
	} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("the scrape lacks %s", line)
		}
	}
	if strings.Contains(text, "nobody-knows-this") {
		t.Error("a type that is not registered became a label")
	}
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "activemessage_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
}
