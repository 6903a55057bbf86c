package exec

import (
	"context"
	"errors"
	"fmt"

	"github.com/activemessage/activemessage/engine"
)

// exitTempFail is EX_TEMPFAIL of sysexits.h: "temporary failure, indicating something
// that is not really an error … the request should be reattempted later".
const exitTempFail = 75

// command is the handler: what New resolved, and nothing that changes.
type command struct {
	cfg         Config
	path        string   // absolute
	environment []string // without the message's own
}

// errTooMuch is why a command that wrote too much was stopped.
var errTooMuch = errors.New("too much output")

// Handle runs the command for a message, and returns when the command, its group and
// the goroutines that served it have ended.
func (c *command) Handle(ctx context.Context, m *engine.Message) (engine.Result, error) {
	if ctx.Err() != nil {
		return engine.Result{}, context.Cause(ctx)
	}
	defer keepThread()()
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	r, err := c.start(ctx, stop, m)
	if err != nil {
		return engine.Result{}, fmt.Errorf("the command did not start: %w", err)
	}
	r.wait()
	return c.outcome(ctx, r)
}

// outcome is what a command that has ended comes to.
func (c *command) outcome(ctx context.Context, r *run) (engine.Result, error) {
	state := r.cmd.ProcessState
	switch {
	case r.output.over:
		return engine.Result{}, engine.Permanent(&engine.Error{Code: engine.CodeResultTooLarge, Message: fmt.Sprintf(
			"the command wrote more than the %d bytes that are allowed", c.cfg.MaxOutput)})
	case r.interrupted:
		err := fmt.Errorf("%w: the command ended with %s", context.Cause(ctx), state)
		if tail := r.errors.tail(); tail != "" {
			err = fmt.Errorf("%w: %s", err, tail)
		}
		return engine.Result{}, err
	case state.Success():
		return engine.Result{Data: r.output.bytes(), ContentType: c.cfg.ResultType}, nil
	}
	failure := &engine.Error{Code: CodeCommandFailed, Message: state.String()}
	switch tail := r.errors.tail(); {
	case tail == "":
	case c.cfg.HideStderr:
		failure.Cause = errors.New(tail)
	default:
		failure.Message += ": " + tail
	}
	if state.Exited() && state.ExitCode() != exitTempFail {
		return engine.Result{}, engine.Permanent(failure)
	}
	return engine.Result{}, failure
}
