package sqlitestore

// head is what the store knows besides its rows: the row of table head.
type head struct {
	log      uint32
	last     uint64
	sequence uint64
	place    int64
	kept     [4]int64 // bytes by ended state, from succeeded on
	logBytes int64

	// These two are not in the row, but found from the tables.
	first   uint64 // the log's oldest number, or one past last
	nextDue int64
}

func (h *head) keptIn(s state) *int64 { return &h.kept[s-succeeded] }

const (
	selectHead = `SELECT log, last, sequence, place, succeeded, failed, cancelled, expired, published,
		coalesce((SELECT min(number) FROM log), last + 1),
		coalesce((SELECT min(at) FROM wake), 0)
		FROM head`
	updateHead = `UPDATE head SET last = ?, sequence = ?, place = ?, succeeded = ?, failed = ?, cancelled = ?,
		expired = ?, published = ?`
)

func readHead(c *connection) (h head, err error) {
	q, err := c.prepare(selectHead)
	if err != nil {
		return head{}, err
	}
	defer func() { _ = q.s.Close() }()
	if q.with().next() {
		h.log = uint32(q.column())
		h.last, h.sequence, h.place = uint64(q.column()), uint64(q.column()), q.column()
		for i := range h.kept {
			h.kept[i] = q.column()
		}
		h.logBytes = q.column()
		h.first, h.nextDue = uint64(q.column()), q.column()
	}
	return h, q.done()
}

func (h *head) write(q *statement) error {
	q.with().int(int64(h.last)).int(int64(h.sequence)).int(h.place)
	for _, bytes := range h.kept {
		q.int(bytes)
	}
	return q.int(h.logBytes).exec()
}
