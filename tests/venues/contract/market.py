"""Our public feeds on the public streams of a simulated venue, kept alive as in production, and whether their books are the venue's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress
from decimal import Decimal
from typing import Self

from tests.venues.contract.place import PATIENCE_S, Place

from interlock.domain.clock import NS_PER_S
from interlock.domain.instruments import Instrument
from interlock.venues.feed import Mark, Reject, Taken, Trade
from interlock.venues.http_reader import HttpReader
from interlock.venues.live import Fresh, Freshness, LiveFeed
from interlock.venues.port import Heard
from interlock.venues.public_parts import Line, public_lines
from interlock.venues.request import Call, SignedCall
from interlock.venues.socket import connect_picows

STALE_NS = 2 * NS_PER_S

Levels = list[tuple[Decimal, Decimal]]


class Market(AbstractAsyncContextManager["Market"]):
    """Follows books, trades and marks of some symbols while it is entered."""

    def __init__(self, place: Place, symbols: tuple[str, ...]) -> None:
        self.place = place
        self.symbols = symbols
        self.said: list[Taken | Reject] = []
        self.reader = HttpReader(place.hosts.rest)
        self.tasks: list[asyncio.Task[None]] = []
        self.lines = public_lines(place.traits.venue, symbols, self._resolve)
        self.feeds = [self._live(line) for line in self.lines]

    async def __aenter__(self) -> Self:
        self.tasks = [asyncio.create_task(feed.run()) for feed in self.feeds]
        await self.until(lambda: all(self.is_whole(symbol) for symbol in self.symbols) and all(f.counts.connections for f in self.feeds))
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self.tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        self.reader.close()
        await self.place.until(lambda: not self.place.face.parts.public.listeners)

    def _resolve(self, symbol: str) -> Instrument:
        return self.place.reads.instruments[symbol]

    def _live(self, line: Line) -> LiveFeed:
        return LiveFeed(
            self.place.hosts.public,
            line.wire,
            line.feed,
            line.books,
            connect=connect_picows,
            ask=self._ask,
            clock=self.place.clock,
            chance=lambda: 0.0,
            stale_ns=STALE_NS,
            on_frame=lambda frame, at_ns, said: self.said.append(said),
        )

    def _ask(self, call: Call) -> asyncio.Future[Heard]:
        return asyncio.ensure_future(self.reader.ask(SignedCall(call.method, call.path, call.query, (), call.body), PATIENCE_S))

    # What is waited for

    async def until(self, happened: Callable[[], object]) -> None:
        """Let market time pass until something has happened."""
        async with asyncio.timeout(PATIENCE_S):
            while not happened():
                await self.place.step()
                await asyncio.sleep(0.005)

    async def settled(self) -> None:
        """The market stands still, and every book is what the venue has."""
        await self.until(lambda: all(self.is_whole(symbol) for symbol in self.symbols))
        await self.place.until(lambda: all(self.book(symbol) == self.truth(symbol) for symbol in self.symbols))

    # What was told, and what is true

    @property
    def books(self) -> LiveFeed:
        """The connection that carries the books."""
        return self.feeds[0]

    def freshness(self, symbol: str) -> Freshness:
        return self.books.freshness(symbol)

    def is_whole(self, symbol: str) -> bool:
        return isinstance(self.freshness(symbol), Fresh)

    def book(self, symbol: str) -> tuple[Levels, Levels]:
        """The best of both sides as the feed holds them; nothing of a book that it has not."""
        held, instrument = self.lines[0].feed.book(symbol), self._resolve(symbol)
        if held is None or not held.usable:
            return [], []
        sides = (sorted(held.levels(1).items(), reverse=True), sorted(held.levels(-1).items()))
        bids, asks = (
            [(instrument.price(ticks), instrument.quantity(lots)) for ticks, lots in side[: self.place.traits.book_levels]]
            for side in sides
        )
        return bids, asks

    def truth(self, symbol: str) -> tuple[Levels, Levels]:
        """The best of both sides as they are."""
        instrument = self.place.sim.markets[symbol].instrument
        bids, asks = (
            [(instrument.price(ticks), instrument.quantity(lots)) for ticks, lots in side]
            for side in self.place.sim.levels(symbol, self.place.traits.book_levels)
        )
        return bids, asks

    def trades(self, symbol: str) -> list[tuple[Decimal, Decimal, int]]:
        """The trades that were told, in their order: price, size, side."""
        instrument = self._resolve(symbol)
        return [
            (instrument.price(e.ticks), instrument.quantity(e.lots), e.side)
            for e in self._events()
            if isinstance(e, Trade) and e.symbol == symbol
        ]

    def marks(self, symbol: str) -> list[Decimal]:
        """The marks that were told."""
        return [self._resolve(symbol).price(e.ticks) for e in self._events() if isinstance(e, Mark) and e.symbol == symbol]

    def _events(self) -> list[object]:
        return [event for said in self.said if isinstance(said, Taken) for event in said.events]
