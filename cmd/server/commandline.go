package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/activemessage/activemessage/internal/config"
)

const description = `POST a typed message, a bounded pool of handlers runs it, and everyone who
subscribed is told how it ended.

Try it:
  curl -d '{"message_type":"echo","message_data":"hi","response_notification":"request_1"}' http://127.0.0.1:8080/v1/messages
  websocat 'ws://127.0.0.1:8080/v1/ws?subscribe=request_*&since=0'`

// The commands.
const (
	commandServe  = "serve"
	commandCheck  = "check"
	commandSchema = "schema"
)

// invocation is what the command line, the environment and the file ask for.
type invocation struct {
	Config
	command string
	file    *config.File // nil without one
	// settings are the effective ones, in the order of the flags.
	settings []setting
}

// setting is the effective value of a key, and who says so.
type setting struct {
	key   string
	value any
	// origin is the flag, the environment variable, the place in the file, or default.
	origin   string
	fromFile bool
}

// grammar is the command line as kong has it.
type grammar struct {
	Config
	Serve  struct{} `cmd:"" default:"1" help:"Serve; this is what is done without a command."`
	Check  struct{} `cmd:"" help:"Check the configuration as a start would, without one, and print it with who says so."`
	Schema struct{} `cmd:"" help:"Print the JSON Schema of the configuration file, for editors."`

	file *config.File
}

// BeforeResolve reads the file, once it is known which: kong asks it for what neither
// the command line nor the environment says.
func (g *grammar) BeforeResolve(ctx *kong.Context) error {
	name, tolerant := "", false
	for _, flag := range ctx.Flags() {
		switch value := ctx.FlagValue(flag); flag.Name {
		case "config":
			name, _ = value.(string)
		case "healthcheck", "version":
			asked, _ := value.(bool)
			tolerant = tolerant || asked
		}
	}
	if name == "" || strings.HasPrefix(ctx.Command(), commandSchema) {
		return nil
	}
	file, err := config.Read(name)
	if err != nil {
		if tolerant {
			return nil // a running server is as healthy as before its file was broken
		}
		return err
	}
	g.file = file
	ctx.AddResolver(kong.ResolverFunc(fromFile(file)))
	return nil
}

// keyOf is the name in the file of what a flag sets.
func keyOf(flag *kong.Flag) string { return strings.ReplaceAll(flag.Name, "-", "_") }

// variable returns the environment variable that sets a flag, if it is set.
func variable(flag *kong.Flag) string {
	for _, name := range flag.Envs {
		if _, set := os.LookupEnv(name); set {
			return name
		}
	}
	return ""
}

// fromFile answers kong, which would believe it rather than the environment.
func fromFile(file *config.File) func(*kong.Context, *kong.Path, *kong.Flag) (any, error) {
	return func(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
		values, given := file.Setting(keyOf(flag))
		switch {
		case !given || variable(flag) != "":
			return nil, nil
		case flag.IsSlice():
			all := make([]any, len(values))
			for i, value := range values {
				all[i] = value
			}
			return all, nil
		default:
			return values[0], nil
		}
	}
}

// usageError is a command line that is not one.
type usageError struct{ error }

// Unwrap returns the parser's.
func (e usageError) Unwrap() error { return e.error }

// parse reads the command line, the environment and the file. done means that it asked
// for no more than the help, the version or the schema, which stands on out then.
// Errors: a usageError, config.Errors, or both.
func parse(args []string, out io.Writer, version string) (in *invocation, done bool, err error) {
	var g grammar
	parser, err := kong.New(&g,
		kong.Name("server"),
		kong.Description(description),
		kong.Writers(out, out),
		kong.Exit(func(int) { done = true }),
		kong.Vars{"retain_age": retentionWords(ageWord), "retain_bytes": retentionWords(bytesWord)},
	)
	if err != nil {
		return nil, false, err
	}
	ctx, err := parser.Parse(args)
	if done {
		return nil, true, nil
	}
	if err != nil {
		return nil, false, refusal(err)
	}
	in = &invocation{Config: g.Config, command: strings.Fields(ctx.Command())[0], file: g.file}
	if in.Version {
		_, err = fmt.Fprintln(out, version)
		return in, true, err
	}
	if in.command == commandSchema {
		_, err = out.Write(config.Schema())
		return in, true, err
	}
	in.settings = settingsOf(ctx, g.file)
	return in, false, in.validate()
}

// refusal is a fault of the file as it is, and any other as one of the command line.
func refusal(err error) error {
	if faults, is := errors.AsType[config.Errors](err); is {
		return faults
	}
	return usageError{fmt.Errorf("%w (see --help)", err)}
}

// settingsOf lists what a file could say, with who says it.
func settingsOf(ctx *kong.Context, file *config.File) []setting {
	onLine := make(map[*kong.Flag]bool)
	for _, p := range ctx.Path {
		if p.Flag != nil && !p.Resolved {
			onLine[p.Flag] = true
		}
	}
	known := config.Keys()
	var all []setting
	for _, flag := range ctx.Model.Flags {
		key := keyOf(flag)
		if !slices.Contains(known, key) {
			continue
		}
		s := setting{key: key, value: flag.Target.Interface(), origin: "default"}
		if name := variable(flag); onLine[flag] {
			s.origin = "--" + flag.Name
		} else if name != "" {
			s.origin = name
		} else if file != nil && file.At(key).Line > 0 {
			s.origin, s.fromFile = fmt.Sprintf("%s:%d", file.Name, file.At(key).Line), true
		}
		all = append(all, s)
	}
	return all
}

// setting returns the effective one of a key.
func (in *invocation) setting(key string) setting {
	for _, s := range in.settings {
		if s.key == key {
			return s
		}
	}
	return setting{key: key, origin: "--" + strings.ReplaceAll(key, "_", "-")}
}

// validate finds what is wrong with the settings, and says where it is set.
func (in *invocation) validate() error {
	store := in.setting("store")
	retain := false
	for _, key := range []string{"retain_age", "retain_bytes"} {
		s := in.setting(key)
		// A file for sqlite may be tried in memory.
		retain = retain || s.origin != "default" && (!s.fromFile || store.fromFile)
	}
	var all []error
	for _, f := range in.faults(retain) {
		if s := in.setting(f.setting); s.fromFile {
			all = append(all, in.file.Fault(f.reason, f.setting))
		} else {
			all = append(all, usageError{fmt.Errorf("%s: %s", s.origin, f.reason)})
		}
	}
	return config.Join(all...)
}
