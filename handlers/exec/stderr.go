package exec

import (
	"bytes"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	progressMark = "AM_PROGRESS"

	// What is kept of standard error. The engine keeps 4 KiB of an error's message.
	tailLines = 20
	tailBytes = 3 << 10
	lineBytes = 1 << 10
)

// stderr reads a command's standard error: progress is reported, of the rest the end is
// kept. It is bounded by tailLines times lineBytes.
type stderr struct {
	report func(fraction float64, note string)

	line  []byte // the last one, which has not ended; at most lineBytes of it
	cut   bool   // there was more of it
	lines [tailLines][]byte
	ended int // lines that were kept, over all
}

// Write never fails. A carriage return ends a line too: that is how bars of progress are
// drawn.
func (s *stderr) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		end := bytes.IndexAny(p, "\r\n")
		if end < 0 {
			s.add(p)
			break
		}
		s.add(p[:end])
		s.endLine()
		p = p[end+1:]
	}
	return n, nil
}

func (s *stderr) add(p []byte) {
	if room := lineBytes - len(s.line); len(p) > room {
		p, s.cut = p[:room], true
	}
	s.line = append(s.line, p...)
}

func (s *stderr) endLine() {
	if fraction, note, ok := parseProgress(s.line); ok {
		s.report(fraction, note)
	} else if len(s.line) > 0 {
		slot := &s.lines[s.ended%tailLines]
		*slot = append((*slot)[:0], s.line...)
		if s.cut {
			*slot = append(*slot, "…"...)
		}
		s.ended++
	}
	s.line, s.cut = s.line[:0], false
}

// tail returns the last lines, fit to be read by anybody. Nothing is written after.
func (s *stderr) tail() string {
	s.endLine()
	var last []string
	for i, size := s.ended-1, 0; i >= max(0, s.ended-tailLines); i-- {
		line := printable(s.lines[i%tailLines])
		if size += len(line) + 1; size > tailBytes {
			break
		}
		if line != "" {
			last = append(last, line)
		}
	}
	slices.Reverse(last)
	return strings.Join(last, "\n")
}

// colours are what moves a terminal's cursor and paints it (ECMA-48, section 5.4).
var colours = regexp.MustCompile(`\x1b\[[0-?]*[ -/]*[@-~]`)

// printable is a line as valid UTF-8 without control characters and colours, and in at
// most lineBytes and an ellipsis.
func printable(line []byte) string {
	if bytes.IndexByte(line, 0x1b) >= 0 {
		line = colours.ReplaceAll(line, nil)
	}
	text := strings.Map(func(r rune) rune {
		if r != '\t' && unicode.IsControl(r) {
			return -1
		}
		return r // U+FFFD for what is no UTF-8
	}, string(line))
	if limit := lineBytes + len("…"); len(text) > limit {
		for text = text[:lineBytes]; !utf8.ValidString(text); {
			text = text[:len(text)-1]
		}
		text += "…"
	}
	return strings.TrimRightFunc(text, unicode.IsSpace)
}

// parseProgress reads "AM_PROGRESS 0.4 resizing".
func parseProgress(line []byte) (fraction float64, note string, ok bool) {
	rest, ok := bytes.CutPrefix(line, []byte(progressMark+" "))
	if !ok {
		return 0, "", false
	}
	number, words, _ := strings.Cut(strings.TrimSpace(string(rest)), " ")
	if strings.Trim(number, "0123456789.") != "" { // no signs, exponents, NaN
		return 0, "", false
	}
	fraction, err := strconv.ParseFloat(number, 64)
	if err != nil || fraction > 1 {
		return 0, "", false
	}
	return fraction, printable([]byte(strings.TrimSpace(words))), true
}
