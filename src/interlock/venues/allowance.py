"""What may still be asked of a venue from one account: one meter for all clients of it in a process, kept by what goes out and by what answers tell.

Thread-safe, because the clients that share one work in threads of their own. How a venue counts is in `metering`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic_ns

from interlock.venues.budget import Meter, Part, Spend
from interlock.venues.metering import Metering, take_refused, take_told
from interlock.venues.port import Ask, Heard, Refused


class Allowance:
    """One account's. Every request is told here before it goes out (`take`), and what came of it after. `now_ns` is the clock of the meter."""

    def __init__(self, metering: Metering, part: Part, now_ns: Callable[[], int] = monotonic_ns) -> None:
        self.metering = metering
        self._now_ns = now_ns
        self._meter = Meter(metering.limits, part)
        self._lock = threading.Lock()

    def take(self, ask: Ask, spend: Spend) -> int:
        """0: the request counts, and goes out now. Otherwise nothing counts, and it is how long to wait before asking again, nanoseconds.

        What lowers risk waits as well, but for nothing that is kept for others: a request that the venue would refuse lowers nothing.
        """
        with self._lock:
            wait_ns = self._wait_ns(ask, spend)
            if not wait_ns:
                self._meter.spent(self.metering.cost(ask), self._now_ns())
            return wait_ns

    def insist(self, ask: Ask) -> None:
        """The request goes out whatever is known of the limits: the venue itself shall say no."""
        with self._lock:
            self._meter.spent(self.metering.cost(ask), self._now_ns())

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

    def heard(self, ask: Ask, heard: Heard, asked_ns: int) -> None:
        """Take what an answer says of the limits; it was asked for at `asked_ns`."""
        with self._lock:
            take_told(self._meter, self.metering, ask, heard, asked_ns=asked_ns, now_ns=self._now_ns())

    def refused(self, spend: Spend, refused: Refused) -> None:
        """The venue refused: because of the rate, nobody here asks that kind again before the time is over, and nothing at all after a ban."""
        with self._lock:
            take_refused(self._meter, self.metering, spend, refused, self._now_ns())

    def _wait_ns(self, ask: Ask, spend: Spend) -> int:
        now_ns, cost = self._now_ns(), self.metering.cost(ask)
        if spend is not Spend.LOWER:
            return self._meter.wait_ns(spend, cost, now_ns)
        return max(self._meter.refused_ns(spend, now_ns), self._meter.fits_in_ns(cost, now_ns))
