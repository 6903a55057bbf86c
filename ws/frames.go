package ws

import (
	"bufio"
	"encoding/binary"
	"math"
	"strconv"

	"github.com/activemessage/activemessage/engine"
	"github.com/activemessage/activemessage/internal/wire"
)

// The first byte of the frames we write ourselves: FIN and an opcode (RFC 6455,
// section 5.2).
const (
	opText  byte = 0x80 | 1
	opClose byte = 0x80 | 8
	opPing  byte = 0x80 | 9
)

const (
	// masked is set beside the length of a client's frame.
	masked byte = 0x80
	// maskedHeader is the length of a client's shortest header.
	maskedHeader = 6
)

// appendHeader appends the header of an unmasked frame.
func appendHeader(b []byte, op byte, length int) []byte {
	switch {
	case length < 126:
		return append(b, op, byte(length))
	case length <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(b, op, 126), uint16(length))
	default:
		return binary.BigEndian.AppendUint64(append(b, op, 127), uint64(length))
	}
}

// holdsText reports whether what a reader has buffered, and what comes behind it,
// begin with a whole text frame of a client that is one message.
func holdsText(r *bufio.Reader, behind []byte) bool {
	buffered, _ := r.Peek(r.Buffered())
	var head [4]byte
	n := copy(head[:], buffered)
	n += copy(head[n:], behind)
	if n < len(head) || head[0] != opText || head[1] < masked {
		return false
	}
	size := maskedHeader
	switch length := int(head[1] - masked); length {
	case 126:
		size += 2 + int(binary.BigEndian.Uint16(head[2:]))
	case 127:
		return false // more than is ever buffered
	default:
		size += length
	}
	return len(buffered)+len(behind) >= size
}

// appendFrame appends a text frame.
func appendFrame(b, payload []byte) []byte {
	return append(appendHeader(b, opText, len(payload)), payload...)
}

// itemJSON is a notification as an element of a notifications frame.
func itemJSON(n *engine.Notification) []byte {
	return wire.AppendNotification(make([]byte, 0, 384), n)
}

// textFrame is a frame of ProtocolText.
func textFrame(n *engine.Notification) []byte {
	text := n.String()
	return append(appendHeader(make([]byte, 0, len(text)+10), opText, len(text)), text...)
}

// eventFrame is a frame of ProtocolCloudEvents (CloudEvents WebSockets binding,
// section 3.2).
func eventFrame(n *engine.Notification) []byte {
	return appendFrame(nil, wire.AppendCloudEvent(make([]byte, 0, 640), n))
}

const (
	notificationsHead = `{"op":"notifications","cursor":"`
	notificationsNext = `","items":[`
	notificationsTail = `]}`
)

// appendNotifications appends one frame with all items.
func appendNotifications(b []byte, cursor engine.Cursor, items [][]byte) []byte {
	var text [40]byte
	position, _ := cursor.AppendText(text[:0])
	length := len(notificationsHead) + len(position) + len(notificationsNext) + len(items) - 1 + len(notificationsTail)
	for _, item := range items {
		length += len(item)
	}
	b = appendHeader(b, opText, length)
	b = append(append(append(b, notificationsHead...), position...), notificationsNext...)
	for i, item := range items {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, item...)
	}
	return append(b, notificationsTail...)
}

func appendProgress(b []byte, reports []engine.ProgressReport) []byte {
	payload := []byte(`{"op":"progress","items":[`)
	for i := range reports {
		if i > 0 {
			payload = append(payload, ',')
		}
		payload = wire.AppendProgress(payload, &reports[i])
	}
	return appendFrame(b, append(payload, ']', '}'))
}

func appendGapJSON(b []byte, gap *engine.Gap) []byte {
	payload := wire.AppendGapMembers([]byte(`{"op":"gap",`), gap)
	return appendFrame(b, append(payload, '}'))
}

func appendGapText(b []byte, gap *engine.Gap) []byte {
	payload := []byte("gap")
	if gap.From != 0 {
		payload = strconv.AppendUint(append(payload, ':'), gap.From, 10)
		payload = strconv.AppendUint(append(payload, '-'), gap.To, 10)
	}
	return appendFrame(b, payload)
}

// answer begins the answer to a client's frame: its op, and the ref it asked for.
func answer(op, ref string) []byte {
	b := wire.AppendString([]byte(`{"op":`), op)
	if ref != "" {
		b = wire.AppendString(append(b, `,"ref":`...), ref)
	}
	return b
}

func appendSelector(b []byte, sel engine.Selector) []byte {
	switch {
	case sel.ResponseNotification != "":
		return wire.AppendString(append(b, `,"response_notification":`...), sel.ResponseNotification)
	case sel.MessageType != "":
		return wire.AppendString(append(b, `,"message_type":`...), sel.MessageType)
	default:
		return wire.AppendString(append(b, `,"message_id":`...), sel.MessageID.String())
	}
}
