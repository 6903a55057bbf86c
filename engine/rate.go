package engine

import (
	"time"
)

const (
	rateWindow    = time.Second
	minRetryAfter = time.Second
	maxRetryAfter = time.Minute
)

// drainRate measures how fast messages end, to tell a refused submitter when to
// come back. Guarded by Engine.mu.
type drainRate struct {
	since     time.Time // when the current window began
	ended     int       // in the current window
	perSecond float64   // in the window before
}

func (d *drainRate) add(now time.Time) {
	d.ended++
	if elapsed := now.Sub(d.since); elapsed >= rateWindow {
		if !d.since.IsZero() {
			d.perSecond = float64(d.ended) / elapsed.Seconds()
		}
		d.since, d.ended = now, 0
	}
}

// timeToDrain estimates when n messages will have ended. A rate that has not
// been confirmed for longer than its window fades.
func (d *drainRate) timeToDrain(n int, now time.Time) time.Duration {
	rate := d.perSecond
	if elapsed := now.Sub(d.since); !d.since.IsZero() && elapsed > 2*rateWindow {
		rate = float64(d.ended) / elapsed.Seconds()
	}
	if rate <= 0 {
		if d.since.IsZero() {
			return minRetryAfter
		}
		return maxRetryAfter
	}
	seconds := min(float64(n)/rate, maxRetryAfter.Seconds())
	return max(time.Duration(seconds*float64(time.Second)), minRetryAfter)
}
