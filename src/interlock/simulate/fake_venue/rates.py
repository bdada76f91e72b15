"""A rate limit of one venue: a fixed window, and a ban for who does not listen."""

from __future__ import annotations

from interlock.domain.clock import NS_PER_S
from interlock.venues.fake.wire import Code

BAN_NS = 120 * NS_PER_S


class RateLimit:
    """Counts in windows. All times are the fake's own steady time, not the venue's skewed clock."""

    def __init__(self, limit: int, window_ns: int, ban_after: int) -> None:
        self.limit = limit
        self.window_ns = window_ns
        self.ban_after = ban_after
        self._start_ns = 0
        self._used = 0
        self._refused = 0
        self._banned_until_ns = 0

    def admit(self, now_ns: int, units: int = 1) -> Code:
        """Count so many units: OK, RATE_LIMITED, or BANNED. Requests while banned count for nothing."""
        if now_ns < self._banned_until_ns:
            return Code.BANNED
        if now_ns >= self._start_ns + self.window_ns:
            self._start_ns, self._used, self._refused = now_ns, 0, 0
        self._used += units
        if self._used <= self.limit:
            return Code.OK
        self._refused += 1
        if self._refused >= self.ban_after:
            self.ban(now_ns, BAN_NS)
            return Code.BANNED
        return Code.RATE_LIMITED

    def ban(self, now_ns: int, for_ns: int) -> None:
        """Refuse everything for a while."""
        self._banned_until_ns = now_ns + for_ns

    def headers(self, now_ns: int) -> tuple[int, int, int]:
        """(limit, what remains, time at which it is whole again)."""
        if now_ns < self._banned_until_ns:
            return self.limit, 0, self._banned_until_ns
        return self.limit, max(0, self.limit - self._used), self._start_ns + self.window_ns
