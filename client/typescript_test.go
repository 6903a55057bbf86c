package client_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/activemessage/activemessage/internal/toolchain"
)

// TestTypeScript makes types of openapi.yaml, and runs a program that was checked
// against them, on Node.
func TestTypeScript(t *testing.T) {
	t.Parallel()
	work := toolchain.NPM(t, os.DirFS("testdata/typescript"))
	script := func(name string) string { return filepath.Join(work, "node_modules", filepath.FromSlash(name)) }
	toolchain.Command{Line: []string{"node", script("openapi-typescript/bin/cli.js"), "../openapi.yaml", "--output", filepath.Join(work, "schema.d.ts")}}.Run(t)
	toolchain.Command{Directory: work, Line: []string{"node", script("typescript/bin/tsc")}}.Run(t)
	toolchain.Command{
		Directory:   work,
		Environment: []string{"ACTIVEMESSAGE_URL=" + serve(t)},
		Line:        []string{"node", "main.js"},
	}.Run(t)
}

func read(t *testing.T, folder, name string) []byte {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(folder, name))
	if err != nil {
		t.Fatal(err)
	}
	return content
}
