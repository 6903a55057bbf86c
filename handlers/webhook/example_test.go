package webhook_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/activemessage/activemessage/engine"
	"github.com/activemessage/activemessage/handlers/webhook"
)

// A receiver verifies the request with a library of Standard Webhooks, and answers with
// the result.
func ExampleNew() {
	if err := example(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	// Output:
	// request_1:ok invoice 42 is booked
}

func example(ctx context.Context) error {
	const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw" // in earnest: openssl rand -base64 32
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		verifier, err := standardwebhooks.NewWebhook(secret)
		if err != nil || verifier.Verify(body, r.Header) != nil {
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		_, _ = fmt.Fprintf(w, "invoice %s is booked", body)
	}))
	defer receiver.Close()

	h, err := webhook.New(webhook.Config{
		URL:     receiver.URL,
		Secrets: []string{secret},
		Allow:   []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}, // it is not public
	})
	if err != nil {
		return err
	}
	defer h.Close()
	e, err := engine.New(engine.Config{})
	if err != nil {
		return err
	}
	if err := e.Register("invoice.created", h, engine.Policy{MaxAttempts: 8}); err != nil {
		return err
	}
	sub, err := e.Subscribe(engine.Selector{ResponseNotification: "request_*"}, engine.Cursor{})
	if err != nil {
		return err
	}
	defer sub.Close()
	if _, err := e.Submit(ctx, engine.Submission{
		MessageType:          "invoice.created",
		MessageData:          []byte("42"),
		ResponseNotification: "request_1",
	}); err != nil {
		return err
	}
	delivery, err := sub.Next(ctx)
	if err != nil {
		return err
	}
	for _, n := range delivery.Notifications {
		fmt.Println(n.String(), string(n.Result.Data))
	}
	return e.Drain(ctx)
}
