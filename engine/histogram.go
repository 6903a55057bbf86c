package engine

import (
	"slices"
	"time"
)

// Histogram counts durations in buckets.
type Histogram struct {
	// Bounds are the buckets' upper bounds, inclusive, ascending.
	Bounds []time.Duration
	// Counts has one more entry than Bounds: the last is what exceeded all.
	// They are not cumulative.
	Counts []uint64
	// Count and Sum are over all observations.
	Count uint64
	Sum   time.Duration
}

// bucketBounds are the upper bounds of every histogram's buckets.
var bucketBounds = [...]time.Duration{
	100 * time.Microsecond, 500 * time.Microsecond,
	time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond,
	10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 2500 * time.Millisecond, 5 * time.Second,
	10 * time.Second, 30 * time.Second, time.Minute, 5 * time.Minute,
}

// histogram is a Histogram that is being filled. Guarded by Engine.mu.
type histogram struct {
	counts [len(bucketBounds) + 1]uint64
	sum    time.Duration
}

// observe counts d. The search is linear because most durations are short.
func (h *histogram) observe(d time.Duration) {
	i := 0
	for i < len(bucketBounds) && d > bucketBounds[i] {
		i++
	}
	h.counts[i]++
	h.sum += d
}

func (h *histogram) snapshot() Histogram {
	s := Histogram{Bounds: bucketBounds[:], Counts: slices.Clone(h.counts[:]), Sum: h.sum}
	s.Bounds = slices.Clone(s.Bounds)
	for _, n := range s.Counts {
		s.Count += n
	}
	return s
}
