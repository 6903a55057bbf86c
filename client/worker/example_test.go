package worker_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"os/signal"

	"github.com/activemessage/activemessage/client/worker"
)

func ExampleRun() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	err := worker.Run(ctx, worker.Config{
		URL: "http://127.0.0.1:8080",
		Handlers: map[string]worker.Handler{
			"greet": worker.Typed(func(_ context.Context, _ *worker.Job, name string) (string, error) {
				return "Hello, " + name, nil
			}),
		},
	})
	if err != nil {
		log.Print(err)
	}
}

// A handler needs no server to be tested.
func ExampleTyped() {
	greet := worker.Typed(func(_ context.Context, job *worker.Job, name string) (string, error) {
		job.Progress(0.5, "half way")
		return "Hello, " + name, nil
	})
	result, err := greet(context.Background(), &worker.Job{Data: []byte(`"Ada"`)})
	fmt.Printf("%s %v\n", result.Data, err)
	// Output: "Hello, Ada" <nil>
}
