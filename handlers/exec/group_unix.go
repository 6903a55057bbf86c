//go:build unix

package exec

import (
	"errors"
	"io"
	"os"
	osexec "os/exec"
	"syscall"
	"time"
)

// terminate asks the command's group to end.
func terminate(cmd *osexec.Cmd) { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }

// kill ends the group.
func kill(cmd *osexec.Cmd) { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }

// killRest ends what a command that has exited left of its group.
func killRest(cmd *osexec.Cmd) { kill(cmd) }

// drain reads what is in a pipe now, without waiting for more: what the command wrote
// is there, and is no more than a pipe holds.
func drain(into io.Writer, f *os.File, buffer []byte) {
	const pipeHolds = 64 << 10
	raw, err := f.SyscallConn()
	if err != nil || f.SetReadDeadline(time.Time{}) != nil {
		return
	}
	_ = raw.Read(func(fd uintptr) bool {
		for total := 0; total < pipeHolds; {
			n, err := syscall.Read(int(fd), buffer)
			if errors.Is(err, syscall.EINTR) {
				continue
			}
			if n <= 0 {
				break
			}
			if _, err := into.Write(buffer[:n]); err != nil {
				break
			}
			total += n
		}
		return true
	})
}
