package exec

import "os"

// ParseProgress reads a line of progress.
var ParseProgress = parseProgress

// Tail is the end of what was written to standard error, in these pieces.
func Tail(report func(float64, string), pieces ...[]byte) string {
	s := stderr{report: report}
	for _, piece := range pieces {
		_, _ = s.Write(piece)
	}
	return s.tail()
}

// CopyReleased is what is read of a pipe that was released before anybody looked.
func CopyReleased(f *os.File) []byte {
	release(f)
	kept := output{limit: 1 << 20}
	copyAll(&kept, f, func(error) {})
	return kept.bytes()
}
