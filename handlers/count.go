package handlers

import (
	"context"
	"sync"
)

// Counter is the example of a handler that captures a shared resource: here a
// number behind a mutex, elsewhere a database.
type Counter struct {
	mu    sync.Mutex
	total int64 // guarded by mu
}

// Increment is what Count takes.
type Increment struct {
	// By is added to the total; without it, 1 is.
	By *int64 `json:"by"`
}

// Total is what Count returns.
type Total struct {
	Total int64 `json:"total"`
}

// Count adds to the total and returns it. Registered as engine.Typed(c.Count).
func (c *Counter) Count(_ context.Context, in Increment) (Total, error) {
	by := int64(1)
	if in.By != nil {
		by = *in.By
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.total += by
	return Total{Total: c.total}, nil
}
