package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/activemessage/activemessage/engine"
	"github.com/activemessage/activemessage/internal/config"
)

const (
	allSettings = "allow_origin, callback_url, concurrency, data, drain_timeout, handlers, listen, log_format, log_level, " +
		"max_message_bytes, max_result_bytes, min_free_bytes, queue_limit, retain_age, retain_bytes, store"
	allOfHandler = "concurrency, dir, env, exec, grace, hide_stderr, kill_after, max_output_bytes, queue_bytes, queue_limit, " +
		"remote, result_type, retry, timeout, webhook"
)

// Each wrong file is told by all that is wrong with it, where it is, and what is allowed.
func TestWrongFiles(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]string{
		"handlers:\n  thumbnail:\n    exec: [convert]\n    timeot: 30s\n": {
			"am.yaml:4:5: handlers.thumbnail.timeot: unknown key; allowed: " + allOfHandler + "; did you mean timeout?",
		},
		"handlers:\n  a: {exec: [sleep, 1], timeout: 30, hide_stderr: si}\n  b: {}\n  c: {exec: [a], webhook: {url: 'https://a', secret_env: X}}\n  d: {remote: {x: 1}, env: [A=1]}\n": {
			"am.yaml:2:21: handlers.a.exec.1: 1 is a number to YAML: put it in quotes",
			"am.yaml:2:34: handlers.a.timeout: 30 is a number: use a duration such as 30s or 10m, or never",
			`am.yaml:2:51: handlers.a.hide_stderr: "si": is text: use true or false`,
			"am.yaml:3:3: handlers.b: needs exactly one of exec, webhook, remote: there is none",
			"am.yaml:4:3: handlers.c: needs exactly one of exec, webhook, remote: there are exec and webhook",
			"am.yaml:5:16: handlers.d.remote.x: unknown key; none is allowed here: write {}",
			"am.yaml:5:23: handlers.d.env: is for exec only",
		},
		// Of a handler that has faults, the schema's come first; the others' come beside them.
		"handlers:\n  a: {remote: {}, timeout: soon}\n  b: {remote: {}, retry: {initial: 10s, max: 5s}}\n  c: {remote: {}, timeout: 99999999h}\n" +
			"  d: {webhook: {url: 'https://h', secret_file: x, allow: [10.0.0.1/8, 1/2, lan]}}\n": {
			`am.yaml:2:28: handlers.a.timeout: "soon": use a duration such as 30s or 10m, or never`,
			"am.yaml:3:46: handlers.b.retry.max: 5s is less than initial, 10s",
			`am.yaml:4:28: handlers.c.timeout: "99999999h" is too long: 290 years are the most`,
			`am.yaml:5:76: handlers.d.webhook.allow.2: "lan": use a network such as 10.1.0.0/16 or fd00::/8, or an address`,
		},
		"handlers:\n  d: {webhook: {url: 'https://h', secret_file: x, allow: [10.0.0.1/8, 1/2]}}\n  e: {exec: ['']}\n": {
			`am.yaml:2:59: handlers.d.webhook.allow.0: "10.0.0.1/8" has bits beyond its length: use 10.0.0.0/8`,
			`am.yaml:2:71: handlers.d.webhook.allow.1: "1/2" is not a network: use one such as 10.1.0.0/16 or fd00::/8, or an address`,
			"am.yaml:3:14: handlers.e.exec.0: is empty: the first element is the command",
		},
		// What may be a secret is not told back.
		"handlers:\n  a: {webhook: {url: 'https://u:hidden@h', secret: hidden}}\n  b: {webhook: {url: 'https://h', secret_env: whsec_hidden}}\n" +
			"  c: {webhook: {url: 'ftp://hidden', secret_env: [A, 'hidden hidden'], secret_file: []}}\n  d: {exec: [a], env: ['hidden hidden'], token: hidden}\n": {
			"am.yaml:2:7: handlers.a.webhook: needs exactly one of secret_env, secret_file: there is none",
			"am.yaml:2:22: handlers.a.webhook.url: use a URL such as https://erp.example/hooks/invoice, without user, password and fragment",
			"am.yaml:2:44: handlers.a.webhook.secret: secrets do not stand in this file: use secret_env: NAME of an environment variable, or secret_file: PATH",
			"am.yaml:3:35: handlers.b.webhook.secret_env: secrets do not stand in this file: use the name of an environment variable that has it, or secret_file",
			"am.yaml:4:7: handlers.c.webhook: needs exactly one of secret_env, secret_file: there are secret_env and secret_file",
			"am.yaml:4:22: handlers.c.webhook.url: use a URL such as https://erp.example/hooks/invoice, without user, password and fragment",
			"am.yaml:4:54: handlers.c.webhook.secret_env.1: use the name of an environment variable of the server",
			"am.yaml:4:85: handlers.c.webhook.secret_file: is empty",
			"am.yaml:5:24: handlers.d.env.0: use NAME=value, or NAME alone for the server's own variable",
			"am.yaml:5:42: handlers.d.token: unknown key; allowed: " + allOfHandler + "; secrets do not stand in this file: name an environment variable or a file that has it, as secret_env and secret_file of a webhook do",
		},
		"handlers:\n  a: {webhook: 'https://h/?token=hidden'}\n  b: 'https://h/?token=hidden'\n  c: {webhook: {url: 'https://h', secret_file: whsec_hidden}}\n" +
			"  d: {webhook: {url: 'https://h', secret_file: [/a, ' whsk_hidden']}}\n  e: {exec: [a], env: [whsec_hidden], grace: whsec_hidden}\n" +
			"  f: {webhook: {url: 'https://h', secret_env: [A, whsk_hidden, whsec_hid+den]}}\n": {
			"am.yaml:2:16: handlers.a.webhook: is text: use keys with values, or {}",
			"am.yaml:3:6: handlers.b: is text: use keys with values, or {}",
			"am.yaml:4:35: handlers.c.webhook.secret_file: secrets do not stand in this file: use the path of a file that has it, or secret_env",
			"am.yaml:5:53: handlers.d.webhook.secret_file.1: secrets do not stand in this file: use the path of a file that has it, or secret_env",
			"am.yaml:6:24: handlers.e.env.0: secrets do not stand in this file: use the name of an environment variable that has it",
			"am.yaml:6:46: handlers.e.grace: use a duration such as 500ms, 30s or 1h30m",
			"am.yaml:7:51: handlers.f.webhook.secret_env.1: secrets do not stand in this file: use the name of an environment variable that has it, or secret_file",
			"am.yaml:7:64: handlers.f.webhook.secret_env.2: secrets do not stand in this file: use the name of an environment variable that has it, or secret_file",
			"am.yaml:7:64: handlers.f.webhook.secret_env.2: use the name of an environment variable of the server",
		},
		"handlers:\n  \"a b\": {remote: {}}\n  ..: {remote: {}}\n  \"a\\nb: c\": 1\n": {
			`am.yaml:2:3: handlers."a b": is no message type: use 1 to 128 letters, digits and . _ - :`,
			`am.yaml:3:3: handlers...: is no message type: use 1 to 128 letters, digits and . _ - :`,
			`am.yaml:4:3: handlers."a\nb: c": is no message type: use 1 to 128 letters, digits and . _ - :`,
			`am.yaml:4:14: handlers."a\nb: c": 1 is a number: use keys with values, or {}`,
		},
		"listen: 8080\nconcurrency: 0\nstore: sqlit\nlog_level: [a]\ndrain_timeout: -1s\nqueue_limit: 1.5\nallow_origin: a\nretain_age: {sucseeded: 1h, log: 1d}\nretain_bytes: {log: -1}\nhandlers:\n": {
			"am.yaml:1:9: listen: 8080 is a number: use HOST:PORT, such as 127.0.0.1:8080",
			"am.yaml:2:14: concurrency: 0 is out of range: use a whole number from 1 to 1000000",
			`am.yaml:3:8: store: "sqlit" is not one of sqlite, memory; did you mean sqlite?`,
			"am.yaml:4:12: log_level: is a list: use debug, info, warn, error",
			`am.yaml:5:16: drain_timeout: "-1s": use a duration such as 500ms, 30s or 1h30m`,
			"am.yaml:6:14: queue_limit: 1.5 is a number: use a whole number from 1 to 1000000000",
			`am.yaml:7:15: allow_origin: "a": is text: use a list, such as [a, b]`,
			"am.yaml:8:14: retain_age.sucseeded: unknown key; allowed: cancelled, expired, failed, log, succeeded; did you mean succeeded?",
			`am.yaml:8:34: retain_age.log: "1d": use a duration such as 90m or 720h, or "0" for ever`,
			"am.yaml:9:21: retain_bytes.log: -1 is out of range: use a whole number from 0 to 1125899906842624",
			"am.yaml:10:10: handlers: is empty: use keys with values, or {}",
		},
		"drain_timeout: 0s\nlog_format: true\nmin-free-bytes: 1\nretain_age: {log: 99999999h}\n": {
			`am.yaml:1:16: drain_timeout: "0s": use more than 0`,
			"am.yaml:2:13: log_format: true is true or false to YAML: put it in quotes, or use auto, text, json",
			"am.yaml:3:1: min-free-bytes: unknown key; allowed: " + allSettings + "; did you mean min_free_bytes?",
			`am.yaml:4:19: retain_age.log: "99999999h" is too long: 290 years are the most`,
		},
		"concurrency: 99999999999999999999999\nqueue_limit: .inf\nmax_message_bytes: 2026-01-01\n": {
			"am.yaml:1:14: concurrency: 100000000000000000000000 is out of range: use a whole number from 1 to 1000000",
			`am.yaml:2:14: queue_limit: ".inf": is text: use a whole number from 1 to 1000000000`,
			`am.yaml:3:20: max_message_bytes: "2026-01-01": is text: use a whole number from 1 to 1099511627776`,
		},
		"listen: a:1\nlisten: b:2\nstore: disk\n": {
			"am.yaml:2:1: listen: is given twice; the first is in line 1",
			`am.yaml:3:8: store: "disk" is not one of sqlite, memory`,
		},
		"a: &a [1]\nb: *a\n<<: *a\n? [x]\n: y\nc: !!str 1\n": {
			"am.yaml:1:4: a: an anchor (&) is not allowed here: write the value out where it is needed",
			"am.yaml:2:4: b: an alias (*) is not allowed here: write the value out",
			"am.yaml:3:1: a merge key (<<) is not allowed here: write its values out",
			"am.yaml:4:3: a key must be plain text",
			"am.yaml:6:4: c: a tag (!) is not allowed here: write the value plainly, text in quotes",
		},
		"handlers:\n\ta: 1\n":                  {"am.yaml:2:1: is not YAML: a tab cannot indent: use spaces"},
		"a: [\n":                               {"am.yaml:2:1: is not YAML: while parsing a flow node: did not find expected node content"},
		"---\nstore: disk\n---\nstore: a\n":    {"am.yaml:3:1: a second document begins here: a configuration is one"},
		"- a\n":                                {"am.yaml:1:1: is a list: use keys with values, or {}"},
		"# nothing\nhello\n":                   {`am.yaml:2:1: "hello": is text: use keys with values, or {}`},
		"a: \xff":                              {"am.yaml: is not text in UTF-8"},
		strings.Repeat("#", config.MaxBytes+1): {"am.yaml: is larger than 1048576 bytes, which no configuration needs"},
		"a: " + strings.Repeat("[", 20_000):    {"am.yaml:1:10004: is not YAML: while increasing flow level: exceeded max depth of 10000"},
		"a: " + strings.Repeat("[", 30) + strings.Repeat("]", 30): {
			"am.yaml:1:24: a" + strings.Repeat(".0", 20) + ": is nested too deep",
		},
	} {
		_, err := config.Parse("am.yaml", []byte(text))
		if _, is := errors.AsType[config.Errors](err); !is || err.Error() != strings.Join(want, "\n") {
			t.Errorf("%.300q:\n%v\nexpected\n%s", text, err, strings.Join(want, "\n"))
		}
	}
}

// A file with very many faults is not told at any length.
func TestFaultsAreBounded(t *testing.T) {
	t.Parallel()
	_, err := config.Parse("am.yaml", []byte("handlers: {"+strings.Repeat("a: ,", 1000)+"}"))
	faults, is := errors.AsType[config.Errors](err)
	if !is || len(faults) != 51 || faults[50].Error() != "am.yaml: 950 more faults" {
		t.Errorf("%v", err)
	}
}

func TestAFileThatCannotBeRead(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"nowhere.yaml": "nowhere.yaml: cannot be read: no such file or directory",
		".":            ".: cannot be read: is a directory",
	} {
		if _, err := config.Read(name); err == nil || err.Error() != want {
			t.Errorf("%v, expected %s", err, want)
		}
	}
}

const whole = `# all there is
listen: 0.0.0.0:80
retain_age: {succeeded: 1h30m, log: "0"}
min_free_bytes: 1e9
concurrency: 0x10
allow_origin: [a.example, b.example]
handlers:
  transcribe: {remote: {}, timeout: never, queue_limit: 5, queue_bytes: 6}
  "007": {exec: [a, ""], timeout: 1m, grace: 3s, concurrency: 2, result_type: image/png, env: [A=1, HOME], dir: /tmp,
    max_output_bytes: 9, kill_after: 2s, hide_stderr: true}
  a.b: {webhook: {url: "https://h/x?y=1", secret_env: [NEW, OLD], allow: [10.0.0.0/8, "::1/128"], lease: 1h},
    retry: {max_attempts: 8, max_lost: 2, initial: 2s, max: 1m}}
`

func parse(t *testing.T, text string) *config.File {
	t.Helper()
	f, err := config.Parse("am.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestWhatIsRead(t *testing.T) {
	t.Parallel()
	f := parse(t, whole)
	for key, want := range map[string][]string{
		"listen":         {"0.0.0.0:80"},
		"retain_age":     {"log=0;succeeded=1h30m"},
		"min_free_bytes": {"1000000000"},
		"concurrency":    {"16"},
		"allow_origin":   {"a.example", "b.example"},
		"data":           nil,
	} {
		if values, given := f.Setting(key); given != (want != nil) || !reflect.DeepEqual(values, want) {
			t.Errorf("%s: %q, %t", key, values, given)
		}
	}
	want := []config.Handler{
		{
			MessageType: "007",
			Policy:      engine.Policy{Timeout: time.Minute, Grace: 3 * time.Second, Concurrency: 2, MaxAttempts: 5},
			Exec: &config.Exec{
				Command: []string{"a", ""}, Dir: "/tmp", Env: []string{"A=1", "HOME"}, ResultType: "image/png",
				MaxOutputBytes: 9, KillAfter: 2 * time.Second, HideStderr: true,
			},
		},
		{
			MessageType: "a.b",
			Policy:      engine.Policy{MaxAttempts: 8, MaxLost: 2, Backoff: engine.Backoff{Initial: 2 * time.Second, Max: time.Minute}},
			Webhook:     f.Handlers[1].Webhook,
		},
		{MessageType: "transcribe", Remote: true, Policy: engine.Policy{Timeout: -1, QueueLimit: 5, QueueBytes: 6}},
	}
	if !reflect.DeepEqual(f.Handlers, want) {
		t.Errorf("%+v", f.Handlers)
	}
	if w := f.Handlers[1].Webhook; w.URL != "https://h/x?y=1" || len(w.SecretEnv) != 2 || len(w.Allow) != 2 || w.Lease != time.Hour {
		t.Errorf("%+v", w)
	}
	if at := f.At("handlers", "a.b", "retry"); at != (config.Position{Line: 12, Column: 5}) {
		t.Errorf("%+v", at)
	}
	for _, text := range []string{"", "# nothing\n", "---\n", "{}", "\xef\xbb\xbflisten: a:1\n"} {
		if f := parse(t, text); f.HasHandlers || len(f.Handlers) > 0 {
			t.Errorf("%q: %+v", text, f)
		}
	}
	if f := parse(t, "handlers: {}"); !f.HasHandlers {
		t.Error("handlers without one are not there")
	}
}

func TestSecrets(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(name, []byte("whsec_b\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	environment := map[string]string{"ONE": " whsec_a\n", "EMPTY": ""}
	lookup := func(name string) (string, bool) { value, set := environment[name]; return value, set }
	f := parse(t, `handlers:
  env: {webhook: {url: https://h, secret_env: [ONE, ONE]}}
  file: {webhook: {url: https://h, secret_file: `+name+`}}
  no: {webhook: {url: https://h, secret_env: [NONE, ONE, EMPTY]}}
  nor: {webhook: {url: https://h, secret_file: /nowhere}}
  run: {exec: [a], env: [A=b, ONE]}
  ran: {exec: [a], env: [NONE]}
`)
	got := make(map[string]string)
	for i := range f.Handlers {
		h := &f.Handlers[i]
		var values []string
		var err error
		if h.Webhook != nil {
			values, err = f.Secrets(h, lookup)
		} else {
			values, err = f.Environ(h, lookup)
		}
		got[h.MessageType] = strings.Join(values, "|")
		if err != nil {
			got[h.MessageType] = err.Error()
		}
	}
	want := map[string]string{
		"env":  "whsec_a|whsec_a",
		"file": "whsec_b",
		"no": "am.yaml:4:47: handlers.no.webhook.secret_env.0: the environment variable that it names is not set\n" +
			"am.yaml:4:58: handlers.no.webhook.secret_env.2: what it names is empty",
		"nor": `am.yaml:5:48: handlers.nor.webhook.secret_file: the file cannot be read: no such file or directory`,
		"run": "A=b|ONE= whsec_a\n",
		"ran": "am.yaml:7:26: handlers.ran.env.0: the environment variable NONE is not set",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%q\nexpected\n%q", got, want)
	}
}

func TestDump(t *testing.T) {
	t.Parallel()
	text, err := config.Dump([]config.Entry{
		{Key: "listen", Value: "127.0.0.1:0", Comment: "default"},
		{Key: "allow_origin", Value: []string{"a", "1"}},
		{Key: "handlers", Comment: "am.yaml:1", Inner: []config.Entry{
			{Key: "123", Inner: []config.Entry{{Key: "remote", Inner: []config.Entry{}}, {Key: "timeout", Value: "never", Comment: "x"}}},
		}},
	})
	const want = `listen: 127.0.0.1:0 # default
allow_origin: [a, "1"]
handlers: # am.yaml:1
  '123':
    remote: {}
    timeout: never # x
`
	if err != nil || string(text) != want {
		t.Errorf("%v\n%s", err, text)
	}
	parse(t, want)
}

func TestJoin(t *testing.T) {
	t.Parallel()
	other := errors.New("other")
	one := &config.Error{File: "f", At: config.Position{Line: 2, Column: 1}, Reason: "one"}
	two := config.Errors{{File: "f", At: config.Position{Line: 1, Column: 1}, Key: "k", Reason: "two"}}
	for _, c := range []struct {
		errs []error
		want string
	}{
		{[]error{nil, one, two, one}, "f:1:1: k: two\nf:2:1: one"},
		{[]error{other}, "other"},
		{[]error{other, one}, "f:2:1: one\nother"},
	} {
		if err := config.Join(c.errs...); err == nil || err.Error() != c.want {
			t.Errorf("%v, expected %s", err, c.want)
		}
	}
	if err := config.Join(nil, nil); err != nil {
		t.Error(err)
	}
}

// Whatever a file has: it is refused in words that are bounded and say where, or it is
// what an engine takes.
func FuzzFile(f *testing.F) {
	f.Add([]byte(whole))
	f.Add([]byte("handlers:\n  a: {exec: [a], timeout: 0.1ns}\n  b: &x {remote: {}}\n<<: *x"))
	f.Add([]byte("? {a: b}\n: c\n\"\\0\": [1, {}, ~, .nan, 0o7, 1e400, !!binary aa]\n--- |\n a\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := config.Parse("am.yaml", data)
		if err != nil {
			faults, is := errors.AsType[config.Errors](err)
			if !is || len(faults) == 0 || len(faults) > 51 {
				t.Fatalf("%v", err)
			}
			for _, fault := range faults {
				if !strings.HasPrefix(fault.Error(), "am.yaml") || strings.ContainsAny(fault.Error(), "\n\x1b") {
					t.Errorf("%q", fault.Error())
				}
			}
			return
		}
		e, err := engine.New(engine.Config{})
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range file.Handlers {
			if err := e.Register(h.MessageType, engine.Outside(), h.Policy); err != nil {
				t.Errorf("%q: %v", h.MessageType, err)
			}
		}
		for _, key := range config.Keys() {
			file.Setting(key)
		}
	})
}
