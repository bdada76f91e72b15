"""One script an engine: each runs alone in its own process and environment and prints one JSON line.

`protocol` is the only module that they share; it needs numpy and nothing else, because a peer's environment has
neither interlock nor, always, numba.
"""
