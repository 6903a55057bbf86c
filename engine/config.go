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
	// IdempotencyLimit is how many idempotency keys are remembered; of more, the
	// oldest whose message has ended go first. IdempotencyTTL is for how long.
	// Default to 100,000 and 24 hours.
	IdempotencyLimit int
	IdempotencyTTL   time.Duration
	// Store keeps messages and the log beyond the process. Defaults to none: memory,
	// within the bounds above. With one, HistoryLimit, HistoryBytes, LogAge and
	// IdempotencyLimit mean nothing, QueueLimit and QueueBytes default to 1,000,000 and
	// 16 GiB, and LogLimit and LogBytes bound what of the log is read from memory.
	Store Store
	// Retention is what a Store keeps of what has ended. Without a Store it means
	// nothing.
	Retention Retention
	// Observer follows messages, for tracing. Defaults to nobody, which costs
	// nothing.
	Observer Observer
	// Logger receives what operators should know. Defaults to discarding it.
	Logger *slog.Logger
}

// What Config.QueueLimit defaults to: in memory, and with a Store.
const (
	DefaultQueueLimit       = 10_000
	DefaultStoredQueueLimit = 1_000_000
)

func (c Config) withDefaults() Config {
	c.Concurrency = cmp.Or(c.Concurrency, 64)
	if c.Store != nil {
		c.QueueLimit = cmp.Or(c.QueueLimit, DefaultStoredQueueLimit)
		c.QueueBytes = cmp.Or(c.QueueBytes, 16<<30)
	}
	c.QueueLimit = cmp.Or(c.QueueLimit, DefaultQueueLimit)
	c.QueueBytes = cmp.Or(c.QueueBytes, 256<<20)
	c.MaxMessageBytes = cmp.Or(c.MaxMessageBytes, 1<<20)
	c.MaxResultBytes = cmp.Or(c.MaxResultBytes, 1<<20)
	c.HistoryLimit = cmp.Or(c.HistoryLimit, 50_000)
	c.HistoryBytes = cmp.Or(c.HistoryBytes, 64<<20)
	c.LogLimit = cmp.Or(c.LogLimit, 50_000)
	c.LogBytes = cmp.Or(c.LogBytes, 64<<20)
	c.LogAge = cmp.Or(c.LogAge, time.Hour)
	c.MaxSelectors = cmp.Or(c.MaxSelectors, 1_000)
	c.IdempotencyLimit = cmp.Or(c.IdempotencyLimit, 100_000)
	c.IdempotencyTTL = cmp.Or(c.IdempotencyTTL, 24*time.Hour)
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
		{"IdempotencyLimit", int64(c.IdempotencyLimit)},
		{"IdempotencyTTL", int64(c.IdempotencyTTL)},
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
	// Grace is how long a handler may go on after its context ended before its
	// message goes on without it. 0 means DefaultGrace. The handler keeps
	// its slot until it returns.
	Grace time.Duration
	// MaxAttempts is how often a message is tried before it has failed. 0 means 1:
	// no retry. A snoozed attempt does not count.
	MaxAttempts int
	// MaxLost is how often a message is lost, its server or its worker outside having died
	// while it ran, before it is not tried again: it has failed with CodeLost. Lost attempts
	// do not count in MaxAttempts. 0 means DefaultMaxLost.
	MaxLost int
	// Backoff is how long a retry waits.
	Backoff Backoff
	// Paused keeps messages from starting; they are accepted and wait.
	Paused bool
}

// Backoff is the wait before a retry: it doubles from Initial with every failed
// attempt up to Max, and is shortened by up to half at random, so that messages
// that failed together do not come back together.
type Backoff struct {
	// Initial is before the second attempt. 0 means DefaultBackoff, or Max if that is
	// less.
	Initial time.Duration
	// Max bounds it. 0 means DefaultMaxBackoff.
	Max time.Duration
}

// The policy's defaults.
const (
	DefaultTimeout = 5 * time.Minute
	DefaultGrace   = 2 * time.Second

	DefaultMaxAttempts = 1
	DefaultMaxLost     = 3
	DefaultBackoff     = time.Second
	DefaultMaxBackoff  = 5 * time.Minute
)

func (p Policy) withDefaults() Policy {
	p.Timeout = cmp.Or(p.Timeout, DefaultTimeout)
	p.Grace = cmp.Or(p.Grace, DefaultGrace)
	p.MaxAttempts = cmp.Or(p.MaxAttempts, DefaultMaxAttempts)
	p.MaxLost = cmp.Or(p.MaxLost, DefaultMaxLost)
	p.Backoff.Initial = cmp.Or(p.Backoff.Initial, min(DefaultBackoff, cmp.Or(p.Backoff.Max, DefaultBackoff)))
	p.Backoff.Max = cmp.Or(p.Backoff.Max, max(DefaultMaxBackoff, p.Backoff.Initial))
	return p
}

func (p Policy) validate() error {
	for _, bound := range []struct {
		field string
		value int64
	}{
		{"concurrency", int64(p.Concurrency)},
		{"queue_limit", int64(p.QueueLimit)},
		{"queue_bytes", p.QueueBytes},
		{"grace", int64(p.Grace)},
		{"max_attempts", int64(p.MaxAttempts)},
		{"max_lost", int64(p.MaxLost)},
		{"backoff/initial", int64(p.Backoff.Initial)},
		{"backoff/max", int64(p.Backoff.Max)},
	} {
		if bound.value < 0 {
			return &InvalidError{Field: bound.field, Reason: "must not be negative"}
		}
	}
	if p.Backoff.Max != 0 && p.Backoff.Max < p.Backoff.Initial {
		return &InvalidError{Field: "backoff/max", Reason: fmt.Sprintf("%s is less than initial, %s", p.Backoff.Max, p.Backoff.Initial)}
	}
	return nil
}
