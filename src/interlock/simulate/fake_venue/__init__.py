"""One venue that lies, with two faces: in memory for property tests, and served by a process of its own that outlives its clients."""
