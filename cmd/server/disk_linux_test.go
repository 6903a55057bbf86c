package main

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// smallDisk names, in the environment of a server, a directory that becomes a disk of
// diskBytes, its own: it needs no right that a user does not have.
const (
	smallDisk = "ACTIVEMESSAGE_TEST_SMALL_DISK"
	diskBytes = 16 << 20
)

// prepareServer mounts the small disk, in the server's process.
func prepareServer() error {
	dir := os.Getenv(smallDisk)
	if dir == "" {
		return nil
	}
	return syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+strconv.Itoa(diskBytes))
}

// startOnSmallDisk starts a server with its data on a small disk, and returns where the
// test sees that.
func startOnSmallDisk(t *testing.T, args ...string) (p *process, disk string) {
	t.Helper()
	dir := t.TempDir()
	cmd := command(append([]string{"--data", filepath.Join(dir, "data")}, args...)...)
	cmd.Env = append(cmd.Env, smallDisk+"="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	p, err := begin(t, cmd)
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EINVAL) {
		t.Skipf("no namespaces here: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return p, filepath.Join("/proc", strconv.Itoa(p.cmd.Process.Pid), "root", dir)
}

// A disk without room turns the server red and lets it refuse, not fail; when there is
// room again it goes on by itself, with everything it had accepted.
func TestAFullDisk(t *testing.T) {
	t.Parallel()
	for name, minFree := range map[string]string{"nearly full": strconv.Itoa(4 << 20), "full": "-1"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, disk := startOnSmallDisk(t, "--min-free-bytes="+minFree)
			ballast := filepath.Join(disk, "ballast")
			if err := os.WriteFile(ballast, make([]byte, diskBytes/2), 0o600); err != nil {
				t.Fatal(err)
			}
			body := fmt.Sprintf(`{"message_type":"sleep","message_data":{"duration":"1ms","filler":%q},"response_notification":"request"}`,
				strings.Repeat("x", 100<<10))
			accepted, code := 0, http.StatusAccepted
			for accepted < 1000 && code == http.StatusAccepted {
				if code = p.post(body); code == http.StatusAccepted {
					accepted++
				}
			}
			if code != http.StatusInsufficientStorage || accepted == 0 {
				t.Fatalf("status %d after %d messages", code, accepted)
			}
			if code := p.get("/readyz"); code != http.StatusServiceUnavailable {
				t.Errorf("/readyz: %d", code)
			}
			if code := p.get("/livez"); code != http.StatusOK {
				t.Errorf("/livez: %d", code)
			}
			if err := os.Remove(ballast); err != nil {
				t.Fatal(err)
			}
			p.eventually("ready", func() bool { return p.get("/readyz") == http.StatusOK })
			p.eventually("accepting", func() bool { return p.post(body) == http.StatusAccepted })
			p.events("0", accepted+2) // a retry advice comes first
			p.stop()
		})
	}
}
