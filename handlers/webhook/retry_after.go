package webhook

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// maxRetryAfter bounds for how long an endpoint can put itself off.
const maxRetryAfter = time.Hour

// retryAfter is how long an answer asks to wait, up to maxRetryAfter: Retry-After in
// seconds or as a date (RFC 9110, section 10.2.3). It is 0 if there is none, none that
// can be read, or one that is over: then the type's policy says how long, so that no
// answer makes the server call without a pause.
func retryAfter(value string, now time.Time) time.Duration {
	value = strings.TrimSpace(value)
	if value == "" {
		return 0
	}
	if strings.Trim(value, "0123456789") == "" {
		seconds, err := strconv.ParseInt(value, 10, 64)
		if err != nil || seconds > int64(maxRetryAfter/time.Second) { // too many digits for an int64
			return maxRetryAfter
		}
		return time.Duration(seconds) * time.Second
	}
	date, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	return min(max(date.Sub(now), 0), maxRetryAfter)
}
