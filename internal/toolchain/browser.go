package toolchain

import (
	"context"
	"embed"
	"io/fs"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	"github.com/chromedp/chromedp"
)

// browserPackage is a Chromium that comes from npm: a file to run, which needs no
// installation and little of the system.
//
//go:embed browser
var browserPackage embed.FS

// Browser returns a chromedp context with an empty page in a headless Chromium,
// the machine's or one from npm. The test's end closes it.
func Browser(t testing.TB) context.Context {
	t.Helper()
	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]),
		chromedp.NoSandbox, // tests run as root in containers, and show it their own pages only
		chromedp.Flag("disable-dev-shm-usage", true),
		chromedp.UserDataDir(t.TempDir()),
	)
	options = append(options, executable(t)...)
	allocator, stop := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(stop)
	ctx, closePage := chromedp.NewContext(allocator)
	t.Cleanup(closePage)
	if err := chromedp.Do(ctx); err != nil {
		Unavailable(t, "a browser", err)
	}
	return ctx
}

// executable says which browser to run, and how.
func executable(t testing.TB) []chromedp.ExecAllocatorOption {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"} {
		if file, err := exec.LookPath(name); err == nil {
			return []chromedp.ExecAllocatorOption{chromedp.ExecPath(file)}
		}
	}
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		return nil // chromedp knows where else one may be
	}
	directory := unpacked(t)
	return []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(filepath.Join(directory, "chromium")),
		chromedp.Env("LD_LIBRARY_PATH=" + filepath.Join(directory, "al2023", "lib")),
		chromedp.Flag("headless", "shell"),
		chromedp.Flag("single-process", true),
		chromedp.Flag("no-zygote", true),
	}
}

// unpacked returns the directory of the browser from npm.
func unpacked(t testing.TB) string {
	t.Helper()
	folder, err := fs.Sub(browserPackage, "browser")
	if err != nil {
		t.Fatal(err)
	}
	work := NPM(t, folder)
	lock, err := fs.ReadFile(folder, "package-lock.json")
	if err != nil {
		t.Fatal(err)
	}
	return Cached(t, "chromium", []string{string(lock)}, func(directory string) error {
		_, err := Command{Directory: work, Environment: []string{"TMPDIR=" + directory}, Line: []string{"node", "unpack.js"}}.Output(t)
		return err
	})
}
