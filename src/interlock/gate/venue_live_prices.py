"""The gate's own prices of a real venue: best bid and ask, and the mark where there is one, as its public streams tell them.

They come on connections of their own, so that they neither wait for lists nor use the venue's limits. A price is as old as the last change that was
heard of its book. Nothing is made up over a break: without a connection, or without a whole book since it began, there is none, and nobody asks
for one in another way. A book that is whole and has not changed for a while may just be quiet: then the venue is asked, and its answer is the price.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from interlock.domain.clock import NS_PER_S
from interlock.domain.instruments import Instrument
from interlock.gate.limit_sheet import LARGEST
from interlock.gate.readings import Now
from interlock.gate.references import Quote
from interlock.gate.venue_bounds import PriceLimits
from interlock.gate.venue_live import LiveAccess
from interlock.gate.venue_reads import ReadFailed
from interlock.venues.feed import Mark, Reject, Taken, is_apart
from interlock.venues.feed import PriceLimits as LimitsTold
from interlock.venues.http_reader import ReadBroken
from interlock.venues.live import Fresh, LiveFeed, Stale
from interlock.venues.port import Heard
from interlock.venues.public_parts import Line, public_lines
from interlock.venues.request import Call
from interlock.venues.socket import Connect, connect_picows

QUIET_NS: Final = NS_PER_S
"""A book that has not changed for so long is asked for."""
MARK_GOOD_FOR_NS: Final = 5 * NS_PER_S
"""Marks are told every second, or when they change."""
STATUS_EVERY_NS: Final = {"bybit": NS_PER_S}
"""Venues that tell with the prices that are asked for, and not with the listings alone, whether a symbol takes orders: how often that is asked."""
STATUS_GOOD_FOR_NS: Final = 5 * NS_PER_S
MARKED: Final = frozenset({"binance_usdm", "bybit"})
"""Venues that have a mark price."""


class _BootClock:
    """The gate's clocks in the place of the machine's: durations go on while the host sleeps."""

    def __init__(self, clock: Callable[[], Now]) -> None:
        self._clock = clock

    def now_ns(self) -> int:
        """The wall clock."""
        return self._clock().wall_ns

    def monotonic_ns(self) -> int:
        """CLOCK_BOOTTIME."""
        return self._clock().boot_ns


class LivePrices:
    """Follows some symbols of one venue, whose instruments `access.reads` must know before `run`. Implements `VenuePrices`.

    `listed` says whether a symbol takes orders by the listings. `ask_every_ns` is how often the venue may be asked for each of them. `chance` gives
    numbers from 0 to 1, which spread reconnects.
    """

    def __init__(
        self,
        access: LiveAccess,
        symbols: Sequence[str],
        *,
        listed: Callable[[str], bool],
        ask_every_ns: int,
        chance: Callable[[], float],
        connect: Connect = connect_picows,
    ) -> None:
        self.venue = access.venue
        self._access = access
        self._symbols = tuple(symbols)
        self._listed = listed
        self._ask_every_ns = ask_every_ns
        self._chance = chance
        self._connect = connect
        self._status_every_ns = STATUS_EVERY_NS.get(access.venue, 0)
        self._books: dict[str, tuple[Line, LiveFeed]] = {}
        self._marks: dict[str, tuple[int, int]] = {}
        """By symbol: (ticks, when it was told)."""
        self._limits: dict[str, PriceLimits] = {}
        self._statuses: dict[str, tuple[bool, int]] = {}
        self._asked_ns: dict[str, int] = {}

    async def run(self) -> None:
        """Follow until cancelled."""
        lines = public_lines(self.venue, self._symbols, self._resolve, trades=False, limits=True)
        feeds = [(line, self._feed(line)) for line in lines]
        self._books = {symbol: (line, feed) for line, feed in feeds for symbol in line.books}
        try:
            async with asyncio.TaskGroup() as group:
                for _, feed in feeds:
                    group.create_task(feed.run())
        finally:
            self._books = {}

    def quote(self, symbol: str) -> Quote | Stale:
        """The prices of a symbol, as old as they are, or why they may not be used. Raises KeyError for a symbol that is not followed."""
        if symbol not in self._symbols:
            raise KeyError(symbol)
        if symbol not in self._books:
            return Stale("not connected")
        line, feed = self._books[symbol]
        now_ns = self._access.clock().boot_ns
        freshness, book = feed.freshness(symbol), line.feed.book(symbol)
        if not isinstance(freshness, Fresh) or book is None:
            return freshness if isinstance(freshness, Stale) else Stale("no whole book since the last break")
        mark_ticks, marked_ns = self._marks.get(symbol, (0, -MARK_GOOD_FOR_NS))
        if self.venue in MARKED and not 0 <= now_ns - marked_ns <= MARK_GOOD_FOR_NS:
            return Stale("no mark price was told lately", quiet=True)
        if not max(book.best_bid, book.best_ask, mark_ticks) < LARGEST:
            return Stale(f"a book makes no sense: bid {book.best_bid}, ask {book.best_ask}, mark {mark_ticks}")
        return Quote(
            venue=self.venue,
            symbol=symbol,
            bid_ticks=book.best_bid,
            ask_ticks=book.best_ask,
            mark_ticks=mark_ticks,
            trading=self._trades(symbol, now_ns),
            boot_ns=now_ns - freshness.age_ns,
            halted=self._halted(symbol),
        )

    def limits(self, symbol: str) -> PriceLimits | None:
        """The price limits of a symbol as they were told last, with when that was. Raises KeyError for a symbol that is not followed."""
        if symbol not in self._symbols:
            raise KeyError(symbol)
        return self._limits.get(symbol)

    def asks(self, symbol: str) -> bool:
        """Whether the venue is to be asked for the prices of a symbol now; whoever is told so asks."""
        now_ns, asked_ns = self._access.clock().boot_ns, self._asked_ns.get(symbol)
        found = self.quote(symbol)
        quiet = isinstance(found, Stale) and found.quiet
        every_ns = self._ask_every_ns if quiet else self._status_every_ns
        if (isinstance(found, Stale) and not quiet) or not every_ns or (asked_ns is not None and 0 <= now_ns - asked_ns < every_ns):
            return False
        self._asked_ns[symbol] = now_ns
        return True

    def take(self, quote: Quote) -> None:
        """Take what the venue answered: what of it no stream tells, or has not told lately."""
        self._statuses[quote.symbol] = quote.trading, quote.boot_ns
        if quote.boot_ns >= self._marks.get(quote.symbol, (0, quote.boot_ns))[1]:
            self._marks[quote.symbol] = quote.mark_ticks, quote.boot_ns

    def _trades(self, symbol: str, now_ns: int) -> bool:
        if not self._status_every_ns:
            return self._listed(symbol)
        trading, told_ns = self._statuses.get(symbol, (False, now_ns))
        return trading and self._listed(symbol) and 0 <= now_ns - told_ns <= STATUS_GOOD_FOR_NS

    def _halted(self, symbol: str) -> bool:
        """Whether the venue said last that it takes no orders, however long ago; not having said anything lately is something else."""
        told = self._statuses.get(symbol)
        return not self._listed(symbol) or (told is not None and not told[0])

    # The streams

    def _resolve(self, symbol: str) -> Instrument:
        known = self._access.reads.instruments
        if symbol not in known or symbol not in self._symbols:
            raise ValueError(f"expected one of {', '.join(self._symbols)}, found {symbol}")
        return known[symbol]

    def _feed(self, line: Line) -> LiveFeed:
        return LiveFeed(
            self._access.hosts.public,
            line.wire,
            line.feed,
            line.books,
            connect=self._connect,
            ask=lambda call: self._whole_book(line, call),
            clock=_BootClock(self._access.clock),
            chance=self._chance,
            stale_ns=QUIET_NS,
            on_frame=self._note,
        )

    def _whole_book(self, line: Line, call: Call) -> asyncio.Future[Heard]:
        async def ask() -> Heard:
            try:
                return await self._access.hold(line.snapshot(call))
            except ReadFailed as failed:
                raise ReadBroken(failed.reason) from failed

        return asyncio.ensure_future(ask())

    def _note(self, _frame: bytes, at_ns: int, said: Taken | Reject) -> None:
        if isinstance(said, Taken) and not is_apart(said.venue_ns, at_ns):
            for event in said.events:
                if isinstance(event, Mark):
                    self._marks[event.symbol] = event.ticks, self._access.clock().boot_ns
                elif isinstance(event, LimitsTold):
                    told = PriceLimits(event.highest_bid_ticks, event.lowest_ask_ticks, self._access.clock().boot_ns)
                    self._limits[event.symbol] = told
