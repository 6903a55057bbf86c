package engine

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"time"
)

// ID identifies one accepted message. It is a UUID version 7 (RFC 9562,
// section 5.7), made by the engine that accepted the message: IDs sort by the
// time of acceptance to within a quarter of a microsecond, and 62 random bits
// make them infeasible to guess. The zero ID names no message.
type ID [16]byte

// newID makes an ID for a message accepted at now. The 12 bits after the
// version hold the fraction of the millisecond (RFC 9562, section 6.2,
// method 3).
func newID(now time.Time) ID {
	nanos := now.UnixNano()
	millis := uint64(nanos) / uint64(time.Millisecond)
	fraction := uint64(nanos) % uint64(time.Millisecond) * 4096 / uint64(time.Millisecond)
	var id ID
	binary.BigEndian.PutUint64(id[:8], millis<<16|0x7000|fraction)
	binary.BigEndian.PutUint64(id[8:], rand.Uint64()&^(3<<62)|2<<62)
	return id
}

// ParseID reads the 36-character text form of an ID. The error is an
// *InvalidError.
func ParseID(s string) (ID, error) {
	var id ID
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return ID{}, invalidID(s)
	}
	var digits [32]byte
	n := copy(digits[:], s[:8])
	n += copy(digits[n:], s[9:13])
	n += copy(digits[n:], s[14:18])
	n += copy(digits[n:], s[19:23])
	copy(digits[n:], s[24:])
	if _, err := hex.Decode(id[:], digits[:]); err != nil {
		return ID{}, invalidID(s)
	}
	return id, nil
}

func invalidID(s string) error {
	return &InvalidError{Field: "id", Reason: fmt.Sprintf("%.40q is not a message id: it has the form 0197f9c2-5a3b-7c41-9d2e-6f1a2b3c4d5e", s)}
}

// AppendText appends the 36-character text form. It never fails.
func (id ID) AppendText(b []byte) ([]byte, error) {
	b = hex.AppendEncode(b, id[0:4])
	b = hex.AppendEncode(append(b, '-'), id[4:6])
	b = hex.AppendEncode(append(b, '-'), id[6:8])
	b = hex.AppendEncode(append(b, '-'), id[8:10])
	return hex.AppendEncode(append(b, '-'), id[10:16]), nil
}

// MarshalText returns the 36-character text form. It never fails.
func (id ID) MarshalText() ([]byte, error) { return id.AppendText(make([]byte, 0, 36)) }

// UnmarshalText reads what MarshalText wrote. The error is an *InvalidError.
func (id *ID) UnmarshalText(text []byte) error {
	parsed, err := ParseID(string(text))
	if err != nil {
		return err
	}
	*id = parsed
	return nil
}

// String returns the 36-character text form.
func (id ID) String() string {
	text, _ := id.MarshalText()
	return string(text)
}

// Sequence is the part of the ID that sorts by the time of acceptance: its first eight
// bytes. An engine with a Store never gives one twice.
func (id ID) Sequence() uint64 { return binary.BigEndian.Uint64(id[:8]) }

// setSequence replaces the first eight bytes; the bits of the version stay as the RFC has
// them.
func (id *ID) setSequence(sequence uint64) {
	if sequence>>12&0xf != 7 { // the twelve bits after the version ran over
		sequence = sequence&^0xffff + 1<<16 | 0x7000
	}
	binary.BigEndian.PutUint64(id[:8], sequence)
}

// IsZero reports whether id names no message.
func (id ID) IsZero() bool { return id == ID{} }
