package engine

import (
	"context"
	"fmt"
)

// getStored is Get of a message that is in the store only.
func (e *Engine) getStored(id ID) (Status, error) {
	m, err := e.durable.store.Get(context.Background(), id)
	if err != nil {
		return Status{}, fmt.Errorf("message %s: %w", id, unread(err))
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.statusOf(&m), nil
}

// listStored lists what is in the store; of what is claimed, memory knows more.
func (e *Engine) listStored(o ListOptions) (Page, error) {
	messages, next, err := e.durable.store.List(context.Background(), o)
	if err != nil {
		return Page{}, fmt.Errorf("list: %w", unread(err))
	}
	page := Page{Messages: make([]Status, len(messages)), Next: next}
	e.mu.Lock()
	defer e.mu.Unlock()
	for i := range messages {
		if r, claimed := e.table.byID[messages[i].ID]; claimed {
			page.Messages[i] = r.status()
			continue
		}
		page.Messages[i] = e.statusOf(&messages[i])
	}
	return page, nil
}
