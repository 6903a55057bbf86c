package exec

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"mime"
	"os"
	osexec "os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/activemessage/activemessage/engine"
)

// Config says which command runs, and within which bounds. All of it is the
// operator's.
type Config struct {
	// Command is the program and its arguments. Required. They reach the program as
	// they are: no shell reads them. A program without a slash is looked up in the
	// server's PATH, one with a slash is a path, from Dir if it is relative. Either
	// is resolved once, by New.
	Command []string
	// Dir is the working directory. Defaults to the server's own.
	Dir string
	// Env is added to the environment: "NAME=value", or "NAME" alone for the value
	// that the server's environment has when New is called. The names that a
	// message's own variables have are refused. Defaults to nothing.
	Env []string
	// ResultType is the media type of the result, at most engine.MaxContentTypeBytes.
	// Defaults to application/octet-stream; with application/json, notifications carry
	// the result as JSON.
	ResultType string
	// MaxOutput is how many bytes of standard output a result may have; of more, the
	// command is stopped. Defaults to 1 MiB, which is also the default of
	// engine.Config.MaxResultBytes, which holds as well.
	MaxOutput int64
	// KillAfter is how long a command that was asked to stop (SIGTERM) may take before
	// it is killed (SIGKILL). Defaults to 1 second. Leave half a second to the type's
	// engine.Policy.Grace, or the message ends before its command does.
	KillAfter time.Duration
	// HideStderr keeps standard error from clients: they read the exit status alone,
	// the log has the rest.
	HideStderr bool
}

// What a Config defaults to.
const (
	DefaultResultType = "application/octet-stream"
	DefaultMaxOutput  = 1 << 20
	DefaultKillAfter  = time.Second
)

// CodeCommandFailed is the engine.Error's code of a command that did not exit with 0.
const CodeCommandFailed = "command_failed"

// New returns a handler that runs the command, after it has looked whether the command
// can start. Errors: engine.ErrInvalid, as an *engine.InvalidError whose Field is
// command, dir, env, result_type, max_output or kill_after.
//
// The handler owns no goroutine when no message runs; there is nothing to close.
func New(cfg Config) (engine.Handler, error) {
	cfg.ResultType = cmp.Or(cfg.ResultType, DefaultResultType)
	cfg.MaxOutput = cmp.Or(cfg.MaxOutput, DefaultMaxOutput)
	cfg.KillAfter = cmp.Or(cfg.KillAfter, DefaultKillAfter)
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	dir, err := resolveDir(cfg.Dir)
	if err != nil {
		return nil, err
	}
	path, err := resolveCommand(cfg.Command[0], dir)
	if err != nil {
		return nil, err
	}
	environment, err := environmentFor(cfg.Env)
	if err != nil {
		return nil, err
	}
	cfg.Command, cfg.Dir = slices.Clone(cfg.Command), dir
	return &command{cfg: cfg, path: path, environment: environment}, nil
}

func (c Config) validate() error {
	if len(c.Command) == 0 || c.Command[0] == "" {
		return invalid("command", `is empty: give the program and its arguments, such as ["convert", "-", "png:-"]`)
	}
	for _, argument := range c.Command {
		if strings.ContainsRune(argument, 0) {
			return invalid("command", "%q has a NUL character, which no argument can have: remove it", argument)
		}
	}
	if _, _, err := mime.ParseMediaType(c.ResultType); err != nil || len(c.ResultType) > engine.MaxContentTypeBytes {
		return invalid("result_type", "%.80q is not a media type: use one such as image/png", c.ResultType)
	}
	if c.MaxOutput < 0 {
		return invalid("max_output", "%d is negative: give the bytes a result may have", c.MaxOutput)
	}
	if c.KillAfter < 0 {
		return invalid("kill_after", "%s is negative: give the time a command has to stop, such as 1s", c.KillAfter)
	}
	return nil
}

// resolveDir returns the working directory as an absolute path, "" for the server's own.
func resolveDir(dir string) (string, error) {
	if dir == "" {
		return "", nil
	}
	resolved, err := filepath.Abs(dir)
	if err != nil {
		return "", invalid("dir", "%q: %v", dir, err)
	}
	switch info, err := os.Stat(resolved); {
	case errors.Is(err, fs.ErrNotExist):
		return "", invalid("dir", "%q does not exist: create it, or name another directory", resolved)
	case err != nil:
		return "", invalid("dir", "%v", err)
	case !info.IsDir():
		return "", invalid("dir", "%q is not a directory: name one", resolved)
	}
	return resolved, nil
}

// resolveCommand returns the program's absolute path.
func resolveCommand(program, dir string) (string, error) {
	named := filepath.Base(program) == program // without a slash
	if !named && dir != "" && !filepath.IsAbs(program) {
		program = filepath.Join(dir, program)
	}
	found, err := osexec.LookPath(program)
	switch {
	case err == nil:
	case named && errors.Is(err, osexec.ErrNotFound):
		return "", invalid("command", "%q is not in PATH (%s): install it, or give its full path", program, os.Getenv("PATH"))
	case errors.Is(err, osexec.ErrDot):
		return "", invalid("command", "%q is found in the current directory only: write ./%s if that is meant", program, program)
	case errors.Is(err, fs.ErrNotExist):
		return "", invalid("command", "%q does not exist: correct the path, or install it", program)
	default:
		return "", invalid("command", "%q is not an executable file: make it one (chmod +x), or name its interpreter first", program)
	}
	found, err = filepath.Abs(found)
	if err != nil {
		return "", invalid("command", "%q: %v", program, err)
	}
	return found, nil
}

// invalid is the error of New.
func invalid(field, format string, args ...any) error {
	return &engine.InvalidError{Field: field, Reason: fmt.Sprintf(format, args...)}
}
