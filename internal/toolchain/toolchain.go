// Package toolchain lets tests use tools that are not Go's, such as Node: a test
// whose tools are missing is skipped in one line, and fails where the environment
// has CI=true. What had to be downloaded is kept in the user's cache.
package toolchain

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// maxReason is how much of a tool's output a skipped test shows, in bytes.
const maxReason = 300

// waitDelay is for what a command started and left behind when it was stopped.
const waitDelay = 5 * time.Second

// Need goes on only if every tool is found in PATH.
func Need(t testing.TB, tools ...string) {
	t.Helper()
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			Unavailable(t, tool, errors.New("it is not installed"))
		}
	}
}

// Unavailable ends the test because it cannot have something, such as a download.
func Unavailable(t testing.TB, what string, err error) {
	t.Helper()
	reason := strings.Join(strings.Fields(err.Error()), " ")
	if len(reason) > maxReason {
		reason = reason[:maxReason] + "…"
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("needs %s: %s", what, reason)
	} else {
		t.Skipf("needs %s: %s (with CI=true this fails)", what, reason)
	}
}

// Cached returns a directory that fill has filled, by this run or an earlier one.
// What it holds may depend on the inputs only: other inputs are another directory.
// It stays until the user clears the cache, and nobody may write to it after fill.
// If fill fails, its directory is Unavailable.
func Cached(t testing.TB, name string, inputs []string, fill func(directory string) error) string {
	t.Helper()
	directory, err := cached(t, name, inputs, fill)
	if err != nil {
		Unavailable(t, name, err)
	}
	return directory
}

func cached(t testing.TB, name string, inputs []string, fill func(string) error) (string, error) {
	root, err := os.UserCacheDir()
	if err != nil { // no home: everything is downloaded each time
		root = t.TempDir()
	}
	root = filepath.Join(root, "activemessage-test")
	sum := sha256.Sum256([]byte(strings.Join(inputs, "\x00")))
	directory := filepath.Join(root, name+"-"+hex.EncodeToString(sum[:8]))
	if _, err := os.Stat(directory); err == nil {
		return directory, nil
	}
	if err := os.MkdirAll(root, 0o755); err != nil {
		return "", err
	}
	// Filled beside its place and then moved, so that it is whole or not there,
	// however many test runs do this at once.
	unfinished, err := os.MkdirTemp(root, name+"-unfinished-")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(unfinished) }()
	if err := fill(unfinished); err != nil {
		return "", err
	}
	if err := os.Rename(unfinished, directory); err != nil {
		if _, other := os.Stat(directory); other != nil {
			return "", err
		}
	}
	return directory, nil
}

// Command is a tool to be run.
type Command struct {
	// Directory is where it runs; "" is the test's.
	Directory string
	// Environment is added to the test's, as "name=value".
	Environment []string
	// Line is the program and its arguments.
	Line []string
}

// Output runs the command until the test ends and returns what it wrote to its
// standard output. The error has all it wrote.
func (c Command) Output(t testing.TB) (string, error) {
	command := exec.CommandContext(t.Context(), c.Line[0], c.Line[1:]...)
	command.Dir = c.Directory
	command.Env = append(os.Environ(), c.Environment...)
	command.WaitDelay = waitDelay
	var stdout, stderr strings.Builder
	command.Stdout, command.Stderr = &stdout, &stderr
	if err := command.Run(); err != nil {
		return "", fmt.Errorf("%s: %w\n%s%s", strings.Join(c.Line, " "), err, stderr.String(), stdout.String())
	}
	return stdout.String(), nil
}

// Run is Output for a command that has to succeed, or the test fails.
func (c Command) Run(t testing.TB) string {
	t.Helper()
	output, err := c.Output(t)
	if err != nil {
		t.Fatal(err)
	}
	return output
}
