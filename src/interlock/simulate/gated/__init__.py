"""The gate's decision inside a replay: the core that a live gate runs, on records in memory and the replay's own clock."""
