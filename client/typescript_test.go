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
	toolchain.Need(t, "node", "npm")
	const folder = "testdata/typescript"
	manifest, lock := read(t, folder, "package.json"), read(t, folder, "package-lock.json")
	packages := toolchain.Cached(t, "npm-packages", []string{manifest, lock}, func(directory string) error {
		for name, content := range map[string]string{"package.json": manifest, "package-lock.json": lock} {
			if err := os.WriteFile(filepath.Join(directory, name), []byte(content), 0o600); err != nil {
				return err
			}
		}
		_, err := toolchain.Command{Directory: directory, Line: []string{"npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund",
			"--loglevel=error", "--fetch-retries=1", "--fetch-retry-mintimeout=1000"}}.Output(t)
		return err
	})
	work := t.TempDir()
	if err := os.CopyFS(work, os.DirFS(folder)); err != nil {
		t.Fatal(err)
	}
	modules := filepath.Join(packages, "node_modules")
	if err := os.Symlink(modules, filepath.Join(work, "node_modules")); err != nil {
		t.Fatal(err)
	}
	script := func(name string) string { return filepath.Join(modules, filepath.FromSlash(name)) }
	toolchain.Command{Line: []string{"node", script("openapi-typescript/bin/cli.js"), "../openapi.yaml", "--output", filepath.Join(work, "schema.d.ts")}}.Run(t)
	toolchain.Command{Directory: work, Line: []string{"node", script("typescript/bin/tsc")}}.Run(t)
	toolchain.Command{
		Directory:   work,
		Environment: []string{"ACTIVEMESSAGE_URL=" + serve(t)},
		Line:        []string{"node", "main.js"},
	}.Run(t)
}

func read(t *testing.T, folder, name string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(folder, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
