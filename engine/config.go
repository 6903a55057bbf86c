package engine

import (
	"cmp"
	"fmt"
	"log/slog"
	"time"
)

// Config sets an engine's bounds. The zero value is a good server; fields say
// what their zero means.
type Config struct {
	// Concurrency is how many handlers run at once, over all types. Defaults to 64.
	Concurrency int
	// QueueLimit is how many messages wait at once, over all types. Defaults to 10,000.
	QueueLimit int
	// QueueBytes is how many bytes the waiting messages hold. Defaults to 256 MiB.
	QueueBytes int64
	// MaxMessageBytes is the largest message data. Defaults to 1 MiB.
	MaxMessageBytes int64
	// MaxResultBytes is the largest result. Defaults to 1 MiB.
	MaxResultBytes int64
	// HistoryLimit is how many ended messages Get and List still know, and
	// HistoryBytes how many bytes they hold; the oldest go first. Default to
	// 50,000 and 64 MiB.
	HistoryLimit int
	HistoryBytes int64
	// LogLimit, LogBytes and LogAge bound the notification log: how many
	// notifications are kept, how many bytes they hold, and for how long.
	// Default to 50,000, 64 MiB and 1 hour.
	LogLimit int
	LogBytes int64
	LogAge   time.Duration
	// MaxSelectors bounds the selectors of one subscription. Defaults to 1,000.
	MaxSelectors int
	// Logger receives what operators should know. Defaults to discarding it.
	Logger *slog.Logger
}

func (c Config) withDefaults() Config {
	c.Concurrency = cmp.Or(c.Concurrency, 64)
	c.QueueLimit = cmp.Or(c.QueueLimit, 10_000)
	c.QueueBytes = cmp.Or(c.QueueBytes, 256<<20)
	c.MaxMessageBytes = cmp.Or(c.MaxMessageBytes, 1<<20)
	c.MaxResultBytes = cmp.Or(c.MaxResultBytes, 1<<20)
	c.HistoryLimit = cmp.Or(c.HistoryLimit, 50_000)
	c.HistoryBytes = cmp.Or(c.HistoryBytes, 64<<20)
	c.LogLimit = cmp.Or(c.LogLimit, 50_000)
	c.LogBytes = cmp.Or(c.LogBytes, 64<<20)
	c.LogAge = cmp.Or(c.LogAge, time.Hour)
	c.MaxSelectors = cmp.Or(c.MaxSelectors, 1_000)
	c.Logger = cmp.Or(c.Logger, slog.New(slog.DiscardHandler))
	return c
}

func (c Config) validate() error {
	for _, bound := range []struct {
		name  string
		value int64
	}{
		{"Concurrency", int64(c.Concurrency)},
		{"QueueLimit", int64(c.QueueLimit)},
		{"QueueBytes", c.QueueBytes},
		{"MaxMessageBytes", c.MaxMessageBytes},
		{"MaxResultBytes", c.MaxResultBytes},
		{"HistoryLimit", int64(c.HistoryLimit)},
		{"HistoryBytes", c.HistoryBytes},
		{"LogLimit", int64(c.LogLimit)},
		{"LogBytes", c.LogBytes},
		{"LogAge", int64(c.LogAge)},
		{"MaxSelectors", int64(c.MaxSelectors)},
	} {
		if bound.value < 0 {
			return &InvalidError{Field: bound.name, Reason: fmt.Sprintf("%d is negative", bound.value)}
		}
	}
	return nil
}

// Policy is how one message type is run: data, not code. The zero value
// inherits the engine's bounds.
type Policy struct {
	// Concurrency is how many handlers of the type run at once. 0 means no
	// bound but the engine's.
	Concurrency int
	// QueueLimit and QueueBytes bound what waits. 0 means no bound but the
	// engine's.
	QueueLimit int
	QueueBytes int64
	// Timeout ends an attempt that takes longer. 0 means DefaultTimeout;
	// negative means never.
	Timeout time.Duration
	// Grace is how long a handler may go on after its context ended before the
	// outcome is published without it. 0 means DefaultGrace. The handler keeps
	// its slot until it returns.
	Grace time.Duration
}

// The policy's defaults.
const (
	DefaultTimeout = 5 * time.Minute
	DefaultGrace   = 2 * time.Second
)

func (p Policy) withDefaults() Policy {
	p.Timeout = cmp.Or(p.Timeout, DefaultTimeout)
	p.Grace = cmp.Or(p.Grace, DefaultGrace)
	return p
}

func (p Policy) validate() error {
	if p.Concurrency < 0 || p.QueueLimit < 0 || p.QueueBytes < 0 || p.Grace < 0 {
		return &InvalidError{Field: "policy", Reason: "concurrency, queue_limit, queue_bytes and grace must not be negative"}
	}
	return nil
}
