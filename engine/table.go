package engine

// table knows every message by id and in the order of acceptance: all that are
// on their way, and a bounded history of those that ended. With a store it knows by id
// what is claimed, until the store knows what became of it. Guarded by Engine.mu.
type table struct {
	byID   map[ID]*record
	newest *block
	next   uint64 // the sequence number of the next record; the first is 1

	history      ring[ended]
	kept         int // entries of history that are not empty
	historyBytes int64
	limit        int
	limitBytes   int64
}

// ended is what forgetting a record takes, without looking at the record, which
// has left the processor's cache by then.
type ended struct {
	id    ID
	size  int64
	place place
}

// blockSize is how many consecutive records share a block. A message that stays
// long pins its block only, however many come and go after it.
const blockSize = 128

// block holds consecutive records in order of acceptance; a slot is nil once its
// record is forgotten.
type block struct {
	base         uint64
	live         int
	records      [blockSize]*record
	older, newer *block
}

// place is where a record stands in the order of acceptance.
type place struct {
	sequence uint64
	block    *block
}

func newTable(cfg Config) table {
	return table{byID: make(map[ID]*record), next: 1, limit: cfg.HistoryLimit, limitBytes: cfg.HistoryBytes}
}

func (t *table) add(r *record) {
	b := t.newest
	if b == nil || t.next == b.base+blockSize {
		b = &block{base: t.next, older: t.newest}
		if t.newest != nil {
			t.newest.newer = b
			t.newest.dropIfDead()
		}
		t.newest = b
	}
	r.place = place{sequence: t.next, block: b}
	b.records[t.next-b.base] = r
	b.live++
	t.next++
	t.byID[r.message.ID] = r
}

// keep moves a record that reached its outcome to the history, and forgets the
// oldest of those that no longer fit.
func (t *table) keep(r *record) {
	if t.history.len()/2 > t.limit {
		t.compact()
	}
	r.kept = t.history.end
	*t.history.push() = ended{id: r.message.ID, size: r.size, place: r.place}
	t.kept++
	t.historyBytes += r.size
	for t.kept > t.limit || t.historyBytes > t.limitBytes {
		t.forgetOldest()
	}
}

// compact takes the empty entries out, of which a message that is retried again and
// again leaves one each time.
func (t *table) compact() {
	old := t.history
	t.history = newRing[ended](old.end)
	for n := old.first; n < old.end; n++ {
		if entry := *old.at(n); entry.place.block != nil {
			entry.place.record().kept = t.history.end
			*t.history.push() = entry
		}
	}
}

// revive takes a record out of the history, to run again. Its entry there stays,
// empty, until its turn comes.
func (t *table) revive(r *record) {
	entry := t.history.at(r.kept)
	t.historyBytes -= entry.size
	t.kept--
	*entry = ended{}
	r.kept = 0
}

func (t *table) forgetOldest() {
	oldest := t.history.at(t.history.first)
	if oldest.place.block == nil {
		t.history.drop()
		return
	}
	t.historyBytes -= oldest.size
	t.kept--
	delete(t.byID, oldest.id)
	b := oldest.place.block
	b.records[oldest.place.sequence-b.base] = nil
	b.live--
	b.dropIfDead()
	t.history.drop()
}

// record returns the one that stands there.
func (p place) record() *record { return p.block.records[p.sequence-p.block.base] }

// dropIfDead unlinks a block without records. The newest is never dropped.
func (b *block) dropIfDead() {
	if b.live > 0 || b.newer == nil {
		return
	}
	b.newer.older = b.older
	if b.older != nil {
		b.older.newer = b.newer
	}
}

// descend calls visit with the records accepted before sequence, newest first,
// until visit returns false.
func (t *table) descend(before uint64, visit func(*record) bool) {
	for b := t.newest; b != nil; b = b.older {
		if b.base >= before {
			continue
		}
		for i := min(before-b.base, blockSize); i > 0; i-- {
			if r := b.records[i-1]; r != nil && !visit(r) {
				return
			}
		}
	}
}
