package config

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/activemessage/activemessage/engine"
)

// never is a timeout that does not pass.
const never = "never"

// Handler is what runs the messages of a type: exactly one of Exec, Webhook and Remote.
type Handler struct {
	// MessageType is what it runs.
	MessageType string
	// Policy is what the file says of it; zero is the engine's default.
	Policy engine.Policy
	// Exec is a command; nil if it is none.
	Exec *Exec
	// Webhook is a URL; nil if it is none.
	Webhook *Webhook
	// Remote is whether workers take the messages.
	Remote bool
}

// Exec is a command. Zero fields but Command are package exec's defaults.
type Exec struct {
	// Command is the program and its arguments.
	Command []string
	// Dir is the directory that it runs in.
	Dir string
	// Env has NAME=value, or NAME alone for that of the server.
	Env []string
	// ResultType is the media type of its result.
	ResultType string
	// MaxOutputBytes bounds its result.
	MaxOutputBytes int64
	// KillAfter is how long it may take to stop when it is asked to; less than the
	// policy's grace, and half of it if only a grace below the default is given.
	KillAfter time.Duration
	// HideStderr keeps its standard error from clients.
	HideStderr bool
}

// Webhook is a URL that messages are posted to. Zero fields but URL are package
// webhook's defaults.
type Webhook struct {
	// URL is where to.
	URL string
	// SecretEnv and SecretFile name what has the secrets, the newest first; one of
	// them is empty.
	SecretEnv, SecretFile []string
	// Allow are networks that are not public and allowed all the same; an address is
	// one of its own.
	Allow []netip.Prefix
	// Lease is how long a message that was answered 202 may take.
	Lease time.Duration
}

// oneOrMore is text or a list of text.
type oneOrMore []string

// UnmarshalJSON reads either.
func (o *oneOrMore) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] == '[' {
		return json.Unmarshal(data, (*[]string)(o))
	}
	*o = make([]string, 1)
	return json.Unmarshal(data, &(*o)[0])
}

// entry is a handler as the file has it.
type entry struct {
	Exec           []string `json:"exec"`
	Dir            string   `json:"dir"`
	Env            []string `json:"env"`
	ResultType     string   `json:"result_type"`
	MaxOutputBytes int64    `json:"max_output_bytes"`
	KillAfter      string   `json:"kill_after"`
	HideStderr     bool     `json:"hide_stderr"`
	Webhook        *struct {
		URL        string    `json:"url"`
		SecretEnv  oneOrMore `json:"secret_env"`
		SecretFile oneOrMore `json:"secret_file"`
		Allow      []string  `json:"allow"`
		Lease      string    `json:"lease"`
	} `json:"webhook"`
	Remote      *struct{} `json:"remote"`
	Timeout     string    `json:"timeout"`
	Grace       string    `json:"grace"`
	Concurrency int       `json:"concurrency"`
	QueueLimit  int       `json:"queue_limit"`
	QueueBytes  int64     `json:"queue_bytes"`
	Retry       struct {
		MaxAttempts int    `json:"max_attempts"`
		MaxLost     int    `json:"max_lost"`
		Initial     string `json:"initial"`
		Max         string `json:"max"`
	} `json:"retry"`
}

// attempts is how often a command or a webhook is tried unless the file says otherwise: both
// say themselves what may pass, by exit code 75 or a status such as 503.
const attempts = 5

// reader reads what the schema has found good, and finds what it cannot say.
type reader struct {
	file *File
	keys []string // of the handler
}

// readHandlers reads all that the schema finds no fault of, so that the faults that it
// cannot see are told beside those that it can.
func (f *File) readHandlers() {
	root, _ := f.document.root.(map[string]any)
	all, has := root["handlers"].(map[string]any)
	f.HasHandlers = has
	for _, name := range slices.Sorted(maps.Keys(all)) {
		r := &reader{file: f, keys: []string{"handlers", name}}
		if !f.document.isFaulty(r.keys) {
			f.Handlers = append(f.Handlers, r.handler(name, all[name]))
		}
	}
}

// readDurations finds those of the settings that are too long.
func (f *File) readDurations() {
	root, _ := f.document.root.(map[string]any)
	r := &reader{file: f}
	if text, given := root["drain_timeout"].(string); given && !f.document.isFaulty([]string{"drain_timeout"}) {
		r.duration(text, "drain_timeout")
	}
	ages, _ := root["retain_age"].(map[string]any)
	for name, text := range ages {
		if age, is := text.(string); is && !f.document.isFaulty([]string{"retain_age", name}) {
			r.duration(age, "retain_age", name)
		}
	}
}

func (r *reader) fault(reason string, keys ...string) {
	d := r.file.document
	d.faults = append(d.faults, r.file.Fault(reason, append(slices.Clone(r.keys), keys...)...))
}

// duration reads one; "" is 0.
func (r *reader) duration(text string, keys ...string) time.Duration {
	if text == "" {
		return 0
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		r.fault(fmt.Sprintf("%q is too long: 290 years are the most", text), keys...)
	}
	return d
}

func (r *reader) handler(name string, value any) Handler {
	data, err := json.Marshal(value)
	var e entry
	if err == nil {
		err = json.Unmarshal(data, &e)
	}
	if err != nil { // what the schema lets through has these types
		r.fault(err.Error())
	}
	h := Handler{MessageType: name, Remote: e.Remote != nil, Policy: engine.Policy{
		Concurrency: e.Concurrency,
		QueueLimit:  e.QueueLimit,
		QueueBytes:  e.QueueBytes,
		Timeout:     -1,
		Grace:       r.duration(e.Grace, "grace"),
		MaxAttempts: e.Retry.MaxAttempts,
		MaxLost:     e.Retry.MaxLost,
		Backoff: engine.Backoff{
			Initial: r.duration(e.Retry.Initial, "retry", "initial"),
			Max:     r.duration(e.Retry.Max, "retry", "max"),
		},
	}}
	if e.Timeout != never {
		h.Policy.Timeout = r.duration(e.Timeout, "timeout")
	}
	if h.Policy.MaxAttempts == 0 && !h.Remote {
		h.Policy.MaxAttempts = attempts
	}
	if b := h.Policy.Backoff; b.Max != 0 && b.Max < b.Initial {
		r.fault(fmt.Sprintf("%s is less than initial, %s", e.Retry.Max, e.Retry.Initial), "retry", "max")
	}
	switch {
	case e.Exec != nil:
		h.Exec = &Exec{
			Command: e.Exec, Dir: e.Dir, Env: e.Env, ResultType: e.ResultType, MaxOutputBytes: e.MaxOutputBytes,
			KillAfter: r.duration(e.KillAfter, "kill_after"), HideStderr: e.HideStderr,
		}
		r.killInGrace(h.Exec, h.Policy.Grace)
		if e.Exec[0] == "" {
			r.fault("is empty: the first element is the command", "exec", "0")
		}
	case e.Webhook != nil:
		h.Webhook = r.webhook(&e)
	}
	return h
}

// killInGrace keeps the time to stop within the grace, after which the message goes on
// without its command.
func (r *reader) killInGrace(x *Exec, grace time.Duration) {
	switch bound := cmp.Or(grace, engine.DefaultGrace); {
	case x.KillAfter >= bound:
		r.fault(fmt.Sprintf("%s is not less than grace, %s: lower it, or raise that", x.KillAfter, bound), "kill_after")
	case x.KillAfter == 0 && bound < engine.DefaultGrace:
		x.KillAfter = max(bound/2, 1)
	}
}

func (r *reader) webhook(e *entry) *Webhook {
	if u, err := url.Parse(e.Webhook.URL); err != nil || u.Hostname() == "" {
		r.fault("is not a URL: use one such as https://erp.example/hooks/invoice", "webhook", "url")
	}
	return &Webhook{
		URL:        e.Webhook.URL,
		SecretEnv:  e.Webhook.SecretEnv,
		SecretFile: e.Webhook.SecretFile,
		Allow:      r.networks(e.Webhook.Allow),
		Lease:      r.duration(e.Webhook.Lease, "webhook", "lease"),
	}
}

// networks reads the addresses that a webhook may lead to.
func (r *reader) networks(all []string) []netip.Prefix {
	var networks []netip.Prefix
	for i, text := range all {
		network, err := parseNetwork(text)
		switch {
		case err != nil:
			r.fault(fmt.Sprintf("%q is not a network: use one such as 10.1.0.0/16 or fd00::/8, or an address", text), "webhook", "allow", fmt.Sprint(i))
		case network != network.Masked():
			r.fault(fmt.Sprintf("%q has bits beyond its length: use %s", text, network.Masked()), "webhook", "allow", fmt.Sprint(i))
		}
		networks = append(networks, network)
	}
	return networks
}

// parseNetwork reads a network, or an address as the network that has no other.
func parseNetwork(text string) (netip.Prefix, error) {
	if strings.Contains(text, "/") {
		return netip.ParsePrefix(text)
	}
	address, err := netip.ParseAddr(text)
	return netip.PrefixFrom(address, address.BitLen()), err
}
