package sqlitestore

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"strconv"
	"strings"

	"github.com/ncruces/go-sqlite3"
)

const (
	// applicationID is in the database's header: "AMSG".
	applicationID = 0x414d5347
	// pageSize was measured: 8,192 was no faster for small messages and writes twice as
	// much for one alone.
	pageSize = 4096
	// walLimit is what the write-ahead log is cut to when it was longer.
	walLimit = 64 << 20
	// busyTimeout is how long one waits for a backup's or another tool's locks.
	busyTimeout = "10000"
	// maxMemory bounds what a connection takes. Only what is used is ever taken; it
	// is this much so that the largest data fits, which SQLite has a few times.
	maxMemory = 1 << 30

	writerCache = 32 << 10 // KiB
	readerCache = 4 << 10
)

// connection is one SQLite connection. One goroutine at a time uses it.
type connection struct {
	*sqlite3.Conn
}

// connect opens a database and sets what is a connection's own.
func connect(ctx context.Context, path, vfs string, flags sqlite3.OpenFlag, logger *slog.Logger) (*connection, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	name := url.URL{Scheme: "file", OmitHost: true, Path: path}
	query := url.Values{}
	if vfs != "" {
		query.Set("vfs", vfs)
	}
	switch {
	case flags&sqlite3.OPEN_CREATE != 0:
		query.Set("mode", "rwc")
	case flags&sqlite3.OPEN_READONLY != 0:
		query.Set("mode", "ro")
	default:
		query.Set("mode", "rw")
	}
	name.RawQuery = strings.ReplaceAll(query.Encode(), "+", "%20") // SQLite knows no plus
	conn, err := sqlite3.OpenContext(sqlite3.WithMaxMemory(ctx, maxMemory), name.String())
	if err != nil {
		return nil, err
	}
	c := &connection{conn}
	if err := c.ConfigLog(c.logTo(logger, path)); err != nil {
		return nil, c.closeAfter(err)
	}
	if err := c.Exec("PRAGMA busy_timeout = " + busyTimeout + "; PRAGMA foreign_keys = OFF; PRAGMA temp_store = MEMORY"); err != nil {
		return nil, c.closeAfter(err)
	}
	return c, nil
}

// logTo passes on what SQLite says of its own accord, such as how much of the write-ahead
// log it recovered. Its errors come back from the calls that had them.
func (*connection) logTo(logger *slog.Logger, path string) func(sqlite3.ExtendedErrorCode, string) {
	return func(code sqlite3.ExtendedErrorCode, message string) {
		switch code.Code() {
		case sqlite3.NOTICE:
			logger.Info("sqlite: "+message, "database", path)
		case sqlite3.CORRUPT, sqlite3.NOTADB, sqlite3.IOERR, sqlite3.FULL:
			logger.Warn("sqlite: "+message, "database", path)
		}
	}
}

func (c *connection) closeAfter(err error) error {
	c.close()
	return err
}

// close frees all; it cannot fail in a way that would change anything.
func (c *connection) close() {
	for statements := c.statements(); len(statements) > 0; statements = c.statements() {
		_ = statements[0].Close()
	}
	_ = c.Close()
}

func (c *connection) statements() []*sqlite3.Stmt {
	var all []*sqlite3.Stmt
	for s := range c.Stmts() {
		all = append(all, s)
	}
	return all
}

// prepare keeps a statement for the connection's life.
func (c *connection) prepare(sql string) (*statement, error) {
	s, tail, err := c.PrepareFlags(sql, sqlite3.PREPARE_PERSISTENT)
	if err != nil {
		return nil, fmt.Errorf("%w in %s", err, sql)
	}
	if strings.TrimSpace(tail) != "" {
		return nil, fmt.Errorf("more than one statement in %s", sql)
	}
	return &statement{s: s}, nil
}

// integer returns the only column of the only row of a query.
func (c *connection) integer(sql string) (int64, error) {
	s, _, err := c.Prepare(sql)
	if err != nil {
		return 0, err
	}
	defer func() { _ = s.Close() }()
	if !s.Step() {
		return 0, s.Err()
	}
	return s.ColumnInt64(0), s.Err()
}

// text returns the only column of the only row of a query.
func (c *connection) text(sql string) (string, error) {
	s, _, err := c.Prepare(sql)
	if err != nil {
		return "", err
	}
	defer func() { _ = s.Close() }()
	if !s.Step() {
		return "", s.Err()
	}
	return s.ColumnText(0), s.Err()
}

// connectWriter opens the one connection that writes, and makes the database what the
// store expects.
func connectWriter(ctx context.Context, path string, cfg *Config) (*connection, error) {
	c, err := connect(ctx, path, cfg.VFS, sqlite3.OPEN_READWRITE|sqlite3.OPEN_CREATE, cfg.Logger)
	if err != nil {
		return nil, err
	}
	if err := c.prepareWriting(cfg); err != nil {
		return nil, c.closeAfter(err)
	}
	return c, nil
}

func (c *connection) prepareWriting(cfg *Config) error {
	if err := c.checkVersion(); err != nil {
		return err
	}
	synchronous := "FULL"
	if cfg.Unsafe {
		synchronous = "OFF"
	}
	// It is set before anything is written: a gatherFile wants every commit synced.
	if err := c.Exec("PRAGMA page_size = " + strconv.Itoa(pageSize) + "; PRAGMA synchronous = " + synchronous); err != nil {
		return err
	}
	mode, err := c.text("PRAGMA journal_mode = WAL")
	if err != nil {
		return err
	}
	if mode != "wal" {
		return fmt.Errorf("the file system cannot hold a write-ahead log (journal mode %q): choose another --data", mode)
	}
	// Commit copies the log itself, to say so when that fails.
	return c.Exec("PRAGMA wal_autocheckpoint = 0" +
		"; PRAGMA journal_size_limit = " + strconv.Itoa(walLimit) +
		"; PRAGMA cache_size = -" + strconv.Itoa(writerCache))
}

// checkVersion refuses a SQLite that can lose a write-ahead log that is reset while
// another process reads.
func (c *connection) checkVersion() error {
	version, err := c.text("SELECT sqlite_version()")
	if err != nil {
		return err
	}
	var major, minor, patch int
	if _, err := fmt.Sscanf(version, "%d.%d.%d", &major, &minor, &patch); err != nil {
		return fmt.Errorf("SQLite's version %q: %w", version, err)
	}
	if major*1_000_000+minor*1_000+patch < 3_051_003 {
		return fmt.Errorf("SQLite %s can corrupt its data: this needs 3.51.3 or later", version)
	}
	return nil
}
