package engine

import (
	"context"
	"time"
)

// Resume is a stub until the real one comes.
func (e *Engine) Resume(_ context.Context, _ *Consumer, l Lease, d time.Duration) error {
	if len(e.Extend(d, l)) > 0 {
		return ErrStale
	}
	return nil
}
