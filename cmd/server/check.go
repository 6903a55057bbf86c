package main

import (
	"cmp"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"github.com/activemessage/activemessage/engine"
	"github.com/activemessage/activemessage/internal/config"
)

// check does what a start does before it opens the data and the address, prints what the
// server would run with, and returns the exit code. Neither is touched: a server that runs
// may be checked.
func check(in *invocation, out io.Writer) int {
	if err := in.tryHandlers(); err != nil {
		return complain(err)
	}
	text, err := config.Dump(in.effective())
	if err == nil {
		_, err = out.Write(text)
	}
	if err != nil {
		return complain(err)
	}
	return 0
}

// tryHandlers builds all handlers, and lets them go.
func (in *invocation) tryHandlers() error {
	plans, err := in.plans()
	if err != nil {
		return err
	}
	var faults []error
	for _, p := range plans {
		h, err := in.build(p, parts{logger: slog.New(slog.DiscardHandler), gone: func(string) {}, maxResult: in.MaxResultBytes})
		faults = append(faults, err)
		if err == nil {
			retire(served(h))
		}
	}
	return config.Join(faults...)
}

// effective is the configuration that the server would run with, as a file has it. What
// may be secret is not in it.
func (in *invocation) effective() []config.Entry {
	var all []config.Entry
	for _, s := range in.settings {
		switch s.key {
		case "retain_age", "retain_bytes":
			if in.Store != "memory" {
				all = append(all, in.retained(s))
			}
			continue
		case "queue_limit":
			if in.QueueLimit == 0 {
				s.value = engine.DefaultStoredQueueLimit
				if in.Store == "memory" {
					s.value = engine.DefaultQueueLimit
				}
			}
		case "callback_url":
			if in.CallbackURL == "" {
				continue
			}
		}
		all = append(all, config.Entry{Key: s.key, Value: plain(s.value), Comment: s.origin})
	}
	if in.file != nil && in.file.HasHandlers {
		list := config.Entry{Key: "handlers", Inner: []config.Entry{}, Comment: in.origin("handlers")}
		for i := range in.file.Handlers {
			list.Inner = append(list.Inner, in.described(&in.file.Handlers[i]))
		}
		all = append(all, list)
	}
	return all
}

// plain is a value as a file has it.
func plain(value any) any {
	switch v := value.(type) {
	case time.Duration:
		return short(v)
	case slog.Level:
		return strings.ToLower(v.String())
	case []string:
		if v == nil {
			return []string{}
		}
	}
	return value
}

// short is a duration without the zeros at its end.
func short(d time.Duration) string {
	text := d.String()
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(text, zero) {
			text = text[:len(text)-2]
		}
	}
	return text
}

// origin is where the file has a key.
func (in *invocation) origin(keys ...string) string {
	if at := in.file.At(keys...); at.Line > 0 {
		return fmt.Sprintf("%s:%d", in.file.Name, at.Line)
	}
	return "default"
}

// retained is one side of the retention: what is given, and the defaults of the rest.
func (in *invocation) retained(s setting) config.Entry {
	r, _ := in.retention() // which is valid
	entry := config.Entry{Key: s.key}
	for _, kind := range kindsOf(&r) {
		value, given := any(kind.keep.Bytes), false
		if s.key == "retain_age" {
			value = "0"
			if kind.keep.Age > 0 {
				value = short(kind.keep.Age)
			}
			_, given = in.RetainAge[kind.name]
		} else {
			_, given = in.RetainBytes[kind.name]
		}
		inner := config.Entry{Key: kind.name, Value: value, Comment: "default"}
		if given {
			inner.Comment = s.origin
		}
		entry.Inner = append(entry.Inner, inner)
	}
	return entry
}

// described is a handler with its policy.
func (in *invocation) described(h *config.Handler) config.Entry {
	entry := config.Entry{Key: h.MessageType, Comment: in.origin("handlers", h.MessageType)}
	add := func(given bool, key string, value any) {
		if given {
			entry.Inner = append(entry.Inner, config.Entry{Key: key, Value: plain(value)})
		}
	}
	switch {
	case h.Exec != nil:
		add(true, "exec", h.Exec.Command)
		add(h.Exec.ResultType != "", "result_type", h.Exec.ResultType)
		add(h.Exec.Env != nil, "env", hidden(h.Exec.Env))
		add(h.Exec.Dir != "", "dir", h.Exec.Dir)
		add(h.Exec.MaxOutputBytes != 0, "max_output_bytes", h.Exec.MaxOutputBytes)
		add(h.Exec.KillAfter != 0, "kill_after", h.Exec.KillAfter)
		if h.Exec.KillAfter != 0 && in.origin("handlers", h.MessageType, "kill_after") == "default" {
			entry.Inner[len(entry.Inner)-1].Comment = "default" // of a short grace
		}
		add(h.Exec.HideStderr, "hide_stderr", true)
	case h.Webhook != nil:
		hook := config.Entry{Key: "webhook", Inner: webhookEntries(h.Webhook)}
		if in.withoutCallback() {
			hook.Comment = "no callback_url: receivers that answer 202 are not told where to settle"
		}
		entry.Inner = append(entry.Inner, hook)
	default:
		entry.Inner = append(entry.Inner, config.Entry{Key: "remote", Inner: []config.Entry{}})
	}
	entry.Inner = append(entry.Inner, in.policyEntries(h)...)
	return entry
}

// hidden keeps the names of variables, and of their values nothing: people put secrets
// into them.
func hidden(environ []string) []string {
	all := make([]string, len(environ))
	for i, variable := range environ {
		name, _, given := strings.Cut(variable, "=")
		if all[i] = name; given {
			all[i] += "=…"
		}
	}
	return all
}

// webhookEntries shows of the URL only where it leads: the rest may hold tokens.
func webhookEntries(w *config.Webhook) []config.Entry {
	where := "…"
	if u, err := url.Parse(w.URL); err == nil {
		where = u.Scheme + "://" + u.Host
		if u.Path != "" || u.RawQuery != "" {
			where += "/…"
		}
	}
	all := []config.Entry{{Key: "url", Value: where}}
	for key, names := range map[string][]string{"secret_env": w.SecretEnv, "secret_file": w.SecretFile} {
		if len(names) == 1 {
			all = append(all, config.Entry{Key: key, Value: names[0]})
		} else if len(names) > 1 {
			all = append(all, config.Entry{Key: key, Value: names})
		}
	}
	if len(w.Allow) > 0 {
		var networks []string
		for _, network := range w.Allow {
			networks = append(networks, network.String())
		}
		all = append(all, config.Entry{Key: "allow", Value: networks})
	}
	if w.Lease != 0 {
		all = append(all, config.Entry{Key: "lease", Value: short(w.Lease)})
	}
	return all
}

// policyEntries has what is given, and the engine's defaults of the rest.
func (in *invocation) policyEntries(h *config.Handler) []config.Entry {
	p := h.Policy
	origin := func(keys ...string) string {
		if in.file.At(append([]string{"handlers", h.MessageType}, keys...)...).Line > 0 {
			return ""
		}
		return "default"
	}
	timeout := "never"
	if p.Timeout >= 0 {
		timeout = short(cmp.Or(p.Timeout, engine.DefaultTimeout))
	}
	all := []config.Entry{
		{Key: "timeout", Value: timeout, Comment: origin("timeout")},
		{Key: "grace", Value: short(cmp.Or(p.Grace, engine.DefaultGrace)), Comment: origin("grace")},
	}
	for _, bound := range []config.Entry{
		{Key: "concurrency", Value: int64(p.Concurrency)},
		{Key: "queue_limit", Value: int64(p.QueueLimit)},
		{Key: "queue_bytes", Value: p.QueueBytes},
	} {
		if bound.Value != int64(0) {
			all = append(all, bound)
		}
	}
	retry := []config.Entry{
		{Key: "max_attempts", Value: cmp.Or(p.MaxAttempts, engine.DefaultMaxAttempts), Comment: origin("retry", "max_attempts")},
		{Key: "max_lost", Value: cmp.Or(p.MaxLost, engine.DefaultMaxLost), Comment: origin("retry", "max_lost")},
	}
	if p.MaxAttempts > 1 {
		initial := cmp.Or(p.Backoff.Initial, min(engine.DefaultBackoff, cmp.Or(p.Backoff.Max, engine.DefaultBackoff)))
		retry = append(retry,
			config.Entry{Key: "initial", Value: short(initial), Comment: origin("retry", "initial")},
			config.Entry{Key: "max", Value: short(cmp.Or(p.Backoff.Max, max(engine.DefaultMaxBackoff, initial))), Comment: origin("retry", "max")})
	}
	return append(all, config.Entry{Key: "retry", Inner: retry})
}
