package activemessage_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/activemessage/activemessage/api"
	"github.com/activemessage/activemessage/engine"
	"github.com/activemessage/activemessage/ws"
)

// The whole server inside a program of your own.
func Example() {
	e, err := engine.New(engine.Config{Concurrency: 16})
	if err != nil {
		panic(err)
	}
	shout := engine.Typed(func(_ context.Context, in string) (string, error) { return strings.ToUpper(in), nil })
	if err := e.Register("shout", shout, engine.Policy{Timeout: time.Minute}); err != nil {
		panic(err)
	}
	sockets := ws.New(e, ws.Config{})
	rest, err := api.New(e, api.Config{WebSocket: sockets})
	if err != nil {
		panic(err)
	}
	server := httptest.NewServer(rest)
	defer server.Close()

	response, err := http.Post(server.URL+"/v1/messages", "application/json",
		strings.NewReader(`{"message_type":"shout","message_data":"hello"}`))
	if err != nil {
		panic(err)
	}
	_, _ = io.Copy(io.Discard, response.Body)
	_ = response.Body.Close()
	fmt.Println(response.Status)

	ctx := context.Background()
	sockets.Drain()
	fmt.Println(e.Drain(ctx), sockets.Shutdown(ctx))
	result, err := http.Get(server.URL + response.Header.Get("Location") + "/result")
	if err != nil {
		panic(err)
	}
	data, _ := io.ReadAll(result.Body)
	_ = result.Body.Close()
	fmt.Println(string(data))
	// Output:
	// 202 Accepted
	// <nil> <nil>
	// "HELLO"
}
