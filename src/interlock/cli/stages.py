"""Words on stderr about what is being done, for work that takes longer than two seconds."""

from __future__ import annotations

import sys
from typing import TextIO

from interlock.domain.clock import NS_PER_S, Clock

_EVERY_NS = 2 * NS_PER_S


class Stages:
    """Call it with (what, done, total) as often as you like: it prints a line at most every two seconds, none in the first two."""

    def __init__(self, clock: Clock, stream: TextIO | None = None) -> None:
        self._clock = clock
        self._stream = stream
        self._said_ns = clock.monotonic_ns()

    def __call__(self, what: str, done: int, total: int) -> None:
        """Note what is going on; `total` 0 means that there is no measure of it."""
        now_ns = self._clock.monotonic_ns()
        if now_ns - self._said_ns < _EVERY_NS:
            return
        self._said_ns = now_ns
        share = f", {100 * done // total} %" if total else ""
        print(f"{what}{share}", file=self._stream or sys.stderr, flush=True)
