package sqlitestore

import (
	"strings"
	"testing"

	"github.com/ncruces/go-sqlite3"
)

// TestPlans: no statement of a commit goes through a whole table or sorts it, however
// many messages there are.
func TestPlans(t *testing.T) {
	t.Parallel()
	s, err := Open(t.Context(), Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	var all []*sqlite3.Stmt
	for q := range s.writer.Stmts() {
		all = append(all, q)
	}
	seen := 0
	for _, q := range all {
		if strings.HasPrefix(q.SQL(), "BEGIN") || strings.HasPrefix(q.SQL(), "COMMIT") || strings.HasPrefix(q.SQL(), "ROLLBACK") {
			continue
		}
		for _, step := range planOf(t, s.writer, q.SQL()) {
			seen++
			small := strings.Contains(step, "head") || strings.HasPrefix(step, "SCAN lane USING INDEX lane_held") ||
				strings.HasPrefix(step, "SCAN log") || strings.HasPrefix(step, "SCAN CONSTANT") // of log the first row only
			if strings.HasPrefix(step, "SCAN") && !small || strings.Contains(step, "TEMP B-TREE") {
				t.Errorf("%s: %s", q.SQL(), step)
			}
		}
	}
	if seen < 20 {
		t.Errorf("only %d steps were looked at", seen)
	}
}

func planOf(t *testing.T, c *connection, sql string) (steps []string) {
	t.Helper()
	q, _, err := c.Prepare("EXPLAIN QUERY PLAN " + sql)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = q.Close() }()
	for q.Step() {
		steps = append(steps, q.ColumnText(3))
	}
	return steps
}
