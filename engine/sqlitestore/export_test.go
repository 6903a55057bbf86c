package sqlitestore

// Inherit gives a store the leases that another had when it was closed. A process that
// has a directory alone wants none from before, but the tests for stores that are shared
// do.
func (s *Store) Inherit(from *Store) {
	for owner, lease := range from.leases {
		if !lease.IsZero() {
			s.leases[owner] = lease
		}
	}
}
