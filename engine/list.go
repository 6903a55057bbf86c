package engine

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"
)

const (
	defaultPage = 100
	maxPage     = 1000
	// scanStep bounds how many records List looks at before it lets others have
	// the lock.
	scanStep = 1024
)

// Get returns a snapshot of a message. Errors: ErrNotFound; with a Store also
// ErrStoreFailed if it cannot be read.
func (e *Engine) Get(id ID) (Status, error) {
	e.mu.Lock()
	r, known := e.table.byID[id]
	if known {
		defer e.mu.Unlock()
		return r.status(), nil
	}
	e.mu.Unlock()
	if e.durable == nil {
		return Status{}, fmt.Errorf("message %s: %w", id, ErrNotFound)
	}
	return e.getStored(id)
}

// ListOptions selects what List returns.
type ListOptions struct {
	// State, MessageType and Key filter; zero means any.
	State       State
	MessageType string
	Key         string
	// AcceptedAfter and AcceptedBefore filter by AcceptedAt, exclusively; the zero
	// time means any.
	AcceptedAfter, AcceptedBefore time.Time
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

// List returns messages, newest accepted first. Errors: ErrInvalid; with a Store also
// ErrStoreFailed if it cannot be read.
func (e *Engine) List(o ListOptions) (Page, error) {
	if err := o.validate(); err != nil {
		return Page{}, err
	}
	o.Limit = cmp.Or(o.Limit, defaultPage)
	o.Before = cmp.Or(o.Before, math.MaxUint64)
	var page Page
	if e.durable != nil {
		return e.listStored(o)
	}
	for !e.listStep(&o, &page) {
	}
	return page, nil
}

func (o *ListOptions) validate() error {
	if o.State != "" && !slices.Contains(States(), o.State) {
		return &InvalidError{Field: "state", Reason: fmt.Sprintf("%.40q is not a state: use one of %v", o.State, States())}
	}
	if o.Limit < 0 || o.Limit > maxPage {
		return &InvalidError{Field: "limit", Reason: fmt.Sprintf("%d is out of range: use 1 to %d", o.Limit, maxPage)}
	}
	return nil
}

func (o *ListOptions) matches(r *record) bool {
	m := &r.message
	return (o.State == "" || r.state == o.State) &&
		(o.MessageType == "" || m.MessageType == o.MessageType) &&
		(o.Key == "" || m.Key == o.Key) &&
		(o.AcceptedAfter.IsZero() || m.AcceptedAt.After(o.AcceptedAfter)) &&
		(o.AcceptedBefore.IsZero() || m.AcceptedAt.Before(o.AcceptedBefore))
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
		if o.matches(r) {
			page.Messages = append(page.Messages, r.status())
		}
		return true
	})
	return complete
}
