package storetest

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/activemessage/activemessage/engine"
)

func listing() []promise {
	return []promise{
		{"the newest accepted first, in pages", listPages},
		{"accepted later by another engine, but with a lesser sequence, comes after", listBySequence},
		{"as the filters say, alone and together", listFilters},
		{"of no message there is no page", listNothing},
		{"a page is before its number", listBefore},
	}
}

func listPages(b *bench) {
	ids := reversed(b.submitAll(7))
	b.end(one(b, b.claim(1)), engine.StateSucceeded)
	var want []engine.StoredMessage
	for _, id := range ids {
		want = append(want, b.get(id))
	}
	for _, limit := range []int{1, 2, 7, 8, 1000} {
		b.equal(fmt.Sprintf("pages of %d", limit), b.list(engine.ListOptions{Limit: limit}), want)
	}
}

func listBySequence(b *bench) {
	late := b.message()
	ids := b.submitAll(3)
	b.commit(&engine.Group{Submits: []*engine.SubmitChange{{Message: late}}})
	b.equal("listed", idsOf(b.list(engine.ListOptions{Limit: 2})), append(reversed(ids), late.ID))
	b.equal("LastSequence", b.load().LastSequence, ids[2].Sequence())
	b.claimed(append(ids, late.ID)...)
}

func listFilters(b *bench) {
	start := b.now
	make4 := func(options ...with) {
		b.end(b.started(options...), engine.StateFailed)
		b.end(b.started(options...), engine.StateSucceeded)
		b.submit(options...)
		b.submit(append(options, due(b.in(1000*time.Hour)))...)
		b.later(time.Minute)
	}
	make4()
	make4(ofType("play"))
	make4(ofType("play"), keyed("k"))
	make4(keyed("k"))
	make4(keyed("k2"))
	b.claim(1)
	all := b.list(engine.ListOptions{Limit: 1000})
	b.equal("all", len(all), 20)
	for _, o := range filters(start) {
		want := slices.DeleteFunc(slices.Clone(all), func(m engine.StoredMessage) bool { return !selects(o, m) })
		for _, limit := range []int{2, 1000} {
			o.Limit = limit
			b.equal(fmt.Sprintf("%+v", o), b.list(o), want)
		}
	}
}

// filters are all combinations of some values of each.
func filters(start time.Time) []engine.ListOptions {
	all := []engine.ListOptions{{}}
	multiply := func(options ...filter) {
		var product []engine.ListOptions
		for _, o := range all {
			for _, option := range options {
				multiplied := o
				option(&multiplied)
				product = append(product, multiplied)
			}
		}
		all = append(all, product...)
	}
	multiply(func(o *engine.ListOptions) { o.State = engine.StateQueued }, func(o *engine.ListOptions) { o.State = engine.StateFailed },
		func(o *engine.ListOptions) { o.State = engine.StateRunning })
	multiply(func(o *engine.ListOptions) { o.MessageType = work }, func(o *engine.ListOptions) { o.MessageType = "none" })
	multiply(func(o *engine.ListOptions) { o.Key = "k" })
	multiply(func(o *engine.ListOptions) { o.AcceptedAfter = start }, func(o *engine.ListOptions) { o.AcceptedAfter = start.Add(time.Minute) })
	multiply(func(o *engine.ListOptions) { o.AcceptedBefore = start.Add(2 * time.Minute) })
	return all
}

// filter sets one of them.
type filter func(o *engine.ListOptions)

// selects is what the fields of ListOptions say.
func selects(o engine.ListOptions, m engine.StoredMessage) bool {
	return (o.State == "" || o.State == m.State) &&
		(o.MessageType == "" || o.MessageType == m.MessageType) &&
		(o.Key == "" || o.Key == m.Key) &&
		(o.AcceptedAfter.IsZero() || o.AcceptedAfter.Before(m.AcceptedAt)) &&
		(o.AcceptedBefore.IsZero() || m.AcceptedAt.Before(o.AcceptedBefore))
}

func listNothing(b *bench) {
	page, next, err := b.store.List(b.Context(), engine.ListOptions{Before: math.MaxUint64, Limit: 1})
	if len(page) > 0 || next != 0 || err != nil {
		b.Errorf("List: %v, %d, %v", page, next, err)
	}
}

func listBefore(b *bench) {
	ids := b.submitAll(3)
	for before, want := range map[uint64]engine.ID{ids[2].Sequence() + 1: ids[2], ids[2].Sequence(): ids[1], ids[1].Sequence(): ids[0]} {
		page, _, err := b.store.List(b.Context(), engine.ListOptions{Before: before, Limit: 1})
		b.equal("Err", err, nil)
		b.equal("page", idsOf(page), []engine.ID{want})
	}
	page, next, err := b.store.List(b.Context(), engine.ListOptions{Before: ids[0].Sequence(), Limit: 1})
	if len(page) > 0 || next != 0 || err != nil {
		b.Errorf("List before the first: %v, %d, %v", page, next, err)
	}
}
