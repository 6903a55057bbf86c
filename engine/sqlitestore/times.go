package sqlitestore

import (
	"math"
	"time"
)

// nanos is a time as rows have it; 0, which they have as NULL, is the zero time.
func nanos(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	switch seconds := t.Unix(); { // beyond what 64 bits hold
	case seconds > math.MaxInt64/1_000_000_000-1:
		return math.MaxInt64
	case seconds < math.MinInt64/1_000_000_000+1:
		return math.MinInt64
	}
	return t.UnixNano()
}

func timeOf(nanos int64) time.Time {
	if nanos == 0 {
		return time.Time{}
	}
	return time.Unix(0, nanos).UTC()
}

// earlier returns the earlier of two times, of which the zero one is none.
func earlier(a, b int64) int64 {
	switch {
	case a == 0:
		return b
	case b == 0:
		return a
	}
	return min(a, b)
}
