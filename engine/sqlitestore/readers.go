package sqlitestore

import (
	"context"
	"errors"
	"fmt"

	"github.com/ncruces/go-sqlite3"
)

// readers are the connections that read: as many at once as there are, the others wait.
type readers struct {
	idle chan *reader // who reads takes one out and puts it back
	all  []*reader
}

// reader is one connection that reads, with what it has prepared.
type reader struct {
	*connection
	prepared map[string]*statement
	names    map[int64]string // of message types, which never change
}

func openReaders(ctx context.Context, path string, cfg *Config) (*readers, error) {
	p := &readers{idle: make(chan *reader, cfg.Readers)}
	for range cfg.Readers {
		c, err := connect(ctx, path, cfg.VFS, sqlite3.OPEN_READONLY, cfg.Logger)
		if err == nil {
			p.all = append(p.all, &reader{c, make(map[string]*statement), make(map[int64]string)})
			err = c.Exec(fmt.Sprintf("PRAGMA query_only = ON; PRAGMA cache_size = -%d", readerCache))
		}
		if err != nil {
			for _, r := range p.all {
				r.close()
			}
			return nil, err
		}
	}
	for _, r := range p.all {
		p.idle <- r
	}
	return p, nil
}

// close waits for those who read.
func (p *readers) close() {
	for range p.all {
		(<-p.idle).close()
	}
	close(p.idle)
}

// read lets do read what is committed now, all of one moment. It ends with ctx.
func (p *readers) read(ctx context.Context, do func(*reader) error) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	var r *reader
	var open bool
	select {
	case r, open = <-p.idle:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if !open {
		return errClosed
	}
	defer func() { p.idle <- r }()
	err := r.moment(ctx, do)
	if errors.Is(err, sqlite3.INTERRUPT) && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

func (r *reader) moment(ctx context.Context, do func(*reader) error) error {
	before := r.SetInterrupt(ctx)
	defer r.SetInterrupt(before)
	if err := r.run("BEGIN"); err != nil {
		return err
	}
	err := do(r)
	r.SetInterrupt(before)
	return errors.Join(err, r.run("COMMIT"))
}

func (r *reader) run(sql string) error {
	q, err := r.query(sql)
	if err != nil {
		return err
	}
	return q.exec()
}

// query returns a statement to bind and run; one of each text is kept.
func (r *reader) query(sql string) (*statement, error) {
	if q := r.prepared[sql]; q != nil {
		return q.with(), nil
	}
	q, err := r.prepare(sql)
	if err != nil {
		return nil, err
	}
	r.prepared[sql] = q
	return q, nil
}

// typeName returns a message type's name.
func (r *reader) typeName(id int64) (string, error) {
	if name, known := r.names[id]; known {
		return name, nil
	}
	q, err := r.query(`SELECT name FROM type WHERE id = ?`)
	if err != nil {
		return "", err
	}
	if q.int(id).next() {
		r.names[id] = q.textColumn()
	}
	return r.names[id], q.done()
}

// largeResult returns a result that is not in its row.
func (r *reader) largeResult(number int64) (data []byte, err error) {
	q, err := r.query(selectLarge)
	if err != nil {
		return nil, err
	}
	if q.int(number).next() {
		data = q.bytesColumn()
	}
	return data, q.done()
}
