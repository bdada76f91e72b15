"""Benchmarks: interlock measured against its peers and against the floor of the machine."""
