package engine

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

const (
	defaultPage = 100
	maxPage     = 1000
	// scanStep bounds how many records List looks at before it lets others have
	// the lock.
	scanStep = 1024
)

// Get returns a snapshot of a message. Errors: ErrNotFound.
func (e *Engine) Get(id ID) (Status, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	r, known := e.table.byID[id]
	if !known {
		return Status{}, fmt.Errorf("message %s: %w", id, ErrNotFound)
	}
	return r.status(), nil
}

// ListOptions selects what List returns.
type ListOptions struct {
	// State and MessageType filter; zero means any.
	State       State
	MessageType string
	// Before continues a listing: the Next of the page before.
	Before uint64
	// Limit is the page's size, from 1 to 1,000. 0 means 100.
	Limit int
}

// Page is a part of a listing, newest accepted first.
type Page struct {
	Messages []Status
	// Next continues the listing as ListOptions.Before; 0 at the end.
	Next uint64
}

// List returns messages, newest accepted first. Errors: ErrInvalid.
func (e *Engine) List(o ListOptions) (Page, error) {
	if o.State != "" && !slices.Contains(States(), o.State) {
		return Page{}, &InvalidError{Field: "state", Reason: fmt.Sprintf("%.40q is not a state: use one of %v", o.State, States())}
	}
	if o.Limit < 0 || o.Limit > maxPage {
		return Page{}, &InvalidError{Field: "limit", Reason: fmt.Sprintf("%d is out of range: use 1 to %d", o.Limit, maxPage)}
	}
	o.Limit = cmp.Or(o.Limit, defaultPage)
	o.Before = cmp.Or(o.Before, math.MaxUint64)
	var page Page
	for !e.listStep(&o, &page) {
	}
	return page, nil
}

// listStep looks at up to scanStep records before o.Before; it reports whether
// the page is complete.
func (e *Engine) listStep(o *ListOptions, page *Page) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	scanned, complete := 0, true
	e.table.descend(o.Before, func(r *record) bool {
		if len(page.Messages) == o.Limit {
			page.Next = o.Before
			return false
		}
		if scanned++; scanned > scanStep {
			complete = false
			return false
		}
		o.Before = r.place.sequence
		if (o.State == "" || r.state == o.State) && (o.MessageType == "" || r.message.MessageType == o.MessageType) {
			page.Messages = append(page.Messages, r.status())
		}
		return true
	})
	return complete
}
