package engine

// ring is a queue of consecutively numbered values in one piece of memory, which
// doubles as it fills. The zero value is empty and begins at number 0.
type ring[T any] struct {
	values []T // number n is at n % len(values)
	first  uint64
	end    uint64 // one past the newest number
}

// newRing returns an empty ring whose first number is first.
func newRing[T any](first uint64) ring[T] { return ring[T]{first: first, end: first} }

func (r *ring[T]) len() int { return int(r.end - r.first) }

// at returns the value of a number from first to before end.
func (r *ring[T]) at(number uint64) *T { return &r.values[number&uint64(len(r.values)-1)] }

// push makes room for one more value and returns it, zero, to be filled in.
func (r *ring[T]) push() *T {
	if r.len() == len(r.values) {
		r.grow()
	}
	r.end++
	return r.at(r.end - 1)
}

// drop forgets the oldest value.
func (r *ring[T]) drop() {
	var zero T
	*r.at(r.first) = zero
	r.first++
}

func (r *ring[T]) grow() {
	values := make([]T, max(2*len(r.values), 64)) // a power of two
	for n := r.first; n < r.end; n++ {
		values[n&uint64(len(values)-1)] = *r.at(n)
	}
	r.values = values
}
