//go:build linux || darwin

package sqlitestore

import "syscall"

// freeBytes is what the disk of a directory has left for this user; 0 is unknown, so a
// disk that has nothing left has 1.
func freeBytes(dir string) int64 {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return 0
	}
	return max(int64(s.Bavail*uint64(s.Bsize)), 1)
}
