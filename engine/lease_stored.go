package engine

// storeCheckpoint lets the store keep a checkpoint. The caller holds mu.
func (e *Engine) storeCheckpoint(l Lease, data []byte) *Stored {
	if err := e.durable.unusable(); err != nil {
		return &Stored{err: err}
	}
	return &Stored{}
}
