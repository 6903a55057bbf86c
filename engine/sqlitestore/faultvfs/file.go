package faultvfs

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"slices"
	"syscall"

	"github.com/ncruces/go-sqlite3/vfs"
)

// Open opens a file that has no name.
func (d *Disk) Open(string, vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	return nil, 0, errors.New("files without a name are not for this disk")
}

// OpenFilename opens a file. Databases and their journals are followed, others are the
// system's.
func (d *Disk) OpenFilename(name *vfs.Filename, flags vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.powered(); err != nil {
		return nil, 0, err
	}
	followed := name != nil && flags&(vfs.OPEN_MAIN_DB|vfs.OPEN_MAIN_JOURNAL|vfs.OPEN_WAL) != 0
	var f *image
	if followed {
		var err error
		if f, err = d.image(name.String()); err != nil {
			return nil, 0, err
		}
	}
	inner, out, err := d.os.OpenFilename(name, flags)
	if err != nil || !followed {
		return inner, out, err
	}
	if f.deleted {
		f.deleted, f.pending = false, []operation{{}}
	}
	created := flags&vfs.OPEN_CREATE != 0 && flags&vfs.OPEN_MAIN_DB == 0
	return &file{File: inner, disk: d, image: f, created: created}, out, nil
}

// syncFolder makes deletions last. The caller holds mu.
func (d *Disk) syncFolder() {
	for _, f := range d.images {
		f.forget()
	}
}

// image returns what is followed of a file; what it has before that counts as synced.
func (d *Disk) image(path string) (*image, error) {
	if f := d.images[path]; f != nil {
		return f, nil
	}
	content, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	f := &image{synced: content, exists: err == nil}
	d.images[path] = f
	return f, nil
}

// Delete removes a file; after a power cut it may be there again.
func (d *Disk) Delete(name string, syncDir bool) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.spend(); err != nil {
		return err
	}
	if f := d.images[name]; f != nil {
		f.deleted = true
		if syncDir {
			d.syncFolder()
		}
	}
	return d.os.Delete(name, syncDir)
}

// Access asks the system.
func (d *Disk) Access(name string, flags vfs.AccessFlag) (bool, error) {
	return d.os.Access(name, flags)
}

// FullPathname asks the system.
func (d *Disk) FullPathname(name string) (string, error) { return d.os.FullPathname(name) }

// file is an open file that is followed. What it has is read from the system's, which is
// written to at once; that is never synced, for what was is in the image.
type file struct {
	vfs.File
	disk    *Disk
	image   *image
	created bool // the system's would sync the folder with the next sync; guarded by Disk.mu
}

func (f *file) ReadAt(p []byte, at int64) (int, error) {
	f.disk.mu.Lock()
	err := f.disk.powered()
	f.disk.mu.Unlock()
	if err != nil {
		return 0, err
	}
	return f.File.ReadAt(p, at)
}

func (f *file) WriteAt(p []byte, at int64) (int, error) {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if err := f.disk.spend(); err != nil {
		return 0, err
	}
	if f.disk.room >= 0 {
		if f.disk.room < int64(len(p)) {
			n, err := f.write(p[:f.disk.room], at)
			return n, cmp.Or(err, error(&fs.PathError{Op: "write", Path: f.disk.name, Err: syscall.ENOSPC}))
		}
	}
	return f.write(p, at)
}

// write writes what there is room for. The caller holds Disk.mu.
func (f *file) write(p []byte, at int64) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if f.disk.room >= 0 {
		f.disk.room -= int64(len(p))
	}
	f.image.pending = append(f.image.pending, operation{at, slices.Clone(p)})
	return f.File.WriteAt(p, at)
}

func (f *file) Truncate(size int64) error {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if err := f.disk.spend(); err != nil {
		return err
	}
	f.image.pending = append(f.image.pending, operation{at: size})
	return f.File.Truncate(size)
}

func (f *file) Sync(vfs.SyncFlag) error {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if err := f.disk.spend(); err != nil {
		return err
	}
	f.disk.syncs++
	if f.disk.failSyncs {
		return &fs.PathError{Op: "sync", Path: f.disk.name, Err: syscall.EIO}
	}
	f.image.sync()
	if f.created {
		f.created = false
		f.disk.syncFolder()
	}
	return nil
}

// SharedMemory is the system's: it does not outlive a power cut, nor is it missed.
func (f *file) SharedMemory() vfs.SharedMemory {
	if inner, is := f.File.(vfs.FileSharedMemory); is {
		return inner.SharedMemory()
	}
	return nil
}
