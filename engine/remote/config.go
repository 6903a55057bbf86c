package remote

import (
	"cmp"
	"log/slog"
	"time"
)

// Config sets what workers may do. Fields say what their zero means; what is negative means
// the same.
type Config struct {
	// Beat is how often a worker says what it holds; one that says nothing for three of them
	// is taken for dead. Defaults to 5 s.
	Beat time.Duration
	// Lease is how long an attempt runs on of which nothing is heard. Defaults to 30 s.
	Lease time.Duration
	// Offer is how long a worker may take to ack a message. Defaults to 5 s.
	Offer time.Duration
	// Drain is what workers are told they have to finish when the engine drains. Defaults to
	// 25 s.
	Drain time.Duration
	// MaxInstances bounds the instances that are connected or hold leases. Defaults to 4,096.
	MaxInstances int
	// MaxTypes bounds the message types that workers may register, all of them together.
	// Defaults to 1,000.
	MaxTypes int
	// MaxWindow bounds how many messages an instance runs at once; a larger window counts as
	// this. Defaults to 4,096.
	MaxWindow int
	// MaxHeld bounds the leases in one list. Defaults to 16,384.
	MaxHeld int
	// Logger receives sessions at debug level, and what workers register at info level.
	// Defaults to discarding them.
	Logger *slog.Logger
}

// silences is after how many beats without a word a worker is dead.
const silences = 3

func (c Config) withDefaults() Config {
	c.Beat = cmp.Or(max(c.Beat, 0), 5*time.Second)
	c.Lease = cmp.Or(max(c.Lease, 0), 30*time.Second)
	c.Offer = cmp.Or(max(c.Offer, 0), 5*time.Second)
	c.Drain = cmp.Or(max(c.Drain, 0), 25*time.Second)
	c.MaxInstances = cmp.Or(max(c.MaxInstances, 0), 4096)
	c.MaxTypes = cmp.Or(max(c.MaxTypes, 0), 1000)
	c.MaxWindow = cmp.Or(max(c.MaxWindow, 0), 4096)
	c.MaxHeld = cmp.Or(max(c.MaxHeld, 0), 16_384)
	c.Logger = cmp.Or(c.Logger, slog.New(slog.DiscardHandler))
	return c
}
