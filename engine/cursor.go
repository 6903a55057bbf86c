package engine

import (
	"fmt"
	"strconv"
	"strings"
)

// Cursor is a position in the notification log: the number of the last
// notification already seen, and which log it counts in. Subscribing with it
// delivers everything after it. Clients treat its text as opaque.
//
// The zero Cursor means "from now on".
type Cursor struct {
	// Log names the log: a restart that lost the history starts another. Zero
	// stands for whichever log the engine has now.
	Log uint32
	// Number is the last notification seen; 0 is the position before the first.
	Number uint64
	// set tells the position before the first notification of any log from
	// the zero Cursor.
	set bool
}

// CursorAt is the position just after notification number of whichever log the
// engine has now; CursorAt(0) asks for the oldest notification kept.
func CursorAt(number uint64) Cursor { return Cursor{Number: number, set: true} }

// ParseCursor reads what String wrote, or a bare number, which is CursorAt of
// it. Empty text is the zero Cursor. The error is an *InvalidError.
func ParseCursor(s string) (Cursor, error) {
	if s == "" {
		return Cursor{}, nil
	}
	log, number, found := strings.Cut(s, ".")
	if !found {
		log, number = "0", s
	}
	l, logErr := strconv.ParseUint(log, 16, 32)
	n, numberErr := strconv.ParseUint(number, 10, 64)
	if logErr != nil || numberErr != nil || (found && len(log) != 8) {
		return Cursor{}, &InvalidError{Field: "since", Reason: fmt.Sprintf(
			"%.40q is not a cursor: use one the server gave you, a notification's number, or 0 for the oldest kept", s)}
	}
	return Cursor{Log: uint32(l), Number: n, set: true}, nil
}

// IsZero reports whether c means "from now on".
func (c Cursor) IsZero() bool { return !c.set && c.Log == 0 && c.Number == 0 }

// String returns the text form, such as 5f0c91ab.1042; the zero Cursor is "".
func (c Cursor) String() string {
	if c.IsZero() {
		return ""
	}
	return string(c.appendText(nil))
}

// AppendText appends the text form. It never fails.
func (c Cursor) AppendText(b []byte) ([]byte, error) {
	if c.IsZero() {
		return b, nil
	}
	return c.appendText(b), nil
}

func (c Cursor) appendText(b []byte) []byte {
	const digits = "0123456789abcdef"
	for shift := 28; shift >= 0; shift -= 4 {
		b = append(b, digits[c.Log>>shift&15])
	}
	return strconv.AppendUint(append(b, '.'), c.Number, 10)
}
