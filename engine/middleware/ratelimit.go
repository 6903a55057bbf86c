package middleware

import (
	"context"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/activemessage/activemessage/engine"
)

// RateLimit lets limit messages a second begin, and burst at once (at least 1): a token
// bucket, golang.org/x/time/rate. A message over it is put off, and its type throttled,
// until there is a token: it holds no slot, spends no attempt that counts, and is no
// failure; engine.Throttle has it. What was put off takes its place anew when it is due, so
// messages may overtake each other. A limit of 0 lets the burst through and nothing after.
//
// The bucket is made by the call: handlers that are wrapped by one RateLimit share it, and
// a handler that takes another's place (engine.Engine's Replace) goes on with it if it is
// wrapped by the same. Each process has its own.
//
// Every attempt takes a token, also a retry. engine.Policy's Concurrency bounds how many
// run at once; it also bounds how many are tried for one token, so set it, if the limit is
// high, to what the limit needs.
func RateLimit(limit rate.Limit, burst int) engine.Middleware {
	b := &bucket{limiter: rate.NewLimiter(max(limit, 0), max(burst, 1))}
	return func(next engine.Handler) engine.Handler {
		return wrapped{func(ctx context.Context, m *engine.Message) (engine.Result, error) {
			if wait := b.take(); wait > 0 {
				return engine.Result{}, engine.Throttle(wait, nil)
			}
			return next.Handle(ctx, m)
		}, next}
	}
}

// bucket tells who finds no token when the next one comes. Nobody reserves one, for who
// is put off may end, or come back late.
type bucket struct {
	mu      sync.Mutex // or one would see another's reservation, and wait for too long
	limiter *rate.Limiter
}

// take takes a token, or returns how long there is none.
func (b *bucket) take() time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	token := b.limiter.ReserveN(now, 1)
	wait := token.DelayFrom(now)
	if wait == 0 {
		return 0
	}
	token.CancelAt(now)
	if wait == rate.InfDuration {
		return wait
	}
	return wait + time.Microsecond // for what a token is short of by rounding
}
