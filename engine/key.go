package engine

import (
	"container/list"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"maps"
	"slices"
	"time"
)

// keys remembers idempotency keys, bounded. Of those whose message has ended the
// first to end goes first; those of the others stay. Guarded by Engine.mu.
type keys struct {
	byKey map[string]*keyEntry
	ended list.List // of *keyEntry, in the order in which their messages ended
	limit int
}

// keyEntry is one key and what was submitted with it.
type keyEntry struct {
	key     string
	print   [sha256.Size]byte
	receipt Receipt
	expires time.Time     // zero means that it is freed when the message ends
	ended   *list.Element // in keys.ended; nil until the message has ended
}

func newKeys(limit int) keys {
	return keys{byKey: make(map[string]*keyEntry), limit: limit}
}

func newKeyEntry(s *Submission, receipt Receipt, now time.Time, ttl time.Duration) *keyEntry {
	return &keyEntry{key: s.IdempotencyKey, print: s.fingerprint(), receipt: receipt, expires: s.keyExpires(now, ttl)}
}

// keyExpires is until when the idempotency key is remembered in any case; zero until the
// message has ended. ttl is where the submission does not say.
func (s *Submission) keyExpires(now time.Time, ttl time.Duration) time.Time {
	switch {
	case s.IdempotencyTTL == 0:
		return now.Add(ttl)
	case s.IdempotencyTTL > 0:
		return now.Add(s.IdempotencyTTL)
	}
	return time.Time{}
}

// replay is the first answer again.
func (k *keyEntry) replay() Receipt {
	receipt := k.receipt
	receipt.Replayed = true
	return receipt
}

// find returns the entry that has the key already, or nil. Errors: ErrKeyReused.
func (k *keys) find(again *keyEntry, now time.Time) (*keyEntry, error) {
	first := k.byKey[again.key]
	switch {
	case first == nil:
		return nil, nil
	case first.over(now):
		k.free(first)
		return nil, nil
	case first.print != again.print:
		return nil, fmt.Errorf("%w: %s", ErrKeyReused, first.receipt.ID)
	}
	return first, nil
}

// over reports whether the entry need no longer be remembered.
func (k *keyEntry) over(now time.Time) bool { return k.ended != nil && !k.expires.After(now) }

// free forgets an entry that has its key.
func (k *keys) free(entry *keyEntry) {
	k.unend(entry)
	delete(k.byKey, entry.key)
}

// unend takes an entry out of those whose message has ended.
func (k *keys) unend(entry *keyEntry) {
	if entry.ended != nil {
		k.ended.Remove(entry.ended)
		entry.ended = nil
	}
}

// end is called when the entry's message has ended.
func (k *keys) end(entry *keyEntry) {
	switch {
	case k.byKey[entry.key] != entry: // it was freed, and has not come back
	case entry.expires.IsZero():
		k.free(entry)
	default:
		entry.ended = k.ended.PushBack(entry)
	}
}

// revive is called when the entry's message is to run again: the key is taken as
// before, unless another message has it now, or there is no room.
func (k *keys) revive(entry *keyEntry) {
	switch holder := k.byKey[entry.key]; {
	case holder == entry:
		k.unend(entry)
	case holder == nil && len(k.byKey) < k.limit:
		k.byKey[entry.key] = entry
	}
}

// add remembers an entry; it reports whether there was room. It frees more than it
// adds, as far as there is something to free, but never many at once.
func (k *keys) add(entry *keyEntry, now time.Time) bool {
	for range 2 {
		first := k.ended.Front()
		if first == nil {
			break
		}
		if oldest := first.Value.(*keyEntry); oldest.over(now) || len(k.byKey) >= k.limit {
			k.free(oldest)
		}
	}
	if len(k.byKey) >= k.limit {
		return false
	}
	k.byKey[entry.key] = entry
	return true
}

// rememberKey remembers the key of a message that is about to be accepted. The caller
// holds mu.
func (e *Engine) rememberKey(entry *keyEntry, r *record, now time.Time) error {
	if !e.keys.add(entry, now) {
		return e.refuseFull(r.messageType, ScopeServer, int64(e.cfg.IdempotencyLimit), "idempotency keys", now)
	}
	r.needPlan().key = entry
	return nil
}

// fingerprint tells submissions apart that share a key: a digest of all that
// makes the message.
func (s *Submission) fingerprint() (sum [sha256.Size]byte) {
	h := sha256.New()
	for _, text := range []string{s.MessageType, s.ContentType, s.ResponseNotification, s.Key} {
		writeField(h, []byte(text))
	}
	writeField(h, s.MessageData)
	for _, number := range []int64{
		int64(s.Priority), int64(s.Delay), int64(s.Timeout), int64(s.MaxAttempts), int64(s.IdempotencyTTL),
		unixOrZero(s.DeliverAt), unixOrZero(s.ExpiresAt),
	} {
		writeNumber(h, number)
	}
	writeNumber(h, int64(len(s.Metadata)))
	for _, name := range slices.Sorted(maps.Keys(s.Metadata)) {
		writeField(h, []byte(name))
		writeField(h, []byte(s.Metadata[name]))
	}
	if s.Origin != nil && s.Origin.CloudEvent != nil {
		for _, attribute := range s.Origin.CloudEvent.attributes() {
			writeField(h, []byte(attribute.value))
		}
	}
	h.Sum(sum[:0])
	return sum
}

func unixOrZero(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

// writeField adds bytes with their length, so that fields cannot run together.
func writeField(h hash.Hash, field []byte) {
	writeNumber(h, int64(len(field)))
	_, _ = h.Write(field) // never fails, see hash.Hash
}

func writeNumber(h hash.Hash, n int64) {
	_, _ = h.Write(binary.BigEndian.AppendUint64(nil, uint64(n)))
}
