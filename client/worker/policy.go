package worker

import (
	"encoding/json"
	"time"
)

// Never is a Policy's Timeout that never passes.
const Never time.Duration = -1

// Policy is how the server runs the messages of a type. What is zero has the server's
// default. It counts for types that the server did not know: of a type that its
// operator configured, the operator's policy does.
type Policy struct {
	// Concurrency is how many run at once, over all workers.
	Concurrency int
	// QueueLimit is how many may wait, and QueueBytes how much data.
	QueueLimit int
	QueueBytes int64
	// Timeout is how long one attempt may take; Never has no end.
	Timeout time.Duration
	// Grace is how long a handler may still take after its context has ended.
	Grace time.Duration
	// MaxAttempts is how often a message is tried; attempts whose worker was lost are
	// counted apart, up to MaxLost.
	MaxAttempts int
	MaxLost     int
	// BackoffInitial is the wait before the second attempt; it doubles with each, up
	// to BackoffMax.
	BackoffInitial time.Duration
	BackoffMax     time.Duration
}

type wirePolicy struct {
	Concurrency int          `json:"concurrency,omitzero"`
	QueueLimit  int          `json:"queue_limit,omitzero"`
	QueueBytes  int64        `json:"queue_bytes,omitzero"`
	Timeout     wireDuration `json:"timeout,omitzero"`
	Grace       wireDuration `json:"grace,omitzero"`
	MaxAttempts int          `json:"max_attempts,omitzero"`
	MaxLost     int          `json:"max_lost,omitzero"`
	Backoff     wireBackoff  `json:"backoff,omitzero"`
}

type wireBackoff struct {
	Initial wireDuration `json:"initial,omitzero"`
	Max     wireDuration `json:"max,omitzero"`
}

type wireDuration time.Duration

// MarshalJSON returns the duration as the server reads it: "1m30s".
func (d wireDuration) MarshalJSON() ([]byte, error) {
	if time.Duration(d) == Never {
		return []byte(`"never"`), nil
	}
	return json.Marshal(time.Duration(d).String())
}

// wire returns the policy as PATCH /v1/handlers/{message_type} takes it.
func (p Policy) wire() wirePolicy {
	return wirePolicy{
		Concurrency: p.Concurrency, QueueLimit: p.QueueLimit, QueueBytes: p.QueueBytes,
		Timeout: wireDuration(p.Timeout), Grace: wireDuration(p.Grace),
		MaxAttempts: p.MaxAttempts, MaxLost: p.MaxLost,
		Backoff: wireBackoff{wireDuration(p.BackoffInitial), wireDuration(p.BackoffMax)},
	}
}
