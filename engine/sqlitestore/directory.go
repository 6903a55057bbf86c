package sqlitestore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/gofrs/flock"
)

const (
	databaseName = "activemessage.db"
	lockName     = "lock"
)

// directory is a data directory that this process has alone.
type directory struct {
	path string
	lock *flock.Flock
}

// openDirectory makes the directory if there is none, and locks it. The lock is the
// kernel's, so it goes with the process however that ends; what the file says is only
// for the words of whoever comes second.
func openDirectory(path string) (*directory, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("the data directory %s cannot be made: %w", path, err)
	}
	name := filepath.Join(path, lockName)
	d := &directory{path: path, lock: flock.New(name, flock.SetFlag(os.O_CREATE|os.O_RDWR))}
	locked, err := d.lock.TryLock()
	switch {
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("the data directory %s cannot be written to: let the server's user write there, or choose another --data: %w", path, err)
	case err != nil:
		return nil, fmt.Errorf("the data directory %s cannot be locked: %w", path, err)
	case !locked:
		return nil, fmt.Errorf("another server is using %s%s: stop it, or choose another --data", path, holder(name))
	}
	if err := os.WriteFile(name, []byte(strconv.Itoa(os.Getpid())+"\n"), 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("the data directory %s cannot be written to: %w", path, err), d.close())
	}
	return d, nil
}

// holder names the process that has the lock, if it got so far as to say.
func holder(lock string) string {
	text, err := os.ReadFile(lock)
	pid := strings.TrimSpace(string(text))
	if err != nil || pid == "" {
		return ""
	}
	return " (pid " + pid + ")"
}

func (d *directory) database() string { return filepath.Join(d.path, databaseName) }

// close gives the directory free. The lock's file stays: removing it could take it from
// under another process that waits for it.
func (d *directory) close() error { return d.lock.Close() }
