// Reverse is an example of a worker: it turns texts round, slowly, and tells how far
// it is. The same in TypeScript is client/typescript/example/reverse.ts.
//
//	go run ./client/reverse http://127.0.0.1:8080
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"github.com/activemessage/activemessage/client/worker"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	url := "http://127.0.0.1:8080"
	if len(os.Args) > 1 {
		url = os.Args[1]
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return worker.Run(ctx, worker.Config{
		URL:      url,
		Handlers: map[string]worker.Handler{"reverse": worker.Typed(reverse)},
		Policies: map[string]worker.Policy{"reverse": {Timeout: time.Minute, MaxAttempts: 3}},
	})
}

// reverse takes a text of at most 1,000 characters, a tenth of it at a time.
func reverse(ctx context.Context, job *worker.Job, text string) (string, error) {
	letters := []rune(text)
	if len(letters) > 1000 {
		return "", worker.Permanent(&worker.Error{Code: "too_long", Message: "at most 1,000 characters"})
	}
	for done := range 10 {
		job.Progress(float64(done)/10, fmt.Sprintf("%d of 10", done))
		select {
		case <-time.After(20 * time.Millisecond): // hard work
		case <-ctx.Done():
			return "", context.Cause(ctx)
		}
	}
	slices.Reverse(letters)
	return string(letters), nil
}
