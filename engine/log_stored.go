package engine

import (
	"context"
	"log/slog"
)

// storedLog is what a notification log has more whose truth is a store: its entries in
// memory are the latest only.
type storedLog struct {
	store  Store
	logger *slog.Logger
	began  uint64 // the last number when the engine began
	first  uint64 // the oldest number the store has; guarded by notificationLog.mu
}

// readFrom makes the log go on where the store's ends. Nobody uses it yet.
func (l *notificationLog) readFrom(store Store, s *Snapshot, logger *slog.Logger) {
	l.id = s.Log
	l.entries = newRing[Notification](s.Last + 1)
	l.last.Store(s.Last)
	l.stored = &storedLog{store: store, logger: logger, began: s.Last, first: s.First}
}

// appendStored takes over what the store has published.
func (l *notificationLog) appendStored(published []Notification) {
	if len(published) == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range published {
		l.keep(&published[i])
	}
	l.last.Store(l.entries.end - 1)
}

// onlyStored reports whether an entry is in the store and not in memory.
func (l *notificationLog) onlyStored(number uint64) bool {
	if l.stored == nil {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return max(number, l.stored.first) < l.entries.first
}

// retained tells what the store has forgotten, for memory to forget it too.
func (l *notificationLog) retained(first uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stored.first = max(l.stored.first, first)
	for l.entries.len() > 0 && l.entries.first < first {
		l.forgetOldest()
	}
}

// storedScanStep bounds how many entries one read takes from the store.
const storedScanStep = 256

// scanStored is scan of what is not in memory, up to before end.
func (l *notificationLog) scanStored(number, end uint64, match func(*Notification) bool, buf []Notification, room int64) scanned {
	limit := storedScanStep
	if match == nil {
		limit = min(limit, cap(buf)-len(buf))
	}
	page, first, err := l.stored.store.Notifications(context.Background(), number, limit, room)
	if err != nil {
		l.stored.logger.Error("the notification log cannot be read", slog.String("error", err.Error()))
		return scanned{err: unread(err)}
	}
	l.retained(first)
	// What is asked for may have been forgotten meanwhile: the reader is told by first.
	s := scanned{found: buf, first: first, next: max(number, min(first, end))}
	for i := range page {
		n := &page[i]
		if n.Number >= end || len(s.found) == cap(s.found) {
			break
		}
		if n.log = l.id; match == nil || match(n) {
			s.found = append(s.found, *n)
		}
		s.next = n.Number + 1
	}
	return s
}

// published is how many notifications were published since the engine began.
func (l *notificationLog) published(last uint64) uint64 {
	if l.stored == nil {
		return last
	}
	return last - l.stored.began
}
