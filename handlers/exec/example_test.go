//go:build unix

package exec_test

import (
	"context"
	"fmt"

	"github.com/activemessage/activemessage/engine"
	"github.com/activemessage/activemessage/handlers/exec"
)

func ExampleNew() {
	ctx := context.Background()
	e, err := engine.New(engine.Config{})
	if err != nil {
		panic(err)
	}
	shout, err := exec.New(exec.Config{Command: []string{"tr", "a-z", "A-Z"}, ResultType: "text/plain"})
	if err != nil {
		panic(err) // it says what to change, such as a program that is not installed
	}
	if err := e.Register("shout", shout, engine.Policy{Concurrency: 2}); err != nil {
		panic(err)
	}
	receipt, err := e.Submit(ctx, engine.Submission{MessageType: "shout", MessageData: []byte("$(who) goes there?")})
	if err != nil {
		panic(err)
	}
	status, err := e.Wait(ctx, receipt.ID)
	if err != nil {
		panic(err)
	}
	fmt.Printf("%s: %s\n", status.State, status.Result.Data)
	if err := e.Drain(ctx); err != nil {
		panic(err)
	}
	// Output: succeeded: $(WHO) GOES THERE?
}
