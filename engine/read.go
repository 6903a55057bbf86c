package engine

// Poll reads without waiting, at most cap(buf) notifications, into buf, so that
// one buffer can serve many subscriptions. The Delivery is Empty if there is
// nothing; else there may be more. Errors: ErrClosed, ErrStoreFailed if a Store cannot be
// read: subscribe again with the Cursor.
func (s *Subscription) Poll(buf []Notification) (Delivery, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return Delivery{}, ErrClosed
	}
	if cap(buf) == 0 {
		buf = make([]Notification, 0, deliveryBatch)
	}
	d := Delivery{Notifications: buf[:0]}
	drained := s.read(&d)
	if s.makeUp() {
		drained = false
	}
	if s.failed != nil {
		return Delivery{}, s.failed
	}
	s.readProgress(&d)
	s.account(&d)
	d.Cursor = s.position()
	switch {
	case !d.Empty():
	case drained && s.ended:
		return Delivery{}, ErrClosed
	case drained:
		s.armed = true
	default:
		// A scan step without a match: there is more, so the reader comes back
		// at once instead of holding the log for longer.
		s.armed = true
		s.wakeReader()
	}
	return d, nil
}

// read fills d from what is there and reports whether nothing is left.
func (s *Subscription) read(d *Delivery) (drained bool) {
	if s.foreign {
		s.foreign = false
		d.Gap = &Gap{Cursor: s.position()}
		return false
	}
	switch {
	case len(s.replays) > 0:
		s.readReplay(d)
		return false
	case s.behind || s.all:
		return s.scan(d)
	default:
		return s.readPending(d)
	}
}

func (s *Subscription) gap(from, to uint64) *Gap {
	return &Gap{From: from, To: to, Cursor: s.log.at(to)}
}

func (s *Subscription) readReplay(d *Delivery) {
	r := &s.replays[0]
	match := func(n *Notification) bool {
		return n.Number < r.end && r.selector.matches(n.ResponseNotification, n.MessageType, n.ID)
	}
	page := s.scanLog(r.next, match, d.Notifications)
	if s.failed = page.err; s.failed != nil {
		return
	}
	d.Notifications = page.found
	if r.next < page.first {
		d.Gap = s.gap(r.next, min(page.first, r.end)-1)
	}
	r.next = page.next
	if r.next >= r.end {
		s.replays = s.replays[1:]
	}
}

// scan reads the log from next on. When it has reached the end, the router notes
// what comes after.
func (s *Subscription) scan(d *Delivery) (drained bool) {
	match := s.matches
	if s.all {
		match = nil
	}
	page := s.scanLog(s.next, match, d.Notifications)
	if s.failed = page.err; s.failed != nil {
		return false
	}
	d.Notifications = page.found
	if s.next < page.first {
		d.Gap = s.gap(s.next, page.first-1)
	}
	s.next = page.next
	if page.end {
		s.behind = false
	}
	return page.end
}

// scanLog reads the log, which may mean to wait for a store.
func (s *Subscription) scanLog(number uint64, match func(*Notification) bool, buf []Notification) scanned {
	if s.log.onlyStored(number) {
		s.reading.Store(true)
		defer s.reading.Store(false)
	}
	return s.log.scan(number, match, buf, deliveryBytes)
}

func (s *Subscription) matches(n *Notification) bool {
	for _, sel := range s.set {
		if sel.matches(n.ResponseNotification, n.MessageType, n.ID) {
			return true
		}
	}
	return false
}

func (s *Subscription) readPending(d *Delivery) (drained bool) {
	if len(s.pending) == 0 {
		s.settleNext()
		return true
	}
	var taken int
	var first uint64
	d.Notifications, taken, first = s.log.pick(s.pending, d.Notifications)
	s.next = s.pending[taken-1] + 1
	if lost := taken - len(d.Notifications); lost > 0 {
		if s.log.stored != nil {
			d.Notifications = d.Notifications[:0]
			s.fallBehind()
			return s.scan(d)
		}
		d.Gap = s.gap(s.pending[0], first-1)
		s.next = max(s.next, first)
	}
	for taken < len(s.pending) && s.pending[taken] < s.next { // in the gap, too
		taken++
	}
	if s.pending = s.pending[taken:]; len(s.pending) == 0 {
		s.pending = nil
		s.settleNext()
	}
	return false
}

// readProgress turns noted messages into their latest reports. A message that
// has ended has nothing to report.
func (s *Subscription) readProgress(d *Delivery) {
	for _, a := range s.reports {
		p := a.record.progress.Load()
		if a.ended.Load() || p == nil {
			continue
		}
		m := a.message
		d.Progress = append(d.Progress, ProgressReport{
			ID:                   m.ID,
			MessageType:          m.MessageType,
			ResponseNotification: m.ResponseNotification,
			Attempt:              m.Attempt,
			Progress:             *p,
		})
	}
	s.reports = nil
}

func (s *Subscription) account(d *Delivery) {
	if n := len(d.Notifications); n > 0 {
		s.router.delivered.Add(uint64(n))
	}
	if d.Gap != nil {
		s.router.gaps.Add(1)
	}
}
