package ws

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"strings"
	"testing"
)

// A frame that has arrived is known wherever it lies, and nothing else is one.
func TestHoldsText(t *testing.T) {
	t.Parallel()
	short := append([]byte{opText, masked | 3, 0, 0, 0, 0}, "abc"...)
	long := binary.BigEndian.AppendUint16([]byte{opText, masked | 126}, 700)
	long = append(append(long, 0, 0, 0, 0), strings.Repeat("x", 700)...)
	changed := func(at int, to byte) []byte {
		frame := bytes.Clone(short)
		frame[at] = to
		return frame
	}
	for name, c := range map[string]struct {
		bytes []byte
		want  bool
	}{
		"nothing":      {nil, false},
		"short":        {short, true},
		"long":         {long, true},
		"two":          {append(bytes.Clone(short), short[0]), true},
		"empty":        {[]byte{opText, masked, 0, 0, 0, 0}, true},
		"cut":          {short[:len(short)-1], false},
		"long, cut":    {long[:len(long)-1], false},
		"header, cut":  {long[:3], false},
		"fragment":     {changed(0, 1), false},
		"compressed":   {changed(0, opText|0x40), false},
		"binary":       {changed(0, 0x82), false},
		"ping":         {changed(0, opPing), false},
		"close":        {changed(0, opClose), false},
		"not masked":   {changed(1, 3), false},
		"large length": {changed(1, masked|127), false},
	} {
		for at := range min(len(c.bytes), connectionBuffer) + 1 { // where the reader's buffer ends
			r := bufio.NewReaderSize(bytes.NewReader(c.bytes[:at]), connectionBuffer)
			_, _ = r.Peek(1) // fills the buffer
			if got := holdsText(r, c.bytes[at:]); got != c.want {
				t.Errorf("%s, %d bytes of it buffered: %t", name, at, got)
			}
		}
	}
}
