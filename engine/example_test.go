package engine_test

import (
	"context"
	"fmt"

	"github.com/activemessage/activemessage/engine"
)

func ExampleNew() {
	ctx := context.Background()
	e, err := engine.New(engine.Config{Concurrency: 16})
	if err != nil {
		panic(err)
	}
	greet := func(_ context.Context, who struct{ Name string }) (string, error) {
		if who.Name == "" {
			return "", &engine.Error{Message: "name is missing"}
		}
		return "Hello, " + who.Name, nil
	}
	if err := e.Register("greet", engine.Typed(greet), engine.Policy{}); err != nil {
		panic(err)
	}
	sub, err := e.Subscribe(engine.Selector{ResponseNotification: "request_*"}, engine.Cursor{})
	if err != nil {
		panic(err)
	}
	for i, data := range []string{`{"name":"Ada"}`, `{}`} {
		_, err = e.Submit(ctx, engine.Submission{
			MessageType:          "greet",
			MessageData:          []byte(data),
			ResponseNotification: fmt.Sprintf("request_%d", i),
			Key:                  "in order",
		})
		if err != nil {
			panic(err)
		}
	}
	if err := e.Drain(ctx); err != nil {
		panic(err)
	}
	for {
		delivery, err := sub.Next(ctx)
		if err != nil {
			break // engine.ErrClosed: everything was read
		}
		for _, n := range delivery.Notifications {
			fmt.Println(n.String(), string(n.Result.Data))
		}
	}
	// Output:
	// request_0:ok "Hello, Ada"
	// request_1:err(name is missing)
}

func ExampleChain() {
	announce := func(next engine.Handler) engine.Handler {
		return engine.HandlerFunc(func(ctx context.Context, m *engine.Message) (engine.Result, error) {
			fmt.Println("before", m.MessageType)
			defer fmt.Println("after", m.MessageType)
			return next.Handle(ctx, m)
		})
	}
	work := engine.HandlerFunc(func(context.Context, *engine.Message) (engine.Result, error) {
		fmt.Println("work")
		return engine.Result{}, nil
	})
	// A handler needs no engine to be tried.
	_, _ = engine.Chain(work, announce).Handle(context.Background(), &engine.Message{MessageType: "demo"})
	// Output:
	// before demo
	// work
	// after demo
}
