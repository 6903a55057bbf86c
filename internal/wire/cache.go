package wire

import (
	"sync/atomic"

	"github.com/activemessage/activemessage/engine"
)

// cacheSlots is how many recent notifications are kept encoded, a power of two.
const cacheSlots = 1024

// cacheBytes is how large an encoding may be to be kept, so that a cache holds a few
// MiB at most.
const cacheBytes = 4 << 10

// Cache has recent notifications in one wire format, by number, so that each is
// encoded once, whoever comes first, and shared by all who send it. One that was
// displaced by a newer is encoded again. Any goroutine may use it.
type Cache struct {
	encode func(*engine.Notification) []byte
	slots  [cacheSlots]atomic.Pointer[encoded]
}

type encoded struct {
	number uint64
	bytes  []byte
}

// NewCache makes a cache of what encode returns.
func NewCache(encode func(*engine.Notification) []byte) *Cache { return &Cache{encode: encode} }

// Get returns the notification's encoding. Do not change it.
func (c *Cache) Get(n *engine.Notification) []byte {
	slot := &c.slots[n.Number%cacheSlots]
	if e := slot.Load(); e != nil && e.number == n.Number {
		return e.bytes
	}
	e := &encoded{number: n.Number, bytes: c.encode(n)}
	if len(e.bytes) <= cacheBytes {
		slot.Store(e)
	}
	return e.bytes
}
