package engine

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// notificationLog is the truth about what was published: numbered without holes,
// bounded by count, bytes and age. Delivery is reading it.
type notificationLog struct {
	id       uint32 // names this log in cursors; never 0
	limit    int
	maxBytes int64
	maxAge   time.Duration

	// last is the number of the newest entry; written under mu, read without.
	last atomic.Uint64

	mu sync.Mutex
	// All below is guarded by mu.
	entries ring[Notification] // by number
	bytes   int64
	stored  *storedLog // nil without a store; never changes
}

func newNotificationLog(cfg Config) *notificationLog {
	var id [4]byte
	_, _ = rand.Read(id[:]) // never fails, see crypto/rand
	return &notificationLog{
		id:       binary.BigEndian.Uint32(id[:]) | 1,
		limit:    cfg.LogLimit,
		maxBytes: cfg.LogBytes,
		maxAge:   cfg.LogAge,
		entries:  newRing[Notification](1),
	}
}

func (l *notificationLog) cursor() Cursor { return l.at(l.last.Load()) }

func (l *notificationLog) at(number uint64) Cursor {
	return Cursor{Log: l.id, Number: number, set: true}
}

// append gives n the next number and keeps a copy.
func (l *notificationLog) append(n *Notification) {
	l.mu.Lock()
	defer l.mu.Unlock()
	entry := l.keep(n)
	entry.Number = l.entries.end - 1
	l.last.Store(entry.Number)
}

// keep adds a copy of n, and forgets what no longer fits. The caller holds mu.
func (l *notificationLog) keep(n *Notification) *Notification {
	l.bytes += notificationBytes(n)
	l.prune(n.Time, 1)
	entry := l.entries.push()
	*entry = *n
	entry.log = l.id
	return entry
}

// notificationBytes is what an entry holds, roughly.
func notificationBytes(n *Notification) int64 {
	size := 144 + len(n.ResponseNotification) + len(n.Result.Data)
	total := int64(size) + n.Error.size()
	if n.Origin != nil {
		total += n.Origin.size()
	}
	return total
}

// prune forgets the oldest entries that the bounds no longer allow once as many
// more as said are there.
func (l *notificationLog) prune(now time.Time, more int) {
	for l.entries.len() > 0 {
		oldest := l.entries.at(l.entries.first)
		tooOld := l.stored == nil && now.Sub(oldest.Time) > l.maxAge
		if l.entries.len()+more <= l.limit && l.bytes <= l.maxBytes && !tooOld {
			return
		}
		l.forgetOldest()
	}
}

// forgetOldest takes the oldest entry out. The caller holds mu.
func (l *notificationLog) forgetOldest() {
	l.bytes -= notificationBytes(l.entries.at(l.entries.first))
	l.entries.drop()
}

// logScanStep bounds how many entries one read looks at under the lock.
const logScanStep = 1024

// deliveryBytes is about how many bytes one read returns, so that what a reader
// holds is bounded whatever handlers return.
const deliveryBytes = 64 << 10

// scanned is what scan found.
type scanned struct {
	found []Notification
	// first is the oldest number there is: entries before are gone.
	first uint64
	// next is the number to go on from; end says that there is nothing there yet.
	next uint64
	end  bool
	// err is why a store could not be read; nothing else is set then.
	err error
}

// scan appends to buf, up to its capacity, the entries from number on that match
// (all if match is nil), until their bytes have used up room.
func (l *notificationLog) scan(number uint64, match func(*Notification) bool, buf []Notification, room int64) scanned {
	page, inMemory := l.scanMemory(number, match, buf, room)
	if page.next < inMemory {
		return l.scanStored(page.next, inMemory, match, buf, room)
	}
	return page
}

// scanMemory is scan of the entries from the number inMemory on. Where the store's, which
// are before, come first, it finds nothing.
func (l *notificationLog) scanMemory(number uint64, match func(*Notification) bool, buf []Notification, room int64) (page scanned, inMemory uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.prune(time.Now(), 0)
	number = max(number, l.first())
	inMemory = l.entries.first
	if number < inMemory {
		return scanned{next: number}, inMemory
	}
	for steps := 0; number < l.entries.end && steps < logScanStep && len(buf) < cap(buf) && room > 0; steps++ {
		entry := l.entries.at(number)
		if match == nil || match(entry) {
			buf = append(buf, *entry)
			room -= notificationBytes(entry)
		}
		number++
	}
	return scanned{found: buf, first: l.first(), next: number, end: number == l.entries.end}, inMemory
}

// first is the oldest number that can still be read. The caller holds mu.
func (l *notificationLog) first() uint64 {
	if l.stored != nil {
		return min(l.stored.first, l.entries.first)
	}
	return l.entries.first
}

// pick appends the entries of the given numbers to buf, up to its capacity, and
// returns how many numbers that took. Numbers before first are gone, or only in the
// store, which scan reads.
func (l *notificationLog) pick(numbers []uint64, buf []Notification) (out []Notification, taken int, first uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	room := int64(deliveryBytes)
	for taken < len(numbers) && len(buf) < cap(buf) && room > 0 {
		if number := numbers[taken]; number >= l.entries.first {
			entry := l.entries.at(number)
			buf = append(buf, *entry)
			room -= notificationBytes(entry)
		}
		taken++
	}
	return buf, taken, l.entries.first
}

// start returns the position a subscription from c begins to read at, and whether
// c is of another log.
func (l *notificationLog) start(c Cursor) (next uint64, foreign bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.prune(time.Now(), 0)
	last := l.entries.end - 1
	switch {
	case c.IsZero():
		return last + 1, false, nil
	case c.Log != 0 && c.Log != l.id:
		return l.first(), true, nil
	case c.Number > last:
		return 0, false, &InvalidError{Field: "since", Reason: fmt.Sprintf("%d is ahead of the log, whose last number is %d", c.Number, last)}
	case c.Log == 0 && c.Number == 0:
		return l.first(), false, nil
	}
	return c.Number + 1, false, nil
}
