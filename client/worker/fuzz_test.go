package worker

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"testing"
)

// FuzzFrames serves frames, one a line, to a worker without a connection. Whatever a
// server sends, the bounds hold, and what the worker says is JSON.
func FuzzFrames(f *testing.F) {
	f.Add([]byte(`{"op":"job","id":"a","lease":1,"message_type":"work","message_data":{"n":1},"checkpoint_base64":"AA=="}` + "\n" +
		`{"op":"job","id":"b","lease":1,"message_type":"work","deadline":"2026-01-01T00:00:00Z"}` + "\n" +
		`{"op":"stop","id":"a","lease":1,"reason":"stale"}` + "\n" + `{"op":"settled","id":"a","lease":1}` + "\n" +
		`{"op":"beat","stop":[{"id":"b","lease":1,"reason":"timeout"}]}`))
	f.Add([]byte(`{"op":"job","id":"\u0000\"\ud800","lease":9007199254740993,"message_type":"work"}`))
	f.Fuzz(func(t *testing.T, lines []byte) {
		const window = 2
		w := &worker{log: slog.New(slog.DiscardHandler), base: context.Background()}
		w.cfg.Window = window
		w.cfg.Handlers = map[string]Handler{"work": func(context.Context, *Job) (Result, error) { return Result{}, nil }}
		var begun []*attempt
		w.leases.init(window, func(a *attempt) { begun = append(begun, a) })
		s := &session{worker: w}
		var b batch
		for line := range bytes.Lines(lines) {
			frame := &inbound{}
			if json.Unmarshal(line, frame) != nil || frame.Op == "drain" {
				continue
			}
			if err := s.serve(frame); err != nil {
				t.Fatal(err)
			}
			if len(begun) > 1 { // one runs on
				w.leases.finish(begun[0], &outcome{result: Result{Data: line}})
				begun = begun[1:]
			}
			l := &w.leases
			if l.running > window || len(l.waiting) > window || len(l.held) > 2*window+settlingAhead {
				t.Fatalf("%d run, %d wait, %d are held", l.running, len(l.waiting), len(l.held))
			}
			for more := true; more; {
				more, _ = l.next(&b, true)
				start := 0
				for _, end := range b.ends {
					if !json.Valid(b.bytes[start:end]) {
						t.Fatalf("%s", b.bytes[start:end])
					}
					start = end
				}
			}
		}
	})
}
