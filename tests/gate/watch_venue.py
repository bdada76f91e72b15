"""A venue in memory that tells what a test has put there, counts what it was asked, and fails when it is told to."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import msgspec
from tests.gate import limit_cases as lc

from interlock.domain.instruments import Kind
from interlock.gate.clock_watch import SkewSample
from interlock.gate.readings import Now
from interlock.gate.references import Quote, Rate
from interlock.gate.venue_reads import (
    Executions,
    Holdings,
    KeyScope,
    LedgerPage,
    Listing,
    OrderList,
    ReadFailed,
    ShownOrder,
)

KEY = "0123456789abcdef"
BTC = Listing(
    symbol="BTCUSDT",
    base="BTC",
    quote="USDT",
    kind=Kind.PERPETUAL,
    tick=Decimal("0.1"),
    lot=Decimal("0.001"),
    min_lots=1,
    min_notional=Decimal(5),
    trading=True,
    tiers=lc.TIERS,
)
PLACE = ("bybit", "BTCUSDT")


def listing(**parts: Any) -> Listing:
    return msgspec.structs.replace(BTC, **parts)


class Clock:
    """Stands until it is moved."""

    def __init__(self, boot_ns: int = lc.NOW, wall_ns: int = 1_800_000_000 * lc.S) -> None:
        self.boot_ns, self.wall_ns = boot_ns, wall_ns

    def __call__(self) -> Now:
        return Now(self.boot_ns, self.wall_ns)

    def pass_(self, ns: int) -> None:
        self.boot_ns += ns
        self.wall_ns += ns


class Venue:
    """One account. `failing` maps the beginning of a question to the failure; `gate`, while set, holds every answer back."""

    venue = "bybit"
    account = "main"
    fingerprint = KEY

    def __init__(self, clock: Clock) -> None:
        self.clock_ = clock
        self.asked: Counter[str] = Counter()
        self.failing: dict[str, Exception] = {}
        self.held: asyncio.Event | None = None
        self.quotes: dict[str, dict[str, Any]] = {"BTCUSDT": {}}
        self.rates: dict[str, dict[str, Any]] = {"USDT": {}}
        self.listed: tuple[Listing, ...] = (BTC,)
        self.holds = Holdings((), (("USDT", Decimal(1_000)),), 0)

    async def _asked(self, what: str) -> None:
        self.asked[what] += 1
        if self.held is not None:
            await self.held.wait()
        await asyncio.sleep(0)
        for beginning, error in self.failing.items():
            if what.startswith(beginning):
                raise error

    async def quote(self, symbol: str) -> Quote:
        await self._asked(f"quote {symbol}")
        return lc.quote(**{"at": self.clock_.boot_ns, "symbol": symbol, **self.quotes[symbol]})

    async def rate(self, currency: str) -> Rate:
        await self._asked(f"rate {currency}")
        return lc.rate(**{"at": self.clock_.boot_ns, "currency": currency, **self.rates[currency]})

    async def clock(self) -> SkewSample:
        await self._asked("clock")
        now = self.clock_()
        return SkewSample(asked_wall_ns=now.wall_ns, venue_ns=now.wall_ns, round_trip_ns=lc.MS, boot_ns=now.boot_ns)

    async def listings(self) -> tuple[Listing, ...]:
        await self._asked("listings")
        return self.listed

    async def holdings(self) -> Holdings:
        await self._asked("holdings")
        return self.holds

    async def key(self) -> KeyScope:
        raise ReadFailed("not asked here")

    async def order(self, client_id: str) -> ShownOrder | None:
        raise ReadFailed(f"not asked here for {client_id}")

    async def open_orders(self, symbols: Sequence[str] = ()) -> OrderList:
        raise ReadFailed("not asked here")

    async def history(self, symbols: Sequence[str] = ()) -> OrderList:
        raise ReadFailed("not asked here")

    async def executions(self, cursor: str) -> Executions:
        raise ReadFailed(f"not asked here after {cursor}")

    async def ledger(self, cursor: str) -> LedgerPage:
        raise ReadFailed(f"not asked here after {cursor}")

    def close(self) -> None:
        """Nothing is open."""
