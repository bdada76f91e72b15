"""The ports of a gate in memory: clocks, stop word, lease, venue and order lines that a test holds in its hand."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from contextlib import suppress

from tests.gate import limit_cases as lc
from tests.gate import watch_venue

from interlock.gate import records as r
from interlock.gate.clock_watch import ClockReading, SkewSample
from interlock.gate.connection import OrderConnection
from interlock.gate.journal import Journal
from interlock.gate.keeper import Keeper
from interlock.gate.readings import Now
from interlock.gate.state import GateState
from interlock.gate.venue_reads import KeyScope
from interlock.venues.fake import wire

PLACE = ("bybit", "BTCUSDT")
BID, ASK = 400_000, 400_001


class Word:
    """The stop word, in memory."""

    def __init__(self) -> None:
        self.set = False
        self.sentinel_beat = 1
        self.acknowledged = False
        self.progress = 0

    @property
    def stopped(self) -> bool:
        return self.set

    def acknowledge(self, boot_ns: int) -> None:
        self.acknowledged = boot_ns > 0

    def advance(self) -> None:
        self.progress += 1


class Lease:
    def __init__(self) -> None:
        self.is_held = True

    def held(self) -> bool:
        return self.is_held

    def release(self) -> None:
        self.is_held = False


class Venue(watch_venue.Venue):
    """Also says whose key it is. `skew_ns` is how far its clock is off, `scope` what the key may do."""

    def __init__(self, clock: watch_venue.Clock) -> None:
        super().__init__(clock)
        self.quotes = {PLACE[1]: {"bid": BID, "ask": ASK}}
        self.skew_ns = 0
        self.scope = KeyScope(
            account="main",
            fingerprint=self.fingerprint,
            trade=True,
            withdraw=False,
            transfer=False,
            address_bound=True,
            expires_wall_ns=0,
            position_mode="one_way",
            margin_mode="cross",
        )

    async def clock(self) -> SkewSample:
        await self._asked("clock")
        now = self.clock_()
        return SkewSample(asked_wall_ns=now.wall_ns, venue_ns=now.wall_ns + self.skew_ns, round_trip_ns=lc.MS, boot_ns=now.boot_ns)

    async def key(self) -> KeyScope:
        await self._asked("key")
        return self.scope


class Clock(watch_venue.Clock):
    """Stands until it is moved. `when_read` is called once, by the first reading at which it says that its time has come."""

    def __init__(self) -> None:
        super().__init__()
        self.when_read: Callable[[], bool] | None = None

    def __call__(self) -> Now:
        due, self.when_read = self.when_read, None
        if due is not None and not due():
            self.when_read = due
        return super().__call__()

    def all_three(self) -> ClockReading:
        return ClockReading(boot_ns=self.boot_ns, mono_ns=self.boot_ns, wall_ns=self.wall_ns)


class Remembering(Keeper):
    """Also keeps what it was given, which a disk that fails would lose."""

    def __init__(self, state: GateState, journal: Journal) -> None:
        super().__init__(state, journal)
        self.given: list[r.Record] = []

    def take(self, *found: r.Record, now: Now) -> int:
        self.given += found
        return super().take(*found, now=now)


class Taps:
    """The far ends of all order connections: what arrives there, by connection."""

    def __init__(self) -> None:
        self._ends: dict[str, socket.socket] = {}
        self._seen: dict[str, bytes] = {}

    def connect(self, name: str) -> OrderConnection:
        near, far = socket.socketpair()
        far.setblocking(False)
        self._ends[name] = far
        return OrderConnection(near, name)

    def seen(self) -> dict[str, bytes]:
        for name, far in self._ends.items():
            with suppress(BlockingIOError, ConnectionError):
                while data := far.recv(1 << 16):
                    self._seen[name] = self._seen.get(name, b"") + data
        return self._seen

    def close(self) -> None:
        for far in self._ends.values():
            far.close()


async def until(reached: Callable[[], bool], within_s: float = 10) -> None:
    """Wait until something is so. Raises TimeoutError."""
    deadline_s = time.monotonic() + within_s
    while not reached():
        if time.monotonic() > deadline_s:
            raise TimeoutError(f"not so within {within_s} s")
        await asyncio.sleep(0.0002)


def requests_in(data: bytes) -> list[wire.AnyRequest]:
    """The requests in what arrived. Raises AssertionError for bytes that are no whole frames: part of an order is an order."""
    assembler = wire.Assembler()
    assembler.feed(data)
    found = []
    while (frame := assembler.take()) is not None:
        found.append(wire.decode_request(frame))
    assert sum(len(wire.encode(one)) for one in found) == len(data), "bytes that are no whole frame"
    return found
