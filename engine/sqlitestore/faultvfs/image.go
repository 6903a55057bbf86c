package faultvfs

import (
	"math/rand/v2"
	"slices"
)

// image is what a disk has of a file. Guarded by Disk.mu.
type image struct {
	synced  []byte
	exists  bool // also after a power cut
	deleted bool // but it may be there after a power cut, for the folder was not synced
	pending []operation
}

// operation is a write, or with nil data a truncation, that was not synced.
type operation struct {
	at   int64
	data []byte
}

func (f *image) sync() {
	for _, o := range f.pending {
		f.synced = o.apply(f.synced)
	}
	f.pending, f.exists = nil, true
}

// forget is called when the folder is synced.
func (f *image) forget() {
	if f.deleted {
		*f = image{}
	}
}

func (o operation) apply(content []byte) []byte {
	if o.data == nil {
		return resize(content, o.at)
	}
	content = resize(content, max(int64(len(content)), o.at+int64(len(o.data))))
	copy(content[o.at:], o.data)
	return content
}

func resize(content []byte, size int64) []byte {
	if size <= int64(len(content)) {
		return content[:size]
	}
	return append(content, make([]byte, size-int64(len(content)))...)
}

// recover returns what is on the disk after a power cut. Of what was not synced any
// sectors may be, unless torn is nil.
func (f *image) recover(torn *rand.Rand) (content []byte, exists bool) {
	content, exists = slices.Clone(f.synced), f.exists
	if torn == nil || f.deleted {
		return content, exists && (torn == nil || torn.IntN(2) == 0)
	}
	all := torn.IntN(3) == 0 // sometimes the disk was quick
	for _, o := range f.pending {
		for _, piece := range o.sectors() {
			if all || torn.IntN(2) == 0 {
				content, exists = piece.apply(content), true
			}
		}
	}
	return content, exists
}

// sectors cuts a write into what a disk writes as a whole.
func (o operation) sectors() []operation {
	if o.data == nil {
		return []operation{o}
	}
	var all []operation
	for from := o.at; from < o.at+int64(len(o.data)); {
		to := min((from/sector+1)*sector, o.at+int64(len(o.data)))
		all = append(all, operation{from, o.data[from-o.at : to-o.at]})
		from = to
	}
	return all
}
