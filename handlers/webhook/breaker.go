package webhook

import (
	"log/slog"
	"time"

	"github.com/failsafe-go/failsafe-go/circuitbreaker"
)

// evidence is what an attempt tells of its endpoint.
type evidence int

const (
	unclear evidence = iota // it was cut short, or never reached the endpoint
	alive                   // it answered, whatever it said
	broken                  // no answer, or 5xx
)

// breaker leaves an endpoint alone that is broken.
type breaker struct {
	circuit circuitbreaker.CircuitBreaker[any] // nil: never
	delay   time.Duration
}

func newBreaker(cfg Config, endpoint string) *breaker {
	if cfg.BreakerFailures < 0 {
		return &breaker{}
	}
	log := cfg.Logger.With(slog.String("endpoint", endpoint))
	circuit := circuitbreaker.NewBuilder[any]().
		WithFailureThreshold(uint(cfg.BreakerFailures)). // of as many: in a row
		WithSuccessThreshold(1).                         // one probe at a time
		WithDelay(cfg.BreakerDelay).
		OnOpen(func(circuitbreaker.StateChangedEvent) {
			log.Warn("webhook: the endpoint is broken and left alone", slog.Duration("delay", cfg.BreakerDelay))
		}).
		OnHalfOpen(func(circuitbreaker.StateChangedEvent) {
			log.Info("webhook: the endpoint is tried again")
		}).
		OnClose(func(circuitbreaker.StateChangedEvent) {
			log.Info("webhook: the endpoint is well again")
		}).
		Build()
	return &breaker{circuit: circuit, delay: cfg.BreakerDelay}
}

// probing is how long messages wait for what a probe tells, as a rule enough for an
// answer; who comes then to a probe that still runs waits again.
const probing = time.Second

// admit returns 0 if the endpoint may be called; then record must follow. Otherwise it
// returns how long its type shall wait.
func (b *breaker) admit() time.Duration {
	if b.circuit == nil || b.circuit.TryAcquirePermit() {
		return 0
	}
	if wait := b.circuit.RemainingDelay(); wait > 0 {
		return wait
	}
	return min(probing, b.delay) // another attempt is the probe
}

// record gives back what admit gave.
func (b *breaker) record(seen evidence) {
	switch {
	case b.circuit == nil:
	case seen == alive:
		b.circuit.RecordSuccess()
	case seen == broken, b.circuit.IsHalfOpen():
		// A probe that tells nothing has to give its place back: the endpoint is tried
		// again after another delay.
		b.circuit.RecordFailure()
	}
}

// state is for logs.
func (b *breaker) state() string {
	if b.circuit == nil {
		return circuitbreaker.ClosedState.String()
	}
	return b.circuit.State().String()
}
