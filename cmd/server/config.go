package main

import (
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/lmittmann/tint"
	"golang.org/x/term"
)

// Config is what can be set. Every flag is an AM_… environment variable too, and but for
// those that make the server do something else, a key of the configuration file; the flag
// wins over the environment, that over the file.
type Config struct {
	File            string                   `name:"config" env:"AM_CONFIG" placeholder:"FILE" help:"Configuration in YAML: settings named as the flags are, with _ for -, and the handlers. See the command schema. Reloaded on SIGHUP."`
	Listen          string                   `default:"127.0.0.1:8080" env:"AM_LISTEN" placeholder:"HOST:PORT" help:"Address to serve on. Port 0 takes a free one, which the log tells. Default: ${default}."`
	Data            string                   `default:"data" env:"AM_DATA" placeholder:"DIR" help:"Directory of the data; made if there is none. One server uses it at a time. Default: ./${default}."`
	Store           string                   `default:"sqlite" enum:"sqlite,memory" env:"AM_STORE" placeholder:"STORE" help:"sqlite keeps all in --data, synced to the disk before it is acknowledged; memory forgets all with the process. Default: ${default}."`
	Concurrency     int                      `default:"64" env:"AM_CONCURRENCY" placeholder:"N" help:"Handlers that run at once. Default: ${default}."`
	QueueLimit      int                      `env:"AM_QUEUE_LIMIT" placeholder:"N" help:"Messages that wait at once; more are refused. Default: 1000000, with --store=memory 10000."`
	MaxMessageBytes int64                    `default:"1048576" env:"AM_MAX_MESSAGE_BYTES" placeholder:"BYTES" help:"Largest message data. Default: ${default}."`
	MaxResultBytes  int64                    `default:"1048576" env:"AM_MAX_RESULT_BYTES" placeholder:"BYTES" help:"Largest result of a handler. Default: ${default}."`
	DrainTimeout    time.Duration            `default:"25s" env:"AM_DRAIN_TIMEOUT" placeholder:"DURATION" help:"How long what runs may take to finish after SIGTERM; with --store=memory, what was accepted. Default: ${default}."`
	RetainAge       map[string]time.Duration `env:"AM_RETAIN_AGE" placeholder:"WHAT=DURATION" help:"How long what has ended is kept: of succeeded, failed, cancelled and expired messages and of the log of notifications, such as --retain-age='succeeded=1h;log=72h'; h is the largest unit, 0 means for ever. Default: ${retain_age}."`
	RetainBytes     map[string]int64         `env:"AM_RETAIN_BYTES" placeholder:"WHAT=BYTES" help:"How many bytes of each are kept, the newest. 0 means no bound. Default: ${retain_bytes}."`
	MinFreeBytes    int64                    `default:"67108864" env:"AM_MIN_FREE_BYTES" placeholder:"BYTES" help:"New messages are refused when the disk has less than this left. Default: ${default}."`
	AllowOrigin     []string                 `env:"AM_ALLOW_ORIGIN" placeholder:"ORIGIN" help:"Origin whose pages may use the server, such as app.example or https://*.example; repeatable. Default: its own only."`
	CallbackURL     string                   `env:"AM_CALLBACK_URL" placeholder:"URL" help:"Public base URL of this server, which webhooks are told for settling a message later."`
	LogLevel        slog.Level               `default:"info" env:"AM_LOG_LEVEL" placeholder:"LEVEL" help:"debug, info, warn or error. Default: ${default}."`
	LogFormat       string                   `default:"auto" enum:"auto,text,json" env:"AM_LOG_FORMAT" placeholder:"FORMAT" help:"text, json, or auto: text on a terminal, JSON otherwise. Default: ${default}."`

	Backup      string `placeholder:"FILE" help:"Copy the data of the server that uses --data, which may be running, to a new file, and exit. To restore, put it as activemessage.db into an empty directory."`
	Healthcheck bool   `help:"Ask the server at --listen whether it is ready; exit 0 if it is. For a container's health check."`
	Version     bool   `help:"Print the version and exit."`
}

// fault is what is wrong with a setting, which goes by its key.
type fault struct{ setting, reason string }

// faults are what no flag can see alone. retain is whether anything but a file that also
// says where the data is wants something kept.
func (c Config) faults(retain bool) []fault {
	var all []fault
	for _, bound := range []struct {
		setting string
		value   int64
	}{
		{"concurrency", int64(c.Concurrency)},
		{"max_message_bytes", c.MaxMessageBytes},
		{"max_result_bytes", c.MaxResultBytes},
		{"drain_timeout", int64(c.DrainTimeout)},
	} {
		if bound.value <= 0 {
			all = append(all, fault{bound.setting, "must be greater than 0"})
		}
	}
	if c.QueueLimit < 0 {
		all = append(all, fault{"queue_limit", "must not be negative"})
	}
	if _, err := c.retention(); err != nil {
		all = append(all, fault{"retain_age", err.Error()})
	}
	if c.Store == "memory" && (retain || c.Backup != "") {
		all = append(all, fault{"store", "is memory: --retain-age, --retain-bytes and --backup are for sqlite"})
	}
	if _, port, err := net.SplitHostPort(c.Listen); err != nil {
		all = append(all, fault{"listen", fmt.Sprintf("%q is not HOST:PORT: %v", c.Listen, err)})
	} else if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		all = append(all, fault{"listen", fmt.Sprintf("%q is not HOST:PORT: the port is not from 0 to 65535", c.Listen)})
	}
	if u, err := url.Parse(c.CallbackURL); c.CallbackURL != "" &&
		(err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.RawQuery+u.Fragment != "") {
		all = append(all, fault{"callback_url", "is not a base URL: use one such as https://messages.example"})
	}
	return all
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
