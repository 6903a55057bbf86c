// Package faultvfs is a file system for SQLite that fails, for tests: it loses power,
// has no room, or does not sync.
//
// A Disk keeps beside every file what of it was synced. After PowerOff nothing works any
// more; Recover then makes the files what a disk has after a power cut: all that was
// synced, and of the rest nothing, or any sectors.
//
// It is imported by tests only.
package faultvfs

import (
	"math/rand/v2"
	"os"
	"sync"
	"syscall"

	"github.com/ncruces/go-sqlite3/vfs"
)

// sector is what a disk writes as a whole.
const sector = 512

// Disk is a file system. Its methods may be called from any goroutine.
type Disk struct {
	name string
	os   vfs.VFSFilename

	mu sync.Mutex
	// All below is guarded by mu.
	images    map[string]*image
	off       bool
	cutIn     int   // writes and syncs until the power goes; 0 is never
	room      int64 // bytes until it is full; negative means without end
	failSyncs bool
	syncs     int
}

// Register makes a disk that SQLite knows by a name. The caller has it unregistered by
// Close.
func Register(name string) *Disk {
	d := &Disk{name: name, os: vfs.Find("os").(vfs.VFSFilename), images: make(map[string]*image), room: -1}
	vfs.Register(name, d)
	return d
}

// Close makes the disk unknown again.
func (d *Disk) Close() { vfs.Unregister(d.name) }

// PowerOff lets everything fail from now on.
func (d *Disk) PowerOff() { d.set(func() { d.off = true }) }

// PowerOffIn lets everything fail after so many more writes and syncs.
func (d *Disk) PowerOffIn(n int) { d.set(func() { d.cutIn = n }) }

// Fill lets writes fail after so many more bytes. Negative is no bound.
func (d *Disk) Fill(bytes int64) { d.set(func() { d.room = bytes }) }

// FailSyncs lets syncs fail, or not any more.
func (d *Disk) FailSyncs(fail bool) { d.set(func() { d.failSyncs = fail }) }

// Syncs returns how many syncs there were.
func (d *Disk) Syncs() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.syncs
}

func (d *Disk) set(change func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change()
}

// Recover is called when all who used the disk have given up: it makes the files what
// they are after the power cut, and the disk works again. With a source of chance any
// sectors that were not synced are on the disk, otherwise none.
func (d *Disk) Recover(torn *rand.Rand) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for path, f := range d.images {
		if err := os.Remove(path + "-shm"); err != nil && !os.IsNotExist(err) {
			return err
		}
		content, exists := f.recover(torn)
		if !exists {
			if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
				return err
			}
			continue
		}
		if err := os.WriteFile(path, content, 0o600); err != nil {
			return err
		}
	}
	d.images = make(map[string]*image)
	d.off, d.cutIn, d.room, d.failSyncs = false, 0, -1, false
	return nil
}

// spend is asked before every write and sync. The caller holds mu.
func (d *Disk) spend() error {
	if d.cutIn > 0 {
		d.cutIn--
		d.off = d.off || d.cutIn == 0
	}
	return d.powered()
}

func (d *Disk) powered() error {
	if d.off {
		return syscall.EIO
	}
	return nil
}
