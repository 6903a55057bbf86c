package worker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"github.com/coder/websocket"
)

const (
	// firstWait and maxWait bound the random wait before a reconnect.
	firstWait = 500 * time.Millisecond
	maxWait   = 30 * time.Second
	// maxRetryAfter bounds what a server may ask for.
	maxRetryAfter = 5 * time.Minute
)

// connect keeps a session until ctx ends.
func (w *worker) connect(ctx context.Context) {
	failures := 0
	for {
		began := time.Now()
		good, wait, err := w.once(ctx)
		if ctx.Err() != nil {
			return
		}
		if failures++; good {
			failures = 0
		}
		if wait == 0 {
			wait = backoff(failures, w.patience())
			w.log.Warn("not connected", "url", w.address, "after", time.Since(began).Round(time.Millisecond), "retry_in", wait.Round(time.Millisecond), "error", err)
		} else {
			w.log.Error("refused", "url", w.address, "retry_in", wait.Round(time.Millisecond), "error", err)
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
	}
}

// patience bounds the wait before a reconnect: while the server still keeps the leases of
// this worker, there have to be a few attempts in their time.
func (w *worker) patience() time.Duration {
	if !w.leases.empty() && time.Since(w.connected) < w.lease {
		return min(maxWait, w.lease/3)
	}
	return maxWait
}

// backoff is a random time below a bound that doubles with each failure: full jitter.
func backoff(failures int, longest time.Duration) time.Duration {
	return 1 + rand.N(min(longest, firstWait<<min(failures, 10)))
}

// once connects and serves until that ends. It returns whether the session was good, for it
// lived or was of use, so that the next may come soon; or how long to wait, if the server
// said no.
func (w *worker) once(ctx context.Context) (good bool, wait time.Duration, err error) {
	s, answer, err := w.dial(ctx) //nolint:bodyclose // a WebSocket handshake's answer has no body to close
	if err != nil {
		wait, err = refusal(answer, err)
		return false, wait, err
	}
	began := time.Now()
	welcomed, err := s.run(ctx)
	if welcomed {
		w.connected = time.Now()
	}
	if refusedBy(websocket.CloseStatus(err)) {
		wait = slowly()
	}
	return welcomed && (s.settled || time.Since(began) > s.beat), wait, err
}

// slowly is the wait after a refusal, that an operator has to end.
func slowly() time.Duration { return maxWait/2 + rand.N(maxWait/2) }

// refusedBy says whether a close code means that the server does not want what it was
// sent, so that sending it again soon is no use.
func refusedBy(code websocket.StatusCode) bool {
	switch code {
	case websocket.StatusProtocolError, websocket.StatusUnsupportedData, websocket.StatusInvalidFramePayloadData,
		websocket.StatusPolicyViolation, websocket.StatusMessageTooBig:
		return true
	}
	const unauthorized, forbidden, private = 3000, 3003, 4000 // of IANA's registry; servers have codes of their own from there
	return code == unauthorized || code == forbidden || code >= private
}

// refusal makes an error of an answer that is not a WebSocket's, with the words of the
// server, and says how long to wait; 0 is no refusal. The answer may be nil.
func refusal(answer *http.Response, err error) (time.Duration, error) {
	if errors.Is(err, errOtherProtocol) {
		return slowly(), err
	}
	if answer == nil || answer.StatusCode < http.StatusBadRequest {
		return 0, err
	}
	words, _ := io.ReadAll(io.LimitReader(answer.Body, 1<<10))
	err = fmt.Errorf("%s: %.500s", answer.Status, words)
	if seconds, bad := strconv.Atoi(answer.Header.Get("Retry-After")); bad == nil && seconds > 0 {
		after := time.Duration(min(seconds, int(maxRetryAfter.Seconds()))) * time.Second
		return after + rand.N(after/2+1), err
	}
	if answer.StatusCode < http.StatusInternalServerError && answer.StatusCode != http.StatusTooManyRequests {
		return slowly(), err
	}
	return 0, err
}
