package engine_test

import (
	"testing"

	"github.com/activemessage/activemessage/engine"
)

// FuzzParse holds the parsers of ids and cursors: what they accept, they write
// again, and it reads back the same.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{"", "0", "5f0c91ab.17", "0197f9c2-5a3b-7c41-9d2e-6f1a2b3c4d5e", "ffffffff.18446744073709551615", "1.1", "-", "…"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if cursor, err := engine.ParseCursor(text); err == nil {
			if again, err := engine.ParseCursor(cursor.String()); err != nil || again != cursor {
				t.Errorf("cursor %q reads back as %v, %v", text, again, err)
			}
		}
		if id, err := engine.ParseID(text); err == nil {
			if again, err := engine.ParseID(id.String()); err != nil || again != id {
				t.Errorf("id %q reads back as %v, %v", text, again, err)
			}
		}
	})
}
