"""The dead-man of one venue: armed again and again while the gate works, so that the venue cancels by itself when all of us are gone.

Only symbols with resting orders of ours are beaten, and those that the gate announced, because the first order there has to wait until the
venue has confirmed its dead-man.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from interlock.sentinel.config import VenuePart
from interlock.venues.cancel_only import CancelOnly, VenueTrouble


class Beats:
    """`work` is the thread's; it never delays a sweep, because it has a connection of its own."""

    def __init__(
        self,
        part: VenuePart,
        prefixes: tuple[str, ...],
        make: Callable[[], CancelOnly],
        fresh: Callable[[], bool],
        boot_ns: Callable[[], int],
    ) -> None:
        self._part = part
        self._prefixes = prefixes
        self._make = make
        self._fresh = fresh
        self._boot_ns = boot_ns
        self._changed = threading.Condition()
        self._announced: set[str] = set()
        self._stopping = False
        self.confirmed_ns: dict[str, int] = {}
        """When the venue last confirmed a beat, by symbol."""
        self.trouble = ""
        """What went wrong since the last beat that was confirmed."""

    def stop(self) -> None:
        """Let `work` end soon."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()

    def announce(self, symbol: str, wait_s: float) -> bool:
        """An order is going to rest: whether the venue has confirmed, after this call, that the dead-man of its symbol is armed."""
        with self._changed:
            if symbol not in self._part.dead_man_symbols:
                return False
            asked_ns = self._boot_ns()
            self._announced.add(symbol)
            self._changed.notify_all()
            return self._changed.wait_for(lambda: self.confirmed_ns.get(symbol, -1) >= asked_ns, wait_s)

    def work(self) -> None:
        """Beat until stopped."""
        client = self._make()
        while not self._stopping:
            with self._changed:
                announced, self._announced = self._announced, set()
            if self._fresh():
                try:
                    self._round(client, announced)
                except VenueTrouble as trouble:
                    self.trouble = trouble.reason
                    self._announced |= announced
                    self._rest(max(self._part.beat_every_ns, trouble.retry_after_ns), heed=False)
                    continue
            self._rest(self._part.beat_every_ns, heed=True)
        client.close()

    def _rest(self, for_ns: int, *, heed: bool) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._stopping or (heed and bool(self._announced)), for_ns / 1e9)

    def _round(self, client: CancelOnly, announced: set[str]) -> None:
        symbols = set(announced)
        for symbol in sorted(announced):
            self._beat(client, symbol)
        for page in client.open_pages(ours=True):
            for order in page:
                if (
                    order.symbol not in symbols
                    and order.client_id.startswith(self._prefixes)
                    and order.symbol in self._part.dead_man_symbols
                ):
                    symbols.add(order.symbol)
                    self._beat(client, order.symbol)

    def _beat(self, client: CancelOnly, symbol: str) -> None:
        # The gate may have stood still while the venue was slow; then this beat would keep orders alive that nobody watches.
        if not self._fresh():
            return
        asked_ns = self._boot_ns()
        client.beat(symbol, self._part.countdown_ns)
        with self._changed:
            self.confirmed_ns[symbol] = asked_ns
            self.trouble = ""
            self._changed.notify_all()
