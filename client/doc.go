// Package client speaks to a server over REST.
//
// # Usage
//
//	c, err := client.New("http://127.0.0.1:8080")
//	receipt, err := c.SubmitMessageWithResponse(ctx, nil, client.Submission{
//		MessageType: "echo",
//		MessageData: map[string]int{"user": 42},
//	})
//	message, err := c.GetMessageWithResponse(ctx, receipt.JSON202.ID, &client.GetMessageParams{Prefer: new("wait=10")})
//	fmt.Println(message.JSON200.State)
//
// What is absent from a message is the zero value of its field; parameters of a
// query are pointers, and nil is absent. Of notifications,
// ReadNotificationsWithResponse reads pages, and ReadNotifications has the body of
// an event stream; a WebSocket needs a library of its own.
//
// # Errors
//
// With a client from New, every answer that is not a success is a *ProblemError:
//
//	if problem, ok := errors.AsType[*client.ProblemError](err); ok && problem.Code == client.ProblemCodeQueueFull {
//		retryIn(problem.RetryAfter)
//	}
//
// NewClient and NewClientWithResponses leave it to their caller to look at the
// status.
//
// # Concurrency
//
// A client may be used by many goroutines at once.
//
// # Where it comes from
//
// generated.go is made from openapi.yaml by go generate, and never edited.
// oapi-codegen.yaml and overlay.yaml say how.
package client

//go:generate go run github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen@v2.8.2 --config oapi-codegen.yaml -o generated.go ../openapi.yaml
