package engine

import (
	"context"
	"math"
	"time"
)

// storePause lets the store remember whether a type is paused. What was claimed of one
// that is, and has not started, is given back: it would hold the others' room. The caller
// holds mu.
func (e *Engine) storePause(t *messageType, paused bool) *commit {
	if paused {
		e.handBackLast(math.MaxInt, t, time.Now())
	}
	c := e.durable.openCommit()
	c.group.Pauses = append(c.group.Pauses, PauseChange{MessageType: t.name, Paused: paused})
	return c
}

// pauseStored waits until it is remembered; if it cannot be, it is as before.
func (e *Engine) pauseStored(t *messageType, paused bool, c *commit) error {
	err := c.wait(context.Background())
	if err != nil {
		e.mu.Lock()
		t.policy.Paused = !paused
		e.updateTurn(t)
		e.unlock()
	}
	return err
}
