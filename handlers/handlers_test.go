package handlers_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/activemessage/activemessage/engine"
	"github.com/activemessage/activemessage/handlers"
)

func message(data string) *engine.Message {
	return &engine.Message{MessageData: []byte(data), ContentType: "application/json"}
}

func TestEcho(t *testing.T) {
	t.Parallel()
	result, err := handlers.Echo(t.Context(), message(`{"a":1}`))
	if err != nil || string(result.Data) != `{"a":1}` || result.ContentType != "application/json" {
		t.Errorf("%+v, %v", result, err)
	}
}

func TestFailTellsItsMessageExactly(t *testing.T) {
	t.Parallel()
	_, err := handlers.Fail(t.Context(), message(`{"message":"Invalid data format"}`))
	if failure, ok := errors.AsType[*engine.Error](err); !ok || failure.Message != "Invalid data format" {
		t.Error(err)
	}
}

func TestSleep(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		if _, err := handlers.Sleep(t.Context(), message(`{"duration":"150ms"}`)); err != nil || time.Since(began) != 150*time.Millisecond {
			t.Errorf("%v after %s", err, time.Since(began))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := handlers.Sleep(ctx, message(`{"duration":"10m"}`)); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		for _, bad := range []string{``, `{"duration":"soon"}`, `{"duration":"-1s"}`, `{"duration":"2h"}`} {
			if _, err := handlers.Sleep(t.Context(), message(bad)); err == nil {
				t.Errorf("%q is accepted", bad)
			}
		}
	})
}

func TestCountSharesOneTotal(t *testing.T) {
	t.Parallel()
	e, err := engine.New(engine.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if err := handlers.RegisterExamples(e); err != nil {
		t.Fatal(err)
	}
	if err := handlers.RegisterExamples(e); !errors.Is(err, engine.ErrTypeRegistered) {
		t.Errorf("registered twice: %v", err)
	}
	var last engine.ID
	for _, data := range []string{``, `{"by":40}`, `{}`} {
		receipt, err := e.Submit(t.Context(), engine.Submission{MessageType: "count", MessageData: []byte(data), Key: "in order"})
		if err != nil {
			t.Fatal(err)
		}
		last = receipt.ID
	}
	if err := e.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if status, err := e.Get(last); err != nil || string(status.Result.Data) != `{"total":42}` {
		t.Errorf("%s, %v", status.Result.Data, err)
	}
}
