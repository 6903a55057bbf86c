package exec

import (
	"io"
	"os"
	osexec "os/exec"
	"path/filepath"
	"strconv"
	"syscall"
)

// ownGroup keeps the console's Ctrl+C, which is for the server, from the command.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{HideWindow: true, CreationFlags: syscall.CREATE_NEW_PROCESS_GROUP}
}

// keepThread is for Linux.
func keepThread() func() { return func() {} }

// awaitExit cannot wait without reaping.
func awaitExit(*osexec.Cmd) bool { return false }

// terminate ends the command and what descends from it: nothing on Windows asks every
// program to.
func terminate(cmd *osexec.Cmd) { kill(cmd) }

// kill ends the command and what descends from it.
func kill(cmd *osexec.Cmd) {
	taskkill := filepath.Join(os.Getenv("SystemRoot"), "System32", "taskkill.exe")
	_ = (&osexec.Cmd{Path: taskkill, Args: []string{taskkill, "/T", "/F", "/PID", strconv.Itoa(cmd.Process.Pid)}}).Run()
	_ = cmd.Process.Kill()
}

// killRest cannot find what a command left that has exited.
func killRest(*osexec.Cmd) {}

// drain does nothing: a pipe that is released was closed.
func drain(io.Writer, *os.File, []byte) {}
