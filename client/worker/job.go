package worker

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"
)

// Handler does one job. It is called from many goroutines at once, up to
// Config.Window.
//
// ctx ends when the server says stop, or at the job's deadline, with a cause: see the
// package comment. A returned error fails the attempt; what follows is up to the
// type's policy, or to Permanent, RetryAfter and Snooze. Clients of the server read
// its text only if an *Error is in the chain; else it goes to the log. A panic fails
// the attempt, and the worker goes on.
type Handler func(ctx context.Context, job *Job) (Result, error)

// Result is what a handler made.
type Result struct {
	// Data is any bytes, nil included. The worker owns it from then on.
	Data []byte
	// ContentType is the media type of Data; empty means unspecified.
	ContentType string
}

// Job is one attempt at a message. Its fields are not to be changed; its methods may
// be called from any goroutine, and have no effect after the handler has returned.
type Job struct {
	// ID is the message's: the same for each attempt, so handlers are idempotent by it.
	ID string
	// Lease is the attempt's number, as the protocol counts it: (ID, Lease) names this
	// attempt and no other.
	Lease int
	// MessageType is what the message is.
	MessageType string
	// Attempt counts from 1, up to MaxAttempts.
	Attempt, MaxAttempts int
	// Deadline is when the attempt ends, by this machine's clock; zero means never.
	Deadline time.Time
	// Data is the message's: JSON, or any bytes, as ContentType says.
	Data []byte
	// ContentType is the media type of Data; empty means unspecified.
	ContentType string
	// Key is the message's ordering key, or empty.
	Key string
	// Metadata is what the submitter gave with the message.
	Metadata map[string]string
	// Checkpoint is what an earlier attempt saved, or nil.
	Checkpoint []byte
	// Traceparent is the submitter's trace (W3C Trace Context), or empty.
	Traceparent string

	// worker is nil in a Job that a test made.
	worker  *worker
	attempt *attempt

	mu    sync.Mutex
	saved []byte // guarded by mu
}

// Progress tells subscribers how far the job is: a fraction from 0 to 1, and a few
// words. Only the latest counts, and goes out at most ten times a second; calling it
// more often is cheap.
func (j *Job) Progress(fraction float64, note string) {
	if !(fraction > 0) { // also what is not a number
		fraction = 0
	}
	if j.worker != nil {
		j.worker.progress(j.attempt, min(fraction, 1), note)
	}
}

// Save keeps a checkpoint, which the next attempt gets, if there is one. The worker
// owns data from then on. It does not wait for the server. The error is ErrTooLarge
// or ErrStale.
func (j *Job) Save(data []byte) error {
	j.mu.Lock()
	j.saved = data
	j.mu.Unlock()
	if j.worker == nil {
		return nil
	}
	return j.worker.save(j.attempt, data)
}

// Saved returns what this attempt saved last, or nil.
func (j *Job) Saved() []byte {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.saved
}

// Typed adapts a function of Go values: Job.Data is decoded as JSON into In (empty
// data leaves In zero), and Out is encoded as the result with content type
// application/json. Data that does not decode fails the message, without a retry,
// with CodeInvalidData.
func Typed[In, Out any](fn func(ctx context.Context, job *Job, in In) (Out, error)) Handler {
	return func(ctx context.Context, job *Job) (Result, error) {
		var in In
		if err := decodeJSON(job.Data, &in); err != nil {
			return Result{}, Permanent(&Error{Code: CodeInvalidData, Message: "message_data: " + misfit(err), Cause: err})
		}
		out, err := fn(ctx, job, in)
		if err != nil {
			return Result{}, err
		}
		data, err := json.Marshal(out)
		if err != nil {
			return Result{}, err
		}
		return Result{Data: data, ContentType: "application/json"}, nil
	}
}

// misfit says why data does not decode, without names of Go types.
func misfit(err error) string {
	wrong, is := errors.AsType[*json.UnmarshalTypeError](err)
	if !is {
		return err.Error()
	}
	where := "it"
	if wrong.Field != "" {
		where = "the member " + wrong.Field
	}
	return where + " is a JSON " + wrong.Value + ", which does not fit"
}

func decodeJSON(data []byte, into any) error {
	if len(bytes.TrimSpace(data)) == 0 {
		return nil
	}
	return json.Unmarshal(data, into)
}
