package engine_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/activemessage/activemessage/engine"
)

// The tests that the original design names; each asserts what its name says.

// A message names its handler, is run, and its outcome is told: both ways.
func TestActiveMessageFlow(t *testing.T) {
	t.Parallel()
	e := start(t, engine.Config{})
	type user struct {
		ID   int    `json:"id"`
		Name string `json:"name"`
	}
	err := e.Register("user.create", engine.Typed(func(_ context.Context, in user) (user, error) {
		if in.Name == "" {
			return user{}, &engine.Error{Message: "Invalid data format"}
		}
		in.ID = 42
		return in, nil
	}), engine.Policy{})
	if err != nil {
		t.Fatal(err)
	}
	sub := subscribe(t, e, "request_*", engine.Cursor{})
	good := submit(t, e, engine.Submission{MessageType: "user.create", MessageData: []byte(`{"name":"Ada"}`), ResponseNotification: "request_123"})
	if good.State != engine.StateQueued || good.MessageType != "user.create" || good.ID.IsZero() {
		t.Errorf("receipt %+v", good)
	}
	n := read(t, sub, 1)[0]
	if n.String() != "request_123:ok" || string(n.Result.Data) != `{"id":42,"name":"Ada"}` || n.Result.ContentType != "application/json" {
		t.Errorf("%s with %s", n.String(), n.Result.Data)
	}
	submit(t, e, engine.Submission{MessageType: "user.create", MessageData: []byte(`{}`), ResponseNotification: "request_456"})
	if got := read(t, sub, 1)[0].String(); got != "request_456:err(Invalid data format)" {
		t.Error(got)
	}
	status, err := e.Get(good.ID)
	if err != nil || status.State != engine.StateSucceeded || status.Attempt != 1 ||
		status.StartedAt.Before(status.AcceptedAt) || status.FinishedAt.Before(status.StartedAt) {
		t.Errorf("%+v, %v", status, err)
	}
	// The receipt's cursor misses nothing, though the work is long done.
	if got := texts(read(t, subscribe(t, e, "*", good.Cursor), 2)); !slices.Equal(got, []string{"request_123:ok", "request_456:err(Invalid data format)"}) {
		t.Error(got)
	}
}

// accounts is a resource that handlers share.
type accounts struct {
	mu      sync.Mutex
	balance map[string]int
}

type transfer struct {
	Account string `json:"account"`
	Amount  int    `json:"amount"`
}

func (a *accounts) deposit(_ context.Context, in transfer) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.balance[in.Account] += in.Amount
	return a.balance[in.Account], nil
}

// A handler captures a resource: every message sees the same one.
func TestResourceCapturingHandler(t *testing.T) {
	t.Parallel()
	e := start(t, engine.Config{Concurrency: 8})
	shared := &accounts{balance: make(map[string]int)}
	if err := e.Register("deposit", engine.Typed(shared.deposit), engine.Policy{}); err != nil {
		t.Fatal(err)
	}
	sub := subscribe(t, e, "*", engine.Cursor{})
	for i := range 300 {
		data, _ := json.Marshal(transfer{Account: fmt.Sprint(i % 3), Amount: i})
		submit(t, e, engine.Submission{MessageType: "deposit", MessageData: data, ResponseNotification: name(i)})
	}
	read(t, sub, 300)
	shared.mu.Lock()
	defer shared.mu.Unlock()
	for account, expected := range map[string]int{"0": 14850, "1": 14950, "2": 15050} {
		if shared.balance[account] != expected {
			t.Errorf("account %s has %d, expected %d", account, shared.balance[account], expected)
		}
	}
}

// Many submitters and many subscribers communicate through one engine: each
// subscriber is told of its own messages, all of them, and of no other's.
func TestCommunicationIntegration(t *testing.T) {
	t.Parallel()
	e := start(t, engine.Config{})
	register(t, e, "echo", engine.Policy{}, echo)
	const clients, each = 10, 100
	var running sync.WaitGroup
	for client := range clients {
		running.Go(func() {
			sub := subscribe(t, e, fmt.Sprintf("client_%d_*", client), engine.Cursor{})
			expected := make(map[string]string)
			for i := range each {
				prefix := fmt.Sprintf("client_%d_%d", client, i)
				expected[prefix] = fmt.Sprintf("data %d", i)
				submit(t, e, engine.Submission{MessageType: "echo", MessageData: []byte(expected[prefix]), ResponseNotification: prefix})
			}
			for _, n := range read(t, sub, each) {
				data, own := expected[n.ResponseNotification]
				if !own || string(n.Result.Data) != data {
					t.Errorf("client %d got %s with %q, expected %q", client, n.String(), n.Result.Data, data)
				}
				delete(expected, n.ResponseNotification)
			}
		})
	}
	running.Wait()
}

// Handlers run concurrently, as many as allowed and no more: counted, and timed
// exactly, in virtual time.
func TestConcurrencyPerformance(t *testing.T) {
	t.Parallel()
	for _, limit := range []int{1, 4, 10} {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := start(t, engine.Config{Concurrency: limit})
				var running, peak atomic.Int64
				register(t, e, "work", engine.Policy{}, func(context.Context, *engine.Message) (engine.Result, error) {
					raise(&peak, running.Add(1))
					defer running.Add(-1)
					time.Sleep(100 * time.Millisecond)
					return engine.Result{}, nil
				})
				sub := subscribe(t, e, "*", engine.Cursor{})
				began := time.Now()
				for i := range 20 {
					submit(t, e, engine.Submission{MessageType: "work", ResponseNotification: name(i)})
				}
				read(t, sub, 20)
				rounds := (20 + limit - 1) / limit
				if got, expected := time.Since(began), time.Duration(rounds)*100*time.Millisecond; got != expected {
					t.Errorf("took %s, expected %s", got, expected)
				}
				if peak.Load() != int64(limit) {
					t.Errorf("peak of %d running handlers, expected %d", peak.Load(), limit)
				}
			})
		})
	}
}
