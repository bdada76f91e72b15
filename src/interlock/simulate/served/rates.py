"""The rate limits of a simulated venue: counters in windows, and a ban for who does not listen."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """What becomes of a request."""

    TAKEN = "taken"
    LIMITED = "limited"
    BANNED = "banned"


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `most` in windows of `window_ms`, aligned to the clock as at the venues. `name` is the venue's."""

    name: str
    most: int
    window_ms: int


@dataclass(slots=True)
class _Count:
    window: int = -1
    used: int = 0
    refused: int = 0


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a counter stands: used and left in this window, and when it is whole again (milliseconds of the venue's clock)."""

    limit: Limit
    used: int
    left: int
    reset_ms: int


class Rates:
    """Counters by (limit, whose). A client that goes on for `ban_after` refusals within a window is banned for `ban_ms`."""

    def __init__(self, limits: tuple[Limit, ...], *, ban_after: int = 20, ban_ms: int = 120_000) -> None:
        self.limits = {limit.name: limit for limit in limits}
        self.ban_after = ban_after
        self.ban_ms = ban_ms
        self.banned_until_ms = 0
        self._counts: dict[tuple[str, str], _Count] = defaultdict(_Count)

    def take(self, name: str, whose: str, now_ms: int, weight: int = 1) -> Verdict:
        """Count a request against a limit; a refused one counts towards the ban only."""
        if now_ms < self.banned_until_ms:
            return Verdict.BANNED
        limit, count = self.limits[name], self._counts[name, whose]
        self._roll(limit, count, now_ms)
        if count.used + weight <= limit.most:
            count.used += weight
            return Verdict.TAKEN
        count.refused += 1
        if count.refused >= self.ban_after:
            self.ban(now_ms, self.ban_ms)
            return Verdict.BANNED
        return Verdict.LIMITED

    def standing(self, name: str, whose: str, now_ms: int) -> Standing:
        """Where a counter stands now."""
        limit, count = self.limits[name], self._counts[name, whose]
        self._roll(limit, count, now_ms)
        return Standing(limit, count.used, limit.most - count.used, (count.window + 1) * limit.window_ms)

    def forget(self) -> None:
        """Every counter is whole again, and nobody is banned."""
        self._counts.clear()
        self.banned_until_ms = 0

    def ban(self, now_ms: int, for_ms: int) -> None:
        """Refuse everything for a while; 0 ends a ban."""
        self.banned_until_ms = now_ms + for_ms

    @staticmethod
    def _roll(limit: Limit, count: _Count, now_ms: int) -> None:
        window = now_ms // limit.window_ms
        if window != count.window:
            count.window, count.used, count.refused = window, 0, 0
