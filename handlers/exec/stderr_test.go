package exec_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/activemessage/activemessage/handlers/exec"
)

func TestProgressLine(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"AM_PROGRESS 0.4 resizing":         "0.4 resizing",
		"AM_PROGRESS 0":                    "0 ",
		"AM_PROGRESS 1 ":                   "1 ",
		"AM_PROGRESS .5  two of four ":     "0.5 two of four",
		"AM_PROGRESS 1.00 \x1b[1mbold\x07": "1 bold",
		"AM_PROGRESS":                      "",
		"AM_PROGRESS ":                     "",
		"AM_PROGRESS 1.01":                 "",
		"AM_PROGRESS 40% resizing":         "",
		"AM_PROGRESS -1":                   "",
		"AM_PROGRESS 1e-1":                 "",
		"AM_PROGRESS NaN":                  "",
		"AM_PROGRESS 0.4.2":                "",
		"AM_PROGRESSION 0.4":               "",
		" AM_PROGRESS 0.4":                 "",
		"am_progress 0.4":                  "",
	} {
		fraction, note, ok := exec.ParseProgress([]byte(line))
		if got := fmt.Sprint(fraction, " ", note); ok != (want != "") || ok && got != want {
			t.Errorf("%q: %s, %t", line, got, ok)
		}
	}
}

func TestTail(t *testing.T) {
	t.Parallel()
	var many []string
	for i := range 30 {
		many = append(many, fmt.Sprint("line ", i))
	}
	long := strings.Repeat("é", 600) // of 1200 bytes
	for name, c := range map[string]struct {
		pieces []string
		want   string
	}{
		"nothing":            {nil, ""},
		"no newline":         {[]string{"a"}, "a"},
		"empty lines":        {[]string{"a\n\n\r\nb\n"}, "a\nb"},
		"pieces":             {[]string{"a", "b\nc", "d", "\n"}, "ab\ncd"},
		"20 lines":           {[]string{strings.Join(many, "\n")}, strings.Join(many[10:], "\n")},
		"3 KiB":              {[]string{strings.Repeat(strings.Repeat("x", 999)+"\n", 5)}, strings.TrimSpace(strings.Repeat(strings.Repeat("x", 999)+"\n", 3))},
		"a long line":        {[]string{"first\n", long, long + "\nlast"}, "first\n" + long[:1024] + "…\nlast"},
		"invalid UTF-8":      {[]string{"a\xff\xfeb"}, "a\uFFFD\uFFFDb"},
		"progress in pieces": {[]string{"a\nAM_PRO", "GRESS 0.1 x\nb"}, "a\nb"},
		"long progress":      {[]string{"a\nAM_PROGRESS 0.1 " + long + "\nb"}, "a\nb"},
		"a bar":              {[]string{"10%\r20%\rfailed\n"}, "10%\n20%\nfailed"},
	} {
		var pieces [][]byte
		for _, piece := range c.pieces {
			pieces = append(pieces, []byte(piece))
		}
		if got := exec.Tail(func(float64, string) {}, pieces...); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// FuzzStderr: whatever a command writes, in whatever pieces, what clients read is short
// and clean, and does not depend on the pieces.
func FuzzStderr(f *testing.F) {
	f.Add([]byte("warming up\nAM_PROGRESS 0.4 resizing\nAM_PROGRESS 2\nfailed"), uint16(7))
	f.Add([]byte("\x1b[31mred\x1b[0m\xff\r\n\x00"), uint16(3))
	f.Add(bytes.Repeat([]byte("é\xff"), 3000), uint16(1024))
	f.Fuzz(func(t *testing.T, written []byte, at uint16) {
		reports := func(all *[]string) func(float64, string) {
			return func(fraction float64, note string) {
				if !(fraction >= 0 && fraction <= 1) || !clean(note) || len(note) > 1024+len("…") {
					t.Errorf("reported %v %q", fraction, note)
				}
				*all = append(*all, fmt.Sprint(fraction, note))
			}
		}
		var whole, inPieces []string
		tail := exec.Tail(reports(&whole), written)
		if len(tail) > 3<<10 || !clean(strings.ReplaceAll(tail, "\n", "")) {
			t.Errorf("%d bytes: %q", len(tail), tail)
		}
		cut := min(int(at), len(written))
		if again := exec.Tail(reports(&inPieces), written[:cut], written[cut:]); again != tail || fmt.Sprint(whole) != fmt.Sprint(inPieces) {
			t.Errorf("in pieces %q %v, at once %q %v", again, inPieces, tail, whole)
		}
	})
}

func clean(text string) bool {
	return utf8.ValidString(text) && !strings.ContainsFunc(text, func(r rune) bool { return r != '\t' && unicode.IsControl(r) })
}
