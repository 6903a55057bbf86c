package webhook

import (
	"net/http"
	"testing"
	"time"
)

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 26, 9, 0, 0, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"":                                 0,
		"0":                                0,
		"000":                              0,
		"1":                                time.Second,
		" 120 ":                            2 * time.Minute,
		"0120":                             2 * time.Minute,
		"3600":                             time.Hour,
		"3601":                             time.Hour,
		"99999999999999999999999999":       time.Hour,
		"9223372036854775807":              time.Hour,
		"-1":                               0,
		"+1":                               0,
		"1.5":                              0,
		"1s":                               0,
		"soon":                             0,
		"١":                                0,
		"Thu, 26 Nov 2026 09:01:30 GMT":    90 * time.Second,
		"Thursday, 26-Nov-26 09:01:30 GMT": 90 * time.Second,
		"Thu Nov 26 09:01:30 2026":         90 * time.Second,
		"Thu, 26 Nov 2026 08:59:59 GMT":    0,
		"Fri, 31 Dec 9999 23:59:59 GMT":    time.Hour,
		"Mon, 01 Jan 0001 00:00:00 GMT":    0,
	} {
		if got := retryAfter(value, now); got != want {
			t.Errorf("%q: %s, want %s", value, got, want)
		}
	}
}

func FuzzRetryAfter(f *testing.F) {
	now := time.Date(2026, 11, 26, 9, 0, 0, 0, time.UTC)
	for _, value := range []string{"", "0", "120", "99999999999999999999", "-1", now.Format(http.TimeFormat), now.Add(time.Hour).Format(time.ANSIC)} {
		f.Add(value)
	}
	f.Fuzz(func(t *testing.T, value string) {
		if got := retryAfter(value, now); got < 0 || got > maxRetryAfter {
			t.Errorf("%q: %s", value, got)
		}
	})
}
