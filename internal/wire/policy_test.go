package wire_test

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/activemessage/activemessage/engine"
	"github.com/activemessage/activemessage/internal/wire"
)

func TestPolicyPatch(t *testing.T) {
	t.Parallel()
	before := engine.Policy{
		Paused: true, Concurrency: 3, QueueLimit: 4, QueueBytes: 5, Timeout: time.Hour, Grace: time.Minute, MaxAttempts: 6, MaxLost: 7,
		Backoff: engine.Backoff{Initial: time.Second, Max: time.Minute},
	}
	for body, change := range map[string]func(*engine.Policy){
		`{}`:                               func(*engine.Policy) {},
		`{"paused":false}`:                 func(p *engine.Policy) { p.Paused = false },
		`{"paused":null}`:                  func(p *engine.Policy) { p.Paused = false },
		`{"concurrency":9,"timeout":"1s"}`: func(p *engine.Policy) { p.Concurrency, p.Timeout = 9, time.Second },
		`{"timeout":"never"}`:              func(p *engine.Policy) { p.Timeout = -1 },
		`{"timeout":null,"grace":null,"queue_limit":null,"queue_bytes":0,"max_attempts":null,"max_lost":null}`: func(p *engine.Policy) {
			p.Timeout, p.Grace, p.QueueLimit, p.QueueBytes, p.MaxAttempts, p.MaxLost = 0, 0, 0, 0, 0, 0
		},
		`{"max_lost":2}`:           func(p *engine.Policy) { p.MaxLost = 2 },
		`{"backoff":{"max":"2m"}}`: func(p *engine.Policy) { p.Backoff.Max = 2 * time.Minute },
		`{"backoff":{"max":null}}`: func(p *engine.Policy) { p.Backoff.Max = 0 },
		`{"backoff":null}`:         func(p *engine.Policy) { p.Backoff = engine.Backoff{} },
		`{"backoff":{}}`:           func(*engine.Policy) {},
	} {
		patch, err := wire.DecodePolicyPatch([]byte(body))
		if err != nil {
			t.Errorf("%s: %v", body, err)
			continue
		}
		got, want := before, before
		patch(&got)
		change(&want)
		if got != want {
			t.Errorf("%s: %+v, want %+v", body, got, want)
		}
	}
	for body, pointer := range map[string]string{
		`{"timeout":"soon"}`:            "/timeout",
		`{"timeout":""}`:                "/timeout",
		`{"grace":"never"}`:             "/grace",
		`{"grace":5}`:                   "/grace",
		`{"concurrency":"many"}`:        "/concurrency",
		`{"max_lost":"often"}`:          "/max_lost",
		`{"backoff":{"initial":"-1s"}}`: "/backoff/initial",
		`{"backoff":{"initial":true}}`:  "/backoff/initial",
		`{"backoff":[]}`:                "/backoff",
		`{"pause":true}`:                "/pause",
	} {
		_, err := wire.DecodePolicyPatch([]byte(body))
		problem, ok := errors.AsType[*wire.Problem](err)
		if !ok || problem.Code != "invalid_policy" || len(problem.Errors) != 1 || problem.Errors[0].Pointer != pointer {
			t.Errorf("%s: %+v", body, err)
		}
	}
}

// FuzzDecodePolicyPatch: no patch crashes, and every refusal can be told.
func FuzzDecodePolicyPatch(f *testing.F) {
	f.Add([]byte(`{"paused":true,"timeout":"never","backoff":{"initial":"1s","max":null}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		patch, err := wire.DecodePolicyPatch(body)
		if problem, ok := errors.AsType[*wire.Problem](err); err != nil && (!ok || !json.Valid(problem.AppendJSON(nil))) {
			t.Errorf("refused with %v", err)
		}
		if err == nil {
			patch(&engine.Policy{})
		}
	})
}

// FuzzDecodeBatch: no batch crashes, and what is refused of it can be told.
func FuzzDecodeBatch(f *testing.F) {
	f.Add([]byte(`[{"message_type":"echo"},{"message_type":7},[]]`))
	f.Add([]byte("{\"message_type\":\"echo\"}\n\n{"))
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, decode := range []func([]byte) ([]wire.Item, error){wire.DecodeArray, wire.DecodeLines, wire.DecodeCloudEvents} {
			items, err := decode(body)
			for _, item := range append(items, wire.Item{Err: err}) {
				if problem, ok := errors.AsType[*wire.Problem](item.Err); item.Err != nil && (!ok || !json.Valid(problem.AppendJSON(nil))) {
					t.Errorf("refused with %v", item.Err)
				}
			}
		}
	})
}
