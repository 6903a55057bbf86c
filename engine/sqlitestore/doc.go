// Package sqlitestore is an engine.Store in one SQLite file: what Commit returned for is
// on the disk, and outlives the process and the power.
//
// # Usage
//
//	store, err := sqlitestore.Open(ctx, sqlitestore.Config{Dir: "data"})
//	e, err := engine.New(engine.Config{Store: store})
//	...
//	err = e.Drain(ctx)
//	err = store.Close()
//
// # Who owns what
//
// One process at a time has the directory: a lock in it vanishes with the process. One
// connection writes, guarded by the store's turn; a few others read, each for one
// goroutine at a time. Nothing runs in the background: Commit also copies the
// write-ahead log into the database when that is long enough.
//
// # What is kept in memory
//
// The counts per message type, what is kept per state in bytes, the last numbers, and
// who has claimed what: all of them are also in the database, written once per commit.
// Until when an owner has its claims is in memory only: with the process all its claims are
// over.
//
// # When the disk is full
//
// Commit answers engine.ErrStorageFull and has changed nothing; the store goes on when
// there is room. After any other failure it does not: what is on the disk is then
// unknown until it is opened again.
//
// # Testing
//
// Package faultvfs has a file system that loses power, has no room, or fails to sync.
package sqlitestore
