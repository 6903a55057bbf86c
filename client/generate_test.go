package client_test

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/activemessage/activemessage/internal/toolchain"
)

// TestGenerated holds generated.go against what go generate would make of
// openapi.yaml now.
func TestGenerated(t *testing.T) {
	t.Parallel()
	toolchain.Need(t, "go")
	const name = "generated.go"
	directive := directiveOf(t)
	at := slices.Index(directive, name)
	if at < 3 {
		t.Fatalf("%q does not write %s", directive, name)
	}
	version := toolchain.Command{Line: append(slices.Clone(directive[:3]), "-version")} // go run package@version
	if _, err := version.Output(t); err != nil {
		toolchain.Unavailable(t, directive[2], err)
	}
	fresh := filepath.Join(t.TempDir(), name)
	directive[at] = fresh
	toolchain.Command{Line: directive}.Run(t)
	want, err := os.ReadFile(fresh)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is not what openapi.yaml gives: go generate ./client", name)
	}
}

// directiveOf returns the words of the package's one go:generate directive.
func directiveOf(t *testing.T) []string {
	t.Helper()
	source, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	_, directive, found := strings.Cut(string(source), "\n//go:generate ")
	if !found {
		t.Fatal("doc.go has no go:generate")
	}
	return strings.Fields(strings.SplitN(directive, "\n", 2)[0])
}
