//go:build unix

package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A file that has a secret is a regular one: nothing waits for a pipe. Links to one are
// followed, as Kubernetes makes them.
func TestASecretIsInARegularFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	fifo, file, link := filepath.Join(dir, "fifo"), filepath.Join(dir, "file"), filepath.Join(dir, "link")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("whsec_a\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(file, link); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		fifo:        "handlers.a.webhook.secret_file: is not a regular file: name one, or a link to one",
		dir:         "handlers.a.webhook.secret_file: is not a regular file: name one, or a link to one",
		"/dev/null": "handlers.a.webhook.secret_file: is not a regular file: name one, or a link to one",
		link:        "",
	} {
		f := parse(t, "handlers: {a: {webhook: {url: https://h, secret_file: "+name+"}}}")
		secrets, err := f.Secrets(&f.Handlers[0], os.LookupEnv)
		switch {
		case want == "" && (err != nil || strings.Join(secrets, "") != "whsec_a"):
			t.Errorf("%s: %q, %v", name, secrets, err)
		case want != "" && (err == nil || !strings.HasSuffix(err.Error(), want)):
			t.Errorf("%s: %v, expected %s", name, err, want)
		}
	}
}
