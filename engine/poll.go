package engine

// Ready returns a channel that receives when there may be something for Poll: what Next
// waits for. It is never closed. Who receives from it polls until there is nothing.
func (c *Consumer) Ready() <-chan struct{} { return c.wake }

// Poll returns what there is to do, without waiting: nothing, possibly. It may be called
// from any goroutine, but what two of them get at once comes in no order. Errors: ErrClosed
// after Close.
func (c *Consumer) Poll() (Work, error) { return c.collect() }

// Ready reports whether Wait returns at once.
func (s *Stored) Ready() bool {
	if s.early != nil {
		return s.early.ready()
	}
	if s.commit == nil {
		return true
	}
	select {
	case <-s.commit.done:
		return true
	default:
		return false
	}
}
