"""The event loop of a process in which an order must not wait: what it does for itself is done while nothing waits, and it may spin.

Python's collector of cycles runs whenever enough objects were made, which is in the middle of a decision as soon as anywhere. Here it is switched off
for as long as the loop works, what is there is frozen, and the young are looked through when neither a callback nor a connection has anything
to do. Nothing but the collector frees cycles, so that it is done again and again, and done anyway where the loop never rests.
"""

from __future__ import annotations

import asyncio
import gc
import selectors
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

NS_PER_S: Final = 1_000_000_000
EVERY_NS: Final = (NS_PER_S, 10 * NS_PER_S, 60 * NS_PER_S)
"""How often each generation is collected. Cycles are made where a connection ends or something fails, not by frames and orders."""
LATEST_NS: Final = 5 * NS_PER_S
"""A collection that found no rest for so long is done all the same."""


class Collector:
    """Collects cycles when it is told that nothing waits. `waits` says that something is under way all the same, such as a write to a disk."""

    def __init__(self, monotonic_ns: Callable[[], int] = time.monotonic_ns, waits: Callable[[], bool] = lambda: False) -> None:
        self._now_ns = monotonic_ns
        self.waits = waits
        self._next_ns = [0, 0, 0]
        self.counts = [0, 0, 0]
        self.found = 0
        """Objects in cycles that were freed."""
        self.longest_ns = 0
        self.frozen = 0
        """Objects that were there at the beginning and are never looked through again."""

    @contextmanager
    def on_duty(self) -> Iterator[None]:
        """While the block runs nothing is collected but here; what is there now stays."""
        gc.collect()
        gc.freeze()
        gc.disable()
        self.frozen = gc.get_freeze_count()
        now_ns = self._now_ns()
        self._next_ns = [now_ns + every for every in EVERY_NS]
        try:
            yield
        finally:
            gc.enable()
            gc.unfreeze()

    def due(self) -> bool:
        """Whether it is time, and nothing is under way."""
        return self.frozen > 0 and self._now_ns() >= self._next_ns[0] and not self.waits()

    def collect(self) -> None:
        """Look through the oldest generation whose time has come, and all younger ones."""
        began_ns = self._now_ns()
        self._collect(max(number for number, next_ns in enumerate(self._next_ns) if number == 0 or began_ns >= next_ns))

    def overdue(self) -> None:
        """Collect if no rest was found for it in a long time: what is asked now and then by something that runs anyway."""
        if self.frozen > 0 and self._now_ns() >= self._next_ns[0] + LATEST_NS:
            self.collect()

    def told(self) -> dict[str, Any]:
        """How it stands, for a status."""
        return {"frozen": self.frozen, "collections": list(self.counts), "freed": self.found, "longest_ns": self.longest_ns}

    def _collect(self, generation: int) -> None:
        began_ns = self._now_ns()
        self.found += gc.collect(generation)
        ended_ns = self._now_ns()
        self.counts[generation] += 1
        self.longest_ns = max(self.longest_ns, ended_ns - began_ns)
        for number in range(generation + 1):
            self._next_ns[number] = ended_ns + EVERY_NS[number]


class QuietSelector(selectors.EpollSelector):
    """A selector that has the collector work when nothing is ready, and, if it spins, asks the kernel again and again instead of sleeping.

    A spinning loop wakes without the time that the kernel takes to run a process again; timers, signals and threads work as ever. It takes a
    whole core.
    """

    def __init__(self, collector: Collector, *, spin: bool = False) -> None:
        super().__init__()
        self._collector = collector
        self._spin = spin
        self.polls = 0
        """How often the kernel was asked."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """What is ready, after at most `timeout` seconds (None: however long it takes)."""
        rests = timeout is None or timeout > 0
        if rests and self._collector.due():
            ready = self._ask(0)
            if not ready:
                self._collector.collect()
            return ready  # time has passed, also where nothing is ready: the loop looks at its timers anew
        if not (self._spin and rests):
            return self._ask(timeout)
        until = None if timeout is None else time.monotonic() + timeout
        while True:
            ready = self._ask(0)
            if ready or (until is not None and time.monotonic() >= until) or self._collector.due():
                return ready

    def _ask(self, timeout: float | None) -> list[tuple[selectors.SelectorKey, int]]:
        self.polls += 1
        return super().select(timeout)


def quiet_loop(selector: QuietSelector) -> asyncio.AbstractEventLoop:
    """An event loop on such a selector."""
    return asyncio.SelectorEventLoop(selector)
