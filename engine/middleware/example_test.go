package middleware_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/activemessage/activemessage/engine"
	"github.com/activemessage/activemessage/engine/middleware"
)

func Example() {
	logger := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == "time" || a.Key == "id" || a.Key == "duration" {
			return slog.Attr{} // which are others every time
		}
		return a
	}}))
	h := engine.Chain(
		engine.Typed(func(_ context.Context, to string) (string, error) {
			if to == "" {
				return "", errors.New("nobody is named")
			}
			return "sent", nil
		}),
		middleware.RateLimit(10, 20),
		middleware.Tracing(nil),
		middleware.Logging(logger),
		middleware.Recover())
	for _, data := range []string{`"ada"`, `""`} {
		_, _ = h.Handle(context.Background(), &engine.Message{MessageType: "mail", MessageData: []byte(data), Attempt: 1})
	}
	// Output:
	// level=INFO msg="handler succeeded" message_type=mail attempt=1
	// level=WARN msg="handler failed" message_type=mail attempt=1 error="nobody is named"
}

func ExampleRecover() {
	h := engine.Chain(
		engine.HandlerFunc(func(context.Context, *engine.Message) (engine.Result, error) { panic("oops") }),
		middleware.Recover())
	_, err := h.Handle(context.Background(), &engine.Message{})
	fmt.Println(err)
	if p, is := errors.AsType[*middleware.PanicError](err); is {
		fmt.Println(p.Value, len(p.Stack) > 0)
	}
	// Output:
	// handler crashed
	// oops true
}

func ExampleRateLimit() {
	h := middleware.RateLimit(1, 1)(engine.HandlerFunc(func(context.Context, *engine.Message) (engine.Result, error) {
		fmt.Println("begins")
		return engine.Result{}, nil
	}))
	for range 2 {
		_, err := h.Handle(context.Background(), &engine.Message{})
		fmt.Println("put off:", err != nil, "a failure:", engine.Fails(err))
	}
	// Output:
	// begins
	// put off: false a failure: false
	// put off: true a failure: false
}
