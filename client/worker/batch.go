package worker

// maxBatch is how many bytes of frames are made ready at once; a frame that is larger
// is a batch of its own.
const maxBatch = 256 << 10

// batch is what the writer writes next: frames in one buffer. It is the writer's alone.
type batch struct {
	bytes []byte
	ends  []int // of each frame in bytes
	left  []*attempt
}

func (b *batch) reset() {
	b.ends = b.ends[:0]
	if b.bytes = b.bytes[:0]; cap(b.bytes) > 4*maxBatch {
		b.bytes = nil
	}
}

func (b *batch) end() { b.ends = append(b.ends, len(b.bytes)) }

// next collects what is to be sent now, and reports whether there is more. Acks come
// first, so that no beat lists a lease that the server knows as an offer; then the
// beat, which what is large must not delay.
func (l *leases) next(b *batch, beat bool) (more bool, tooLarge []*attempt) {
	b.reset()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, a := range l.dirty {
		if a.ack && !a.gone {
			a.ack = false
			b.bytes = appendAck(b.bytes, a.lease)
			b.end()
		}
	}
	if beat {
		l.addLateProgress()
		b.bytes = appendBeat(b.bytes, l.held)
		b.end()
	}
	if l.goodbye {
		l.goodbye = false
		b.bytes = append(b.bytes, `{"op":"drain"}`...)
		b.end()
	}
	b.left = b.left[:0]
	for i, a := range l.dirty {
		if len(b.bytes) >= maxBatch {
			b.left = append(b.left, l.dirty[i:]...)
			break
		}
		a.listed = false
		if !a.gone && !l.add(b, a) {
			tooLarge = append(tooLarge, a)
		}
	}
	clear(l.dirty)
	l.dirty = append(l.dirty[:0], b.left...)
	clear(b.left)
	return len(l.dirty) > 0, tooLarge
}

// addLateProgress marks what progress was held back. The caller holds mu.
func (l *leases) addLateProgress() {
	for _, a := range l.held {
		if a.progress {
			l.mark(a)
		}
	}
}

// add appends the frames that are owed about an attempt. It reports false if one does
// not fit into the server's frames: a checkpoint is then not sent, and a result is a
// failure. The caller holds mu.
func (l *leases) add(b *batch, a *attempt) (fits bool) {
	fits = true
	if a.save {
		a.save = false
		start := len(b.bytes)
		b.bytes = appendSave(b.bytes, a)
		if fits = l.fits(len(b.bytes) - start); fits {
			b.end()
		} else {
			b.bytes = b.bytes[:start]
		}
	}
	if a.progress {
		a.progress = false
		b.bytes = appendProgress(b.bytes, a)
		b.end()
	}
	if !a.report {
		return fits
	}
	a.report = false
	start := len(b.bytes)
	b.bytes = appendOutcome(b.bytes, a.lease, a.outcome)
	if !l.fits(len(b.bytes) - start) {
		fits = false
		b.bytes = appendFail(b.bytes[:start], a.lease, &failure{
			code: CodeResultTooLarge, message: "the result is too large", kind: kindPermanent, after: -1,
		})
	}
	b.end()
	return fits
}

// fits says whether the server takes a frame of so many bytes. The caller holds mu.
func (l *leases) fits(size int) bool { return l.maxFrame <= 0 || int64(size) <= l.maxFrame }
