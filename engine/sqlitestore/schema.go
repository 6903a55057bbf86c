package sqlitestore

import (
	"crypto/rand"
	_ "embed"
	"encoding/binary"
	"fmt"
	"strconv"
)

//go:embed migrations/1.sql
var migration1 string

//go:embed migrations/2.sql
var migration2 string

// migrations lead from one version of the schema to the next, the first from an empty
// database to version 1.
func migrations() []string { return []string{migration1, migration2} }

// migrate brings the database to the version that this package knows, one transaction
// per step. A newer one is refused: nobody knows what it means.
func migrate(c *connection, dir string, steps []string) error {
	id, err := c.integer("PRAGMA application_id")
	if err != nil {
		return err
	}
	tables, err := c.integer("SELECT count(*) FROM sqlite_schema")
	if err != nil {
		return err
	}
	if id != applicationID && (id != 0 || tables != 0) {
		return fmt.Errorf("%s in %s is another program's database: choose another --data", databaseName, dir)
	}
	version, err := checkSchema(c, dir, len(steps))
	if err != nil {
		return err
	}
	for ; version < len(steps); version++ {
		if err := migrateStep(c, steps[version], version+1); err != nil {
			return fmt.Errorf("the data in %s cannot be brought to schema %d: %w", dir, version+1, err)
		}
	}
	return nil
}

// checkSchema returns the version of the database's schema, unless it is newer.
func checkSchema(c *connection, dir string, known int) (int, error) {
	version, err := c.integer("PRAGMA user_version")
	if err != nil {
		return 0, err
	}
	if int(version) > known {
		return 0, fmt.Errorf("the data in %s was written by a newer version (schema %d; this one knows %d): use that version or newer", dir, version, known)
	}
	return int(version), nil
}

func migrateStep(c *connection, script string, version int) (err error) {
	tx, err := c.BeginImmediate()
	if err != nil {
		return err
	}
	defer tx.End(&err)
	if err := c.Exec(script); err != nil {
		return err
	}
	if version == 1 {
		if err := c.Exec(fmt.Sprintf("PRAGMA application_id = %d; INSERT INTO head (id, log) VALUES (1, %d)", applicationID, newLog())); err != nil {
			return err
		}
	}
	return c.Exec("PRAGMA user_version = " + strconv.Itoa(version))
}

// newLog names a log in cursors; never 0.
func newLog() uint32 {
	for {
		var b [4]byte
		_, _ = rand.Read(b[:]) // never fails, see crypto/rand
		if log := binary.BigEndian.Uint32(b[:]); log != 0 {
			return log
		}
	}
}
