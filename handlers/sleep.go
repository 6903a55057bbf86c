package handlers

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/activemessage/activemessage/engine"
)

const (
	maxSleep      = time.Hour
	progressSteps = 20
)

// Sleep takes {"duration":"150ms"} and takes that long: the example of a handler
// that ends with its context and reports progress.
func Sleep(ctx context.Context, m *engine.Message) (engine.Result, error) {
	var request struct {
		Duration string `json:"duration"`
	}
	if err := json.Unmarshal(m.MessageData, &request); err != nil {
		return engine.Result{}, invalid(`send {"duration":"150ms"}`, err)
	}
	total, err := time.ParseDuration(request.Duration)
	if err != nil || total < 0 || total > maxSleep {
		return engine.Result{}, invalid(fmt.Sprintf("duration %.40q is not one: use 0s to %s, such as 150ms", request.Duration, maxSleep), err)
	}
	ticker := time.NewTicker(max(total/progressSteps, time.Millisecond))
	defer ticker.Stop()
	wake := time.NewTimer(total)
	defer wake.Stop()
	began := time.Now()
	for {
		select {
		case <-wake.C:
			return engine.Result{}, nil
		case now := <-ticker.C:
			m.Progress(now.Sub(began).Seconds()/total.Seconds(), "sleeping")
		case <-ctx.Done():
			return engine.Result{}, ctx.Err()
		}
	}
}

// invalid tells the client what to send instead.
func invalid(message string, cause error) error {
	return &engine.Error{Code: engine.CodeInvalidData, Message: message, Cause: cause}
}
