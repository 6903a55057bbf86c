package exec

import (
	osexec "os/exec"
	"runtime"
	"syscall"
)

// ownGroup makes the command lead a process group, and die with the server.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// keepThread keeps the goroutine on its thread until the function it returns is called.
// Pdeathsig is sent when the thread ends that started the command, not the process, see
// prctl(2) and golang.org/issue/27505. The runtime ends a thread only under a goroutine that
// locked it and returns: while this one has it, no other can.
func keepThread() func() {
	runtime.LockOSThread()
	return runtime.UnlockOSThread
}

// awaitExit waits until the command has exited, and leaves it to be reaped: its process
// id, which is its group's, is nobody else's until then. It reports whether it could.
func awaitExit(cmd *osexec.Cmd) bool {
	const byPID = 1 // P_PID of wait.h
	for {
		// Without a siginfo_t, which Linux allows, see waitid(2).
		_, _, err := syscall.Syscall6(syscall.SYS_WAITID, byPID, uintptr(cmd.Process.Pid), 0, syscall.WEXITED|syscall.WNOWAIT, 0, 0)
		if err != syscall.EINTR {
			return err == 0
		}
	}
}
