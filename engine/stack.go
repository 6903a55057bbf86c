package engine

import (
	"bytes"
	"runtime"
	"strings"
)

// maxStackBytes bounds the dump of all goroutines in which a stuck one is looked up.
const maxStackBytes = 16 << 20

// goroutineName returns the calling goroutine's name in stack dumps, such as
// "goroutine 17".
func goroutineName() string {
	var buf [64]byte
	header := buf[:runtime.Stack(buf[:], false)]
	if i := bytes.IndexByte(header, '['); i > 0 {
		header = header[:i]
	}
	return strings.TrimSpace(string(header))
}

// goroutineStacks returns the stacks of all goroutines by name. It stops the
// world for a moment: only for what should not happen.
func goroutineStacks() map[string]string {
	buf := make([]byte, 1<<20)
	n := runtime.Stack(buf, true)
	for n == len(buf) && len(buf) < maxStackBytes {
		buf = make([]byte, 2*len(buf))
		n = runtime.Stack(buf, true)
	}
	stacks := make(map[string]string)
	for stack := range strings.SplitSeq(string(buf[:n]), "\n\n") {
		if name, _, found := strings.Cut(stack, " ["); found {
			stacks[strings.TrimSpace(name)] = stack
		}
	}
	return stacks
}
