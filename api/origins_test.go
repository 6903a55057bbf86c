package api_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/activemessage/activemessage/api"
	"github.com/activemessage/activemessage/engine"
	"github.com/activemessage/activemessage/internal/toolchain"
)

// A page of an allowed origin submits, reads the answer with its headers, and follows
// by EventSource; one of another origin may do nothing of it. Asked of a browser,
// whose rules these are.
func TestPagesOfOtherOriginsInABrowser(t *testing.T) {
	t.Parallel()
	browser := toolchain.Browser(t)
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte("<!doctype html><title>page</title>"))
	}))
	defer page.Close()
	if err := chromedp.Do(browser, chromedp.Navigate(page.URL)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, origin, want string
	}{
		{"allowed", page.URL, "202 /v1/messages/, request_1:ok"},
		{"another", "https://app.example", "TypeError: Failed to fetch, error"},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := start(t, api.Config{AllowOrigins: []string{c.origin}})
			got, err := chromedp.Run(browser, chromedp.Evaluate[string](`(async url => {
				const source = new EventSource(url + '/v1/notifications?subscribe=*&since=0');
				const told = new Promise(resolve => {
					source.onmessage = event => resolve(JSON.parse(event.data).notification);
					source.onerror = event => resolve(event.type);
				});
				const answer = await fetch(url + '/v1/messages', {
					method: 'POST',
					headers: {'Content-Type': 'application/json', 'Idempotency-Key': 'k'},
					body: JSON.stringify({message_type: 'echo', response_notification: 'request_1'}),
				}).then(response => response.status + ' ' + response.headers.get('Location').slice(0, 13), String);
				const result = answer + ', ' + await told;
				source.close();
				return result;
			})('`+server.URL+`')`, chromedp.EvalAwaitPromise))
			if err != nil || got != c.want {
				t.Errorf("%q, %v, expected %q", got, err, c.want)
			}
			server.CloseClientConnections() // browsers open some ahead of time
		})
	}
}

func TestAllowedOriginsAreChecked(t *testing.T) {
	t.Parallel()
	e, err := engine.New(engine.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = e.Drain(t.Context()) }()
	for _, pattern := range []string{"", "https://[a", "https://", "app.example/path"} {
		if _, err := api.New(e, api.Config{AllowOrigins: []string{pattern}}); err == nil {
			t.Errorf("%q is accepted", pattern)
		}
	}
}
