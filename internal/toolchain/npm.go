package toolchain

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// NPM returns a copy of a folder, for the test to write to, in which the packages
// of its package-lock.json are installed. Scripts of packages are not run.
func NPM(t testing.TB, folder fs.FS) string {
	t.Helper()
	Need(t, "node", "npm")
	work := t.TempDir()
	if err := os.CopyFS(work, folder); err != nil {
		t.Fatal(err)
	}
	packages := npmPackages(t, folder)
	if err := os.Symlink(filepath.Join(packages, "node_modules"), filepath.Join(work, "node_modules")); err != nil {
		t.Fatal(err)
	}
	return work
}

// npmPackages returns a directory that has what a folder's package-lock.json says.
func npmPackages(t testing.TB, folder fs.FS) string {
	t.Helper()
	names := []string{"package.json", "package-lock.json"}
	contents := make([]string, len(names))
	for i, name := range names {
		content, err := fs.ReadFile(folder, name)
		if err != nil {
			t.Fatal(err)
		}
		contents[i] = string(content)
	}
	return Cached(t, "npm-packages", contents, func(directory string) error {
		for i, name := range names {
			if err := os.WriteFile(filepath.Join(directory, name), []byte(contents[i]), 0o600); err != nil {
				return err
			}
		}
		_, err := Command{Directory: directory, Line: []string{"npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund",
			"--loglevel=error", "--fetch-retries=1", "--fetch-retry-mintimeout=1000"}}.Output(t)
		return err
	})
}
