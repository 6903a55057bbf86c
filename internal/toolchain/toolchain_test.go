package toolchain_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/activemessage/activemessage/internal/toolchain"
)

// recorder is a test that notes how it was ended.
type recorder struct {
	testing.TB
	skipped, failed string
}

func (r *recorder) Helper()                        {}
func (r *recorder) Skipf(format string, a ...any)  { r.skipped = fmt.Sprintf(format, a...) }
func (r *recorder) Fatalf(format string, a ...any) { r.failed = fmt.Sprintf(format, a...) }

func TestWhatIsMissingIsSkippedInOneLineAndFailsInCI(t *testing.T) {
	t.Setenv("CI", "")
	r := &recorder{TB: t}
	toolchain.Need(r, "go", "no-such-tool")
	if !strings.Contains(r.skipped, "no-such-tool") || r.failed != "" {
		t.Errorf("%+v", r)
	}
	r = &recorder{TB: t}
	toolchain.Unavailable(r, "npm", errors.New("error: ENOTFOUND\n\tsee the log\n"+strings.Repeat("x", 1<<10)))
	if strings.Contains(r.skipped, "\n") || len(r.skipped) > 400 || !strings.Contains(r.skipped, "ENOTFOUND see the log") {
		t.Errorf("%q", r.skipped)
	}
	t.Setenv("CI", "true")
	r = &recorder{TB: t}
	toolchain.Need(r, "go", "no-such-tool")
	if !strings.Contains(r.failed, "no-such-tool") || r.skipped != "" {
		t.Errorf("%+v", r)
	}
}

func TestCacheIsFilledOnceOrNotAtAll(t *testing.T) {
	t.Setenv("CI", "")
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	t.Setenv("HOME", t.TempDir()) // where macOS has its cache
	r := &recorder{TB: t}
	toolchain.Cached(r, "part", []string{"1"}, func(string) error { return errors.New("offline") })
	if !strings.Contains(r.skipped, "needs part: offline") {
		t.Errorf("%+v", r)
	}
	filled := 0
	fill := func(directory string) error {
		filled++
		return os.WriteFile(filepath.Join(directory, "file"), nil, 0o600)
	}
	first := toolchain.Cached(t, "part", []string{"1"}, fill)
	again := toolchain.Cached(t, "part", []string{"1"}, fill)
	other := toolchain.Cached(t, "part", []string{"2"}, fill)
	if first != again || first == other || filled != 2 {
		t.Errorf("%s, %s, %s, filled %d times", first, again, other, filled)
	}
	if _, err := os.Stat(filepath.Join(first, "file")); err != nil {
		t.Error(err)
	}
	if rest, err := os.ReadDir(filepath.Dir(first)); err != nil || len(rest) != 2 {
		t.Errorf("%v, %v", rest, err)
	}
}
