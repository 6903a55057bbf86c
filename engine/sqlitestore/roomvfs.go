package sqlitestore

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/vfs"
)

// roomVFS is a file system that tells SQLite when there is no room. The driver's own says
// only that a write failed, and the reason is lost in the rollback that follows; but
// whether there was room decides whether the store goes on.
type roomVFS struct {
	vfs.VFSFilename
	gather bool // write-ahead logs are gatherFiles
}

// withRoom registers a roomVFS over a file system and returns its name. It stays
// registered: it holds nothing.
func withRoom(name string, gather bool) (string, error) {
	inner, is := vfs.Find(name).(vfs.VFSFilename)
	if !is {
		return "", fmt.Errorf("sqlitestore: Config.VFS: %q is no file system that opens files", name)
	}
	if name = "room-" + name; gather {
		name = "gather-" + name
	}
	vfs.Register(name, roomVFS{inner, gather})
	return name, nil
}

// OpenFilename opens a file whose writes tell.
func (v roomVFS) OpenFilename(name *vfs.Filename, flags vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	f, out, err := v.VFSFilename.OpenFilename(name, flags)
	if err != nil {
		return nil, out, err
	}
	if v.gather && flags&vfs.OPEN_WAL != 0 {
		return &gatherFile{roomFile: roomFile{f}}, out, nil
	}
	return roomFile{f}, out, nil
}

type roomFile struct{ vfs.File }

func (f roomFile) WriteAt(p []byte, at int64) (int, error) {
	n, err := f.File.WriteAt(p, at)
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		err = vfs.SystemError(err, sqlite3.FULL)
	}
	return n, err
}

// SharedMemory is the file's own.
func (f roomFile) SharedMemory() vfs.SharedMemory {
	if inner, is := f.File.(vfs.FileSharedMemory); is {
		return inner.SharedMemory()
	}
	return nil
}

// SizeHint is for the file.
func (f roomFile) SizeHint(size int64) error {
	if inner, is := f.File.(vfs.FileSizeHint); is {
		return inner.SizeHint(size)
	}
	return nil
}

// HasMoved asks the file.
func (f roomFile) HasMoved() (bool, error) {
	if inner, is := f.File.(vfs.FileHasMoved); is {
		return inner.HasMoved()
	}
	return false, nil
}
