//go:build unix && !linux

package exec

import (
	osexec "os/exec"
	"syscall"
)

// ownGroup makes the command lead a process group.
func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// keepThread is for Linux.
func keepThread() func() { return func() {} }

// awaitExit cannot wait without reaping. For a moment after, the group's number may
// be another's: it would have to go once around all process ids.
func awaitExit(*osexec.Cmd) bool { return false }
