package client_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/activemessage/activemessage/internal/toolchain"
)

// sourcesOnly hides what a developer has built or installed in a folder.
type sourcesOnly struct{ fs.FS }

// ReadDir implements fs.ReadDirFS.
func (s sourcesOnly) ReadDir(name string) ([]fs.DirEntry, error) {
	all, err := fs.ReadDir(s.FS, name)
	var kept []fs.DirEntry
	for _, entry := range all {
		switch entry.Name() {
		case "node_modules", "dist", "out":
		default:
			kept = append(kept, entry)
		}
	}
	return kept, err
}

// builtTypeScript returns a folder with the TypeScript worker, its tests and its
// example, all compiled.
func builtTypeScript(t *testing.T) string {
	t.Helper()
	work := toolchain.NPM(t, sourcesOnly{os.DirFS("typescript")})
	tsc := filepath.Join(work, "node_modules", "typescript", "bin", "tsc")
	toolchain.Command{Directory: work, Line: []string{"node", tsc}}.Run(t)
	toolchain.Command{Directory: work, Line: []string{"node", tsc, "--project", "tsconfig.test.json"}}.Run(t)
	return work
}

// TestWorkerInTypeScript runs its own tests, against a scripted server.
func TestWorkerInTypeScript(t *testing.T) {
	t.Parallel()
	work := builtTypeScript(t)
	toolchain.Command{Directory: work, Line: []string{"node", filepath.Join("out", "test", "main.js")}}.Run(t)
	// What would be published has all that its package.json names.
	for _, name := range []string{"dist/index.js", "dist/index.d.ts", "README.md"} {
		if _, err := os.Stat(filepath.Join(work, filepath.FromSlash(name))); err != nil {
			t.Error(err)
		}
	}
}
