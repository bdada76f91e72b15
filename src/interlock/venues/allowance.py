"""What may still be asked of a venue over HTTP from one account: one meter for all clients of it in a process, kept by what goes out and by what
answers tell.

Thread-safe, because the clients that share one work in threads of their own. How a venue counts is data of its own (`Budgets`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import monotonic_ns

from interlock.domain.clock import NS_PER_MS
from interlock.venues.budget import Cost, Limit, Meter, Part, Spend
from interlock.venues.port import Ask, Heard
from interlock.venues.trouble import Explained

BANS = (403, 418)
"""HTTP statuses after which nothing at all is asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What an answer says of a limit: units that all together have used, and in how many ms that is forgotten."""

    used: int
    reset_in_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Budgets:
    """How a venue counts.

    `cost`: what a request takes of which limit. `told`: what its answer says of them, given the venue's time in ms. `left_alone_ms`: for how long the
    venue wants to be left alone after a refusal, 0 where it does not say.
    """

    limits: tuple[Limit, ...]
    cost: Callable[[Ask], Cost]
    told: Callable[[Ask, Heard, int], Mapping[str, Told]]
    left_alone_ms: Callable[[Heard, Explained], int]


class Allowance:
    """One account's. Every request is told here before it goes out (`take`), and what came of it after."""

    def __init__(self, budgets: Budgets, part: Part, now_ns: Callable[[], int] = monotonic_ns) -> None:
        self._budgets = budgets
        self._now_ns = now_ns
        self._meter = Meter(budgets.limits, part)
        self._lock = threading.Lock()

    def take(self, ask: Ask, spend: Spend) -> int:
        """0: the request counts, and goes out now. Otherwise nothing counts, and it is how long to wait before asking again, nanoseconds.

        What lowers risk waits as well, but for nothing that is kept for others: a request that the venue would refuse lowers nothing.
        """
        with self._lock:
            wait_ns = self._wait_ns(ask, spend)
            if not wait_ns:
                self._meter.spent(self._budgets.cost(ask), self._now_ns())
            return wait_ns

    def insist(self, ask: Ask) -> None:
        """The request goes out whatever is known of the limits: the venue itself shall say no."""
        with self._lock:
            self._meter.spent(self._budgets.cost(ask), self._now_ns())

    def wait_ns(self, ask: Ask, spend: Spend) -> int:
        """As `take`, and nothing counts in either case."""
        with self._lock:
            return self._wait_ns(ask, spend)

    def refused_ns(self, spend: Spend) -> int:
        """For how long the venue wants no request of this kind."""
        with self._lock:
            return self._meter.refused_ns(spend, self._now_ns())

    def free(self, name: str) -> int:
        """The units of a limit that nobody has used. Raises KeyError for one that the venue does not have."""
        with self._lock:
            return self._meter.free(name, self._now_ns())

    def heard(self, ask: Ask, heard: Heard, asked_ns: int, venue_ms: int) -> None:
        """Take what an answer says of the limits; it was asked for at `asked_ns`."""
        with self._lock:
            now_ns = self._now_ns()
            units = {limit.name: limit.units for limit in self._budgets.limits}
            for name, told in self._budgets.told(ask, heard, venue_ms).items():
                reset_in_ns = told.reset_in_ms * NS_PER_MS
                self._meter.told(name, units=units[name], used=told.used, reset_in_ns=reset_in_ns, asked_ns=asked_ns, now_ns=now_ns)

    def left_alone_ms(self, heard: Heard, explained: Explained) -> int:
        """For how long an answer that is a refusal wants the venue to be left alone; 0 where it does not say."""
        return self._budgets.left_alone_ms(heard, explained)

    def refused(self, spend: Spend, explained: Explained, for_ns: int) -> None:
        """The venue refused because of the rate: nobody here asks that kind again before the time is over, and nothing at all after a ban."""
        with self._lock:
            self._meter.refused(spend, for_ns, self._now_ns(), banned=explained.status in BANS)

    def _wait_ns(self, ask: Ask, spend: Spend) -> int:
        now_ns, cost = self._now_ns(), self._budgets.cost(ask)
        if spend is not Spend.LOWER:
            return self._meter.wait_ns(spend, cost, now_ns)
        return max(self._meter.refused_ns(spend, now_ns), self._meter.fits_in_ns(cost, now_ns))
