package ws

import (
	"sync/atomic"

	"github.com/activemessage/activemessage/engine"
	"github.com/activemessage/activemessage/internal/wire"
)

// encodedSlots is how many recent notifications are kept encoded, a power of two.
const encodedSlots = 1024

// encodedItems has recent notifications in their wire formats, by number, so that
// each is encoded once, whoever comes first, and shared by all connections. One
// that was displaced by a newer is encoded again.
type encodedItems struct {
	json, text [encodedSlots]atomic.Pointer[encodedItem]
}

type encodedItem struct {
	number uint64
	bytes  []byte
}

// asJSON returns the notification as a JSON object.
func (e *encodedItems) asJSON(n *engine.Notification) []byte {
	return lookup(&e.json[n.Number%encodedSlots], n, func() []byte {
		return wire.AppendNotification(make([]byte, 0, 384), n)
	})
}

// asText returns the notification as a whole text frame.
func (e *encodedItems) asText(n *engine.Notification) []byte {
	return lookup(&e.text[n.Number%encodedSlots], n, func() []byte {
		text := n.String()
		return append(appendHeader(make([]byte, 0, len(text)+10), opText, len(text)), text...)
	})
}

func lookup(slot *atomic.Pointer[encodedItem], n *engine.Notification, encode func() []byte) []byte {
	if item := slot.Load(); item != nil && item.number == n.Number {
		return item.bytes
	}
	item := &encodedItem{number: n.Number, bytes: encode()}
	slot.Store(item)
	return item.bytes
}
