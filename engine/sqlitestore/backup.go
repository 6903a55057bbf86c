package sqlitestore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/ncruces/go-sqlite3"
)

// backupStep is how many pages are copied before the context is asked.
const backupStep = 2000

// Backup copies the store in dir to a new file, also while a server uses it; the server
// may be another process. The copy is of one moment. It has a log of its own: what was
// published after that moment is not in it, so cursors of dir's log must not be taken for
// its. To restore it, put it in an empty directory, named activemessage.db.
//
// The online backup API was chosen over VACUUM INTO because it copies pages as they are:
// the moment that it reads, during which the write-ahead log grows, is shorter.
func Backup(ctx context.Context, dir, dest string) error {
	source := filepath.Join(dir, databaseName)
	if _, err := os.Stat(source); err != nil {
		return fmt.Errorf("there is no data in %s to back up: %w", dir, err)
	}
	if err := vacant(dest); err != nil {
		return err
	}
	part, err := os.CreateTemp(filepath.Dir(dest), filepath.Base(dest)+".*.part")
	if err != nil {
		return fmt.Errorf("the backup cannot be written: %w", err)
	}
	defer removeDatabase(part.Name())
	if err := part.Close(); err != nil {
		return err
	}
	if err := copyDatabase(ctx, dir, source, part.Name()); err != nil {
		return fmt.Errorf("back up %s: %w", dir, err)
	}
	if err := makeOwn(ctx, part.Name()); err != nil {
		return fmt.Errorf("back up %s: %w", dir, err)
	}
	return publishFile(part.Name(), dest)
}

func vacant(dest string) error {
	if _, err := os.Lstat(dest); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s is there already: choose another name for the backup", dest)
	}
	return nil
}

// copyDatabase copies what is committed now. An open transaction keeps to one moment:
// without it, every commit of the server would begin the copy anew.
func copyDatabase(ctx context.Context, dir, source, dest string) (err error) {
	c, err := connect(ctx, source, "", sqlite3.OPEN_READWRITE, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer c.close()
	if err := c.Exec("BEGIN"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Exec("ROLLBACK")) }()
	if id, err := c.integer("PRAGMA application_id"); err != nil {
		return err
	} else if id != applicationID {
		return fmt.Errorf("%s is another program's database", source)
	}
	if _, err := checkSchema(c, dir, len(migrations())); err != nil {
		return err
	}
	backup, err := c.BackupInit("main", dest)
	if err != nil {
		return err
	}
	for done := false; !done && err == nil; {
		if err = ctx.Err(); err == nil {
			done, err = backup.Step(backupStep)
		}
	}
	return errors.Join(err, backup.Close())
}

// makeOwn gives a copy a log of its own. Who had claimed what is of no more meaning in
// it: owners are known only to the process that they are in.
func makeOwn(ctx context.Context, path string) error {
	c, err := connect(ctx, path, "", sqlite3.OPEN_READWRITE, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer c.close()
	if _, err := c.text("PRAGMA journal_mode = DELETE"); err != nil {
		return err
	}
	return c.Exec(fmt.Sprintf("PRAGMA synchronous = FULL; UPDATE head SET log = %d", newLog()))
}

// publishFile gives a file that is whole its name, for good. A file that has the name by
// now stays.
func publishFile(part, dest string) error {
	if err := syncPath(part); err != nil {
		return err
	}
	if err := os.Link(part, dest); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return vacant(dest)
		}
		if err := os.Rename(part, dest); err != nil { // the file system knows no links
			return err
		}
	}
	return syncPath(filepath.Dir(dest))
}

func syncPath(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// removeDatabase takes away what is left of a copy.
func removeDatabase(path string) {
	for _, suffix := range []string{"", "-wal", "-shm", "-journal"} {
		_ = os.Remove(path + suffix)
	}
}
