"""The clock port: time is int64 nanoseconds and comes from an object, never from the air."""

from __future__ import annotations

import time
from typing import Protocol

NS_PER_S = 1_000_000_000
NS_PER_MS = 1_000_000


class Clock(Protocol):
    """What the rest of the program may know about time."""

    def now_ns(self) -> int:
        """Nanoseconds since the Unix epoch, UTC."""
        ...

    def monotonic_ns(self) -> int:
        """Nanoseconds that never go back; for durations only."""
        ...


class SystemClock:
    """The machine's clocks."""

    def now_ns(self) -> int:
        """Nanoseconds since the Unix epoch by the wall clock."""
        return time.time_ns()

    def monotonic_ns(self) -> int:
        """Nanoseconds of the monotonic clock."""
        return time.monotonic_ns()


class ManualClock:
    """The fake: stands still until told to move."""

    def __init__(self, now_ns: int = 0) -> None:
        self._now_ns = now_ns
        self._monotonic_ns = 0

    def now_ns(self) -> int:
        """The time that was last set."""
        return self._now_ns

    def monotonic_ns(self) -> int:
        """The sum of all advances."""
        return self._monotonic_ns

    def advance(self, ns: int) -> None:
        """Move both clocks forward by `ns` nanoseconds; raises ValueError on a negative step."""
        if ns < 0:
            raise ValueError(f"ManualClock.advance: expected ns >= 0, found {ns}; use jump_wall to go back")
        self._now_ns += ns
        self._monotonic_ns += ns

    def jump_wall(self, ns: int) -> None:
        """Move only the wall clock, forward or back, as an operator or NTP would."""
        self._now_ns += ns
