"""The venue that does not exist: the protocol that interlock's fake venue speaks, for tests, drills and demonstrations on loopback."""
