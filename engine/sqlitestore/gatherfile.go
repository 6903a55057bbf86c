package sqlitestore

import (
	"errors"

	"github.com/ncruces/go-sqlite3/vfs"
)

// maxGathered bounds what is gathered before it is written.
const maxGathered = 1 << 20

// gatherFile is a write-ahead log that is written to in few long writes, where SQLite
// makes two for every page. What it has gathered is of a transaction that is not committed:
// SQLite shows other connections a commit only after the sync, which writes all before
// it. So nobody misses what is not yet in the file, and if that cannot be written the
// transaction is undone, as if SQLite's own write had failed.
//
// That needs a sync with every commit: it is not for Config.Unsafe.
type gatherFile struct {
	roomFile
	gathered []byte
	at       int64 // where gathered belongs
}

// WriteAt gathers what continues what was gathered before.
func (f *gatherFile) WriteAt(p []byte, at int64) (int, error) {
	if at != f.at+int64(len(f.gathered)) || len(f.gathered)+len(p) > maxGathered {
		if err := f.flush(); err != nil {
			return 0, err
		}
	}
	if len(p) > maxGathered {
		return f.roomFile.WriteAt(p, at)
	}
	if len(f.gathered) == 0 {
		f.at = at
	}
	f.gathered = append(f.gathered, p...)
	return len(p), nil
}

// flush writes what was gathered. If that fails it is forgotten, for SQLite undoes the
// transaction and writes anew from there; all that came before it is synced.
func (f *gatherFile) flush() error {
	if len(f.gathered) == 0 {
		return nil
	}
	_, err := f.roomFile.WriteAt(f.gathered, f.at)
	f.gathered = f.gathered[:0]
	return err
}

// ReadAt reads what was written, gathered or not.
func (f *gatherFile) ReadAt(p []byte, at int64) (int, error) {
	if err := f.flush(); err != nil {
		return 0, err
	}
	return f.File.ReadAt(p, at)
}

// Sync writes what was gathered and syncs it. That there is no room is said by the write
// and means, as it does from WriteAt, that nothing was synced.
func (f *gatherFile) Sync(flags vfs.SyncFlag) error {
	if err := f.flush(); err != nil {
		return err
	}
	return f.File.Sync(flags)
}

// Truncate cuts what was written, gathered or not.
func (f *gatherFile) Truncate(size int64) error {
	if err := f.flush(); err != nil {
		return err
	}
	return f.File.Truncate(size)
}

// Size is that of what was written, gathered or not.
func (f *gatherFile) Size() (int64, error) {
	if err := f.flush(); err != nil {
		return 0, err
	}
	return f.File.Size()
}

// Close leaves the file as SQLite wrote it.
func (f *gatherFile) Close() error {
	return errors.Join(f.flush(), f.File.Close())
}
