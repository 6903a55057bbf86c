package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"github.com/activemessage/activemessage/internal/config"
)

// written is a file with a text.
func written(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "am.yaml")
	rewrite(t, name, text)
	return name
}

func rewrite(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// A flag wins over the environment, that over the file, that over the default; and it is
// known who has won.
func TestPrecedence(t *testing.T) {
	name := written(t, `
listen: 127.0.0.1:1
data: file
concurrency: 2
queue_limit: 3
drain_timeout: 4s
retain_age: {succeeded: 1h, log: "0"}
retain_bytes: {log: 5}
min_free_bytes: 1e3
allow_origin: [a.example, b.example]
callback_url: https://file.example
log_level: debug
log_format: json
`)
	t.Setenv("AM_CONFIG", name)
	t.Setenv("AM_CONCURRENCY", "20")
	t.Setenv("AM_QUEUE_LIMIT", "30")
	t.Setenv("AM_ALLOW_ORIGIN", "c.example")
	in, _, err := parse([]string{"--queue-limit", "300", "--retain-bytes", "failed=6"}, nil, "v1")
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]string)
	for _, s := range in.settings {
		got[s.key] = fmt.Sprintf("%v %s", plain(s.value), strings.ReplaceAll(s.origin, name, "am.yaml"))
	}
	for key, want := range map[string]string{
		"listen":            "127.0.0.1:1 am.yaml:2",
		"data":              "file am.yaml:3",
		"store":             "sqlite default",
		"concurrency":       "20 AM_CONCURRENCY",
		"queue_limit":       "300 --queue-limit",
		"max_message_bytes": "1048576 default",
		"max_result_bytes":  "1048576 default",
		"drain_timeout":     "4s am.yaml:6",
		"retain_age":        "map[log:0s succeeded:1h0m0s] am.yaml:7",
		"retain_bytes":      "map[failed:6] --retain-bytes",
		"min_free_bytes":    "1000 am.yaml:9",
		"allow_origin":      "[c.example] AM_ALLOW_ORIGIN",
		"callback_url":      "https://file.example am.yaml:11",
		"log_level":         "debug am.yaml:12",
		"log_format":        "json am.yaml:13",
	} {
		if got[key] != want {
			t.Errorf("%s: %s, expected %s", key, got[key], want)
		}
	}
	if len(got) != len(config.Keys()) {
		t.Errorf("%d settings, the schema has %d", len(got), len(config.Keys()))
	}
}

// What a setting has wrong is told where it is set.
func TestWrongSettings(t *testing.T) {
	file := "listen: \"host:99999\"\ncallback_url: https://user:pass@host\nretain_age: {log: 1h}\n"
	for _, c := range []struct {
		file string
		args []string
		env  string
		want string
	}{
		{file, nil, "", "am.yaml:1:9: listen: \"host:99999\" is not HOST:PORT: the port is not from 0 to 65535\n" +
			"am.yaml:2:15: callback_url: is not a base URL: use one such as https://messages.example"},
		{file, []string{"--listen=a", "--callback-url=b"}, "", "--listen: \"a\" is not HOST:PORT: address a: missing port in address\n" +
			"--callback-url: is not a base URL: use one such as https://messages.example"},
		{"store: disk", []string{"--concurrency=0"}, "", `am.yaml:1:8: store: "disk" is not one of sqlite, memory`},
		{"concurrency: 1", nil, "0", "AM_CONCURRENCY: must be greater than 0"},
		{"store: memory\nretain_age: {log: 1h}", nil, "", "am.yaml:1:8: store: is memory: --retain-age, --retain-bytes and --backup are for sqlite"},
		{"retain_age: {log: 1h}", []string{"--store=memory"}, "", ""}, // to try a file
		{"retain_age: {log: 1h}", []string{"--store=memory", "--retain-bytes=log=1"}, "", "--store: is memory: --retain-age, --retain-bytes and --backup are for sqlite"},
		{"concurrency: x", []string{"--healthcheck"}, "", ""}, // a server that runs is not ill
	} {
		if c.env != "" {
			t.Setenv("AM_CONCURRENCY", c.env)
		} else {
			_ = os.Unsetenv("AM_CONCURRENCY")
		}
		name := written(t, c.file)
		_, _, err := parse(append(c.args, "--config", name), nil, "v1")
		got := ""
		if err != nil {
			got = strings.ReplaceAll(err.Error(), name, "am.yaml")
		}
		if got != c.want {
			t.Errorf("%q %q: %s\nexpected %s", c.file, c.args, got, c.want)
		}
	}
}

// The schema and the flags say the same.
func TestTheSchemaIsThatOfTheFlags(t *testing.T) {
	t.Parallel()
	var schema struct {
		Properties map[string]struct {
			Default any
			Enum    []string
		}
	}
	if err := json.Unmarshal(config.Schema(), &schema); err != nil {
		t.Fatal(err)
	}
	parser, err := kong.New(&grammar{}, kong.Vars{"retain_age": "", "retain_bytes": ""})
	if err != nil {
		t.Fatal(err)
	}
	flags := []string{"handlers"}
	for _, flag := range parser.Model.Flags {
		if slices.Contains([]string{"help", "config", "backup", "healthcheck", "version"}, flag.Name) {
			continue
		}
		key := keyOf(flag)
		flags = append(flags, key)
		property, has := schema.Properties[key]
		switch {
		case !has:
			t.Errorf("the schema lacks %s", key)
		case property.Default != nil && fmt.Sprint(property.Default) != number(flag.Default), property.Default == nil && flag.Default != "":
			t.Errorf("%s: default %v, the flag's is %q", key, property.Default, flag.Default)
		case flag.Enum != "" && flag.Enum != strings.Join(property.Enum, ","):
			t.Errorf("%s: %v, the flag has %s", key, property.Enum, flag.Enum)
		}
	}
	for key := range schema.Properties {
		if !slices.Contains(flags, key) {
			t.Errorf("there is no flag for %s", key)
		}
	}
}

// number is a flag's default as a number of JSON is printed.
func number(text string) string {
	var value any
	if err := json.Unmarshal([]byte(text), &value); err == nil {
		return fmt.Sprint(value)
	}
	return text
}

const checked = `listen: 127.0.0.1:0
handlers:
  upper: {exec: [sh, -c, cat], timeout: never, env: [TOKEN=hidden, HOME], result_type: text/plain, grace: 500ms}
  invoice: {webhook: {url: "https://erp.example/hidden?hidden", secret_env: ERP_SECRET, allow: [10.0.0.0/8]}, retry: {max_attempts: 8}}
  transcribe: {remote: {}, concurrency: 64, grace: 90s}
`

const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// check prints what a start would run with, where each comes from, and no secret; what it
// prints is a configuration.
func TestCheck(t *testing.T) {
	t.Setenv("ERP_SECRET", secret)
	name := written(t, checked)
	in, _, err := parse([]string{"check", "--config", name, "--store=memory", "--drain-timeout=1m"}, nil, "v1")
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if code := check(in, &out); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	got := strings.ReplaceAll(out.String(), name, "am.yaml")
	const want = `listen: 127.0.0.1:0 # am.yaml:1
data: data # default
store: memory # --store
concurrency: 64 # default
queue_limit: 10000 # default
max_message_bytes: 1048576 # default
max_result_bytes: 1048576 # default
drain_timeout: 1m # --drain-timeout
min_free_bytes: 67108864 # default
allow_origin: [] # default
log_level: info # default
log_format: auto # default
handlers: # am.yaml:2
  invoice: # am.yaml:4
    webhook: # no callback_url: receivers that answer 202 are not told where to settle
      url: https://erp.example/…
      secret_env: ERP_SECRET
      allow: [10.0.0.0/8]
    timeout: 5m # default
    grace: 2s # default
    retry:
      max_attempts: 8
      max_lost: 3 # default
      initial: 1s # default
      max: 5m # default
  transcribe: # am.yaml:5
    remote: {}
    timeout: 5m # default
    grace: 1m30s
    concurrency: 64
    retry:
      max_attempts: 1 # default
      max_lost: 3 # default
  upper: # am.yaml:3
    exec: [sh, -c, cat]
    result_type: text/plain
    env: [TOKEN=…, HOME]
    kill_after: 250ms # default
    timeout: never
    grace: 500ms
    retry:
      max_attempts: 5 # default
      max_lost: 3 # default
      initial: 1s # default
      max: 5m # default
`
	if got != want {
		t.Errorf("%s", got)
	}
	if _, err := config.Parse("check", out.Bytes()); err != nil {
		t.Error(err)
	}
}

// check finds all that a start would, and says it as a start does.
func TestCheckFindsWhatCannotStart(t *testing.T) {
	t.Setenv("SHORT", "whsec_aaaa")
	name := written(t, `handlers:
  nothing: {exec: [/nowhere/command]}
  nowhere: {exec: [sh], dir: /nowhere}
  unset: {exec: [sh], env: [AM_TEST_UNSET]}
  secret: {webhook: {url: https://h, secret_env: AM_TEST_UNSET}}
`)
	in, _, err := parse([]string{"check", "--config", name}, nil, "v1")
	if err != nil {
		t.Fatal(err)
	}
	if err := in.tryHandlers(); fmt.Sprint(strings.ReplaceAll(err.Error(), name, "am.yaml")) !=
		"am.yaml:4:29: handlers.unset.env.0: the environment variable AM_TEST_UNSET is not set\n"+
			"am.yaml:5:50: handlers.secret.webhook.secret_env: the environment variable that it names is not set" {
		t.Errorf("%v", err)
	}
	t.Setenv("AM_TEST_UNSET", "whsec_hidden!")
	err = in.tryHandlers()
	faults, is := errors.AsType[config.Errors](err)
	if !is || len(faults) != 3 || strings.Contains(err.Error(), "hidden") {
		t.Fatalf("%v", err)
	}
	for i, want := range []string{":2:19: handlers.nothing.exec: ", ":3:30: handlers.nowhere.dir: ", ":5:50: handlers.secret.webhook.secret_env: "} {
		if !strings.Contains(faults[i].Error(), want) {
			t.Errorf("%v, expected %s", faults[i], want)
		}
	}
	for _, c := range []struct {
		args []string
		code int
		out  string
	}{
		{[]string{"check", "--config", name}, exitFailed, "server: " + name + ":3:30: handlers.nowhere.dir: "},
		{[]string{"--config", name}, exitFailed, "server: " + name + ":3:30: handlers.nowhere.dir: "},
		{[]string{"--config", "nowhere.yaml"}, exitFailed, "server: nowhere.yaml: cannot be read: no such file or directory"},
		{[]string{"check"}, 0, "listen: 127.0.0.1:8080 # default"},
		{[]string{"check", "--listen=a"}, exitUsage, "server: --listen: "},
		{[]string{"chek"}, exitUsage, "chek"},
		{[]string{"schema"}, 0, `"$schema": "https://json-schema.org/draft/2020-12/schema"`},
		{[]string{"serve", "--version"}, 0, version},
	} {
		cmd := command(c.args...)
		out, err := cmd.CombinedOutput()
		if code := cmd.ProcessState.ExitCode(); code != c.code || !strings.Contains(string(out), c.out) {
			t.Errorf("%q: %v, exit code %d, expected %d:\n%s", c.args, err, code, c.code, out)
		}
	}
}

// The README's example is one.
func TestTheExampleOfTheReadme(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, example, _ := strings.Cut(string(readme), "```yaml\n")
	example, _, found := strings.Cut(example, "```")
	file, err := config.Parse("README.md", []byte(example))
	if err != nil || !found || len(file.Handlers) != 3 {
		t.Errorf("%v: %s", err, example)
	}
}
