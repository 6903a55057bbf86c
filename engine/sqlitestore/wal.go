package sqlitestore

import (
	"bytes"
	"encoding/binary"
	"log/slog"
	"os"

	"github.com/ncruces/go-sqlite3"
)

const (
	walHeader   = 32
	frameHeader = 24
)

// writtenFrames is how many frames a write-ahead log seems to have: those that carry its
// salt. SQLite recovers those of them that are whole, up to the last commit.
func writtenFrames(path string) int {
	f, err := os.Open(path)
	if err != nil {
		return 0
	}
	defer func() { _ = f.Close() }()
	var header [walHeader]byte
	if _, err := f.ReadAt(header[:], 0); err != nil {
		return 0
	}
	size, salt := int64(binary.BigEndian.Uint32(header[8:])), header[16:24]
	for n := 0; ; n++ {
		var frame [frameHeader]byte
		if _, err := f.ReadAt(frame[:], walHeader+int64(n)*(frameHeader+size)); err != nil || !bytes.Equal(frame[8:16], salt) {
			return n
		}
	}
}

// recoverWAL has SQLite read the write-ahead log that an earlier process left, copies it,
// and says how far it got.
func recoverWAL(c *connection, written int, logger *slog.Logger, path string) error {
	frames, _, err := c.WALCheckpoint("main", sqlite3.CHECKPOINT_PASSIVE)
	if err != nil {
		return err
	}
	if frames = max(frames, 0); written > frames {
		logger.Warn("the write-ahead log does not end with a commit that is whole: the rest is gone. After a power cut "+
			"that is what was not acknowledged; otherwise the disk is damaged", "database", path, "frames", written, "recovered", frames)
	}
	return nil
}
