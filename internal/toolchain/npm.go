package toolchain

import (
	"os"
	"path/filepath"
	"testing"
)

// NPM returns a directory whose node_modules has what a package.json and its lock
// ask for, and nothing else. It needs node and npm.
func NPM(t testing.TB, manifest, lock []byte) string {
	t.Helper()
	Need(t, "node", "npm")
	return Cached(t, "npm-packages", []string{string(manifest), string(lock)}, func(directory string) error {
		return install(t, directory, manifest, lock)
	})
}

func install(t testing.TB, directory string, manifest, lock []byte) error {
	for name, content := range map[string][]byte{"package.json": manifest, "package-lock.json": lock} {
		if err := os.WriteFile(filepath.Join(directory, name), content, 0o600); err != nil {
			return err
		}
	}
	_, err := Command{Directory: directory, Line: []string{
		"npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error", "--fetch-retries=1", "--fetch-retry-mintimeout=1000",
	}}.Output(t)
	return err
}
