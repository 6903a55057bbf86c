package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"time"

	"github.com/alecthomas/kong"
	"github.com/lmittmann/tint"
	"golang.org/x/term"
)

// Config is the command line. Every flag is an AM_… environment variable too; the
// flag wins.
type Config struct {
	Listen          string                   `default:"127.0.0.1:8080" env:"AM_LISTEN" placeholder:"HOST:PORT" help:"Address to serve on. Port 0 takes a free one, which the log tells. Default: ${default}."`
	Data            string                   `default:"data" env:"AM_DATA" placeholder:"DIR" help:"Directory of the data; made if there is none. One server uses it at a time. Default: ./${default}."`
	Store           string                   `default:"sqlite" enum:"sqlite,memory" env:"AM_STORE" placeholder:"STORE" help:"sqlite keeps all in --data, synced to the disk before it is acknowledged; memory forgets all with the process. Default: ${default}."`
	Concurrency     int                      `default:"64" env:"AM_CONCURRENCY" placeholder:"N" help:"Handlers that run at once. Default: ${default}."`
	QueueLimit      int                      `env:"AM_QUEUE_LIMIT" placeholder:"N" help:"Messages that wait at once; more are refused. Default: 1000000, with --store=memory 10000."`
	MaxMessageBytes int64                    `default:"1048576" env:"AM_MAX_MESSAGE_BYTES" placeholder:"BYTES" help:"Largest message data. Default: ${default}."`
	DrainTimeout    time.Duration            `default:"25s" env:"AM_DRAIN_TIMEOUT" placeholder:"DURATION" help:"How long what runs may take to finish after SIGTERM; with --store=memory, what was accepted. Default: ${default}."`
	RetainAge       map[string]time.Duration `env:"AM_RETAIN_AGE" placeholder:"WHAT=DURATION" help:"How long what has ended is kept: of succeeded, failed, cancelled and expired messages and of the log of notifications, such as --retain-age='succeeded=1h;log=72h'; h is the largest unit, 0 means for ever. Default: ${retain_age}."`
	RetainBytes     map[string]int64         `env:"AM_RETAIN_BYTES" placeholder:"WHAT=BYTES" help:"How many bytes of each are kept, the newest. 0 means no bound. Default: ${retain_bytes}."`
	MinFreeBytes    int64                    `default:"67108864" env:"AM_MIN_FREE_BYTES" placeholder:"BYTES" help:"New messages are refused when the disk has less than this left. Default: ${default}."`
	AllowOrigin     []string                 `env:"AM_ALLOW_ORIGIN" placeholder:"ORIGIN" help:"Origin whose pages may use the server, such as app.example or https://*.example; repeatable. Default: its own only."`
	LogLevel        slog.Level               `default:"info" env:"AM_LOG_LEVEL" placeholder:"LEVEL" help:"debug, info, warn or error. Default: ${default}."`
	LogFormat       string                   `default:"auto" enum:"auto,text,json" env:"AM_LOG_FORMAT" placeholder:"FORMAT" help:"text, json, or auto: text on a terminal, JSON otherwise. Default: ${default}."`

	Backup      string `placeholder:"FILE" help:"Copy the data of the server that uses --data, which may be running, to a new file, and exit. To restore, put it as activemessage.db into an empty directory."`
	Healthcheck bool   `help:"Ask the server at --listen whether it is ready; exit 0 if it is. For a container's health check."`
	Version     bool   `help:"Print the version and exit."`
}

const description = `POST a typed message, a bounded pool of handlers runs it, and everyone who
subscribed is told how it ended.

Try it:
  curl -d '{"message_type":"echo","message_data":"hi","response_notification":"request_1"}' http://127.0.0.1:8080/v1/messages
  websocat 'ws://127.0.0.1:8080/v1/ws?subscribe=request_*&since=0'`

// parse reads the command line and the environment. done means that it asked for
// no more than the help or the version, which stands on out then.
func parse(args []string, out io.Writer, version string) (cfg Config, done bool, err error) {
	parser, err := kong.New(&cfg,
		kong.Name("server"),
		kong.Description(description),
		kong.Writers(out, out),
		kong.Exit(func(int) { done = true }),
		kong.Vars{"retain_age": retentionWords(ageWord), "retain_bytes": retentionWords(bytesWord)},
	)
	if err != nil {
		return cfg, false, err
	}
	_, err = parser.Parse(args)
	if done {
		return cfg, true, nil
	}
	if err != nil {
		return cfg, false, fmt.Errorf("%w (see --help)", err)
	}
	if cfg.Version {
		_, err := fmt.Fprintln(out, version)
		return cfg, true, err
	}
	return cfg, false, cfg.validate()
}

func (c Config) validate() error {
	for _, bound := range []struct {
		flag  string
		value int64
	}{
		{"--concurrency", int64(c.Concurrency)},
		{"--max-message-bytes", c.MaxMessageBytes},
		{"--drain-timeout", int64(c.DrainTimeout)},
	} {
		if bound.value <= 0 {
			return fmt.Errorf("%s must be greater than 0", bound.flag)
		}
	}
	if c.QueueLimit < 0 {
		return errors.New("--queue-limit must not be negative")
	}
	if _, err := c.retention(); err != nil {
		return err
	}
	if c.Store == "memory" && len(c.RetainAge)+len(c.RetainBytes)+len(c.Backup) > 0 {
		return errors.New("--retain-age, --retain-bytes and --backup are for --store=sqlite")
	}
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		return fmt.Errorf("--listen %q is not HOST:PORT: %w", c.Listen, err)
	}
	return nil
}

// newLogger writes for people on a terminal, for machines elsewhere.
func newLogger(out *os.File, cfg Config) *slog.Logger {
	text := cfg.LogFormat == "text"
	if cfg.LogFormat == "auto" {
		text = term.IsTerminal(int(out.Fd()))
	}
	if text {
		return slog.New(tint.NewTextHandler(out, &tint.Options{
			Level:      cfg.LogLevel,
			TimeFormat: time.TimeOnly,
			NoColor:    !term.IsTerminal(int(out.Fd())) || os.Getenv("NO_COLOR") != "",
		}))
	}
	return slog.New(slog.NewJSONHandler(out, &slog.HandlerOptions{Level: cfg.LogLevel}))
}

// localURL is where a server that listens on an address is reached from here.
func localURL(listen, path string) string {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return "http://" + listen + path
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(strings.Trim(host, "[]"), port) + path
}
