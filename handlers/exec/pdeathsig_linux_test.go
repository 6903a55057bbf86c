package exec_test

import (
	"os"
	osexec "os/exec"
	"testing"
)

// A command does not outlive a server that was killed by kill -9.
func TestServerKilled(t *testing.T) {
	t.Parallel()
	house := newHousehold(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	server := &osexec.Cmd{Path: self, Args: []string{self, house.address()}, Env: append(os.Environ(), asCommand+"=server")}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	house.await("command")
	if err := server.Process.Kill(); err != nil {
		t.Error(err)
	}
	_ = server.Wait()
	house.gone()
}
