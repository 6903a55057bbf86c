package metrics_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

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
	text := scrape(t, e.Stats)
	for _, line := range []string{
		`activemessage_messages_submitted_total{message_type="echo"} 1`,
		`activemessage_messages_refused_total{reason="unknown_type"} 1`,
		`activemessage_messages_refused_total{reason="storage_full"} 0`,
		`activemessage_messages_lost_total{message_type="echo"} 0`,
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
	if strings.Contains(text, "activemessage_store_") {
		t.Error("an engine without a store has metrics of one")
	}
	lint(t, text)
}

func TestScrapeOfReloads(t *testing.T) {
	t.Parallel()
	answer := httptest.NewRecorder()
	metrics.Handler(metrics.Source{
		Engine:      func() engine.Stats { return engine.Stats{} },
		Connections: func() int { return 0 },
		Reloads: func() metrics.Reloads {
			return metrics.Reloads{Succeeded: 2, Failed: 3, LastSuccess: time.Unix(1700000000, 500_000_000)}
		},
	}).ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	text := answer.Body.String()
	for _, line := range []string{
		`activemessage_config_reloads_total{result="ok"} 2`,
		`activemessage_config_reloads_total{result="failed"} 3`,
		`activemessage_config_last_reload_success_timestamp_seconds 1.7000000005e+09`,
	} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("the scrape lacks %s", line)
		}
	}
	lint(t, text)
}

func TestScrapeOfAStore(t *testing.T) {
	t.Parallel()
	stats := engine.Stats{
		Types:   map[string]engine.TypeStats{"echo": {Lost: 2}},
		Refused: map[engine.RefusalReason]uint64{engine.RefusedStorageFull: 4},
		Store: &engine.StoreStats{
			Commits: 5, Changes: 60, Usage: engine.Usage{Used: 700}, Full: true, Forgotten: 8, ForgottenNotifications: 9,
			CommitDuration: engine.Histogram{Bounds: []time.Duration{time.Millisecond}, Counts: []uint64{3, 2}, Count: 5, Sum: time.Second},
		},
	}
	text := scrape(t, func() engine.Stats { return stats })
	for _, line := range []string{
		`activemessage_messages_lost_total{message_type="echo"} 2`,
		`activemessage_messages_refused_total{reason="storage_full"} 4`,
		`activemessage_store_commits_total 5`,
		`activemessage_store_changes_total 60`,
		`activemessage_store_commit_duration_seconds_bucket{le="0.001"} 3`,
		`activemessage_store_commit_duration_seconds_count 5`,
		`activemessage_store_used_bytes 700`,
		`activemessage_store_full 1`,
		`activemessage_store_messages_forgotten_total 8`,
		`activemessage_store_notifications_forgotten_total 9`,
	} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("the scrape lacks %s", line)
		}
	}
	if strings.Contains(text, "activemessage_store_free_bytes") {
		t.Error("room that is not known is shown")
	}
	lint(t, text)
}

func scrape(t *testing.T, stats func() engine.Stats) string {
	t.Helper()
	server := httptest.NewServer(metrics.Handler(metrics.Source{Engine: stats, Connections: func() int { return 3 }, Version: "v1"}))
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
	return string(body)
}

func lint(t *testing.T, text string) {
	t.Helper()
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
