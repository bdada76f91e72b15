"""The engine's connections to public market data: which reader a venue has, and how what it hears becomes an input."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from interlock.domain.errors import UsageError
from interlock.domain.instruments import Instrument
from interlock.engine.core import Reading
from interlock.engine.inputs import Kind
from interlock.market.columns import RowKind
from interlock.venues.binance_usdm import hot as binance_hot
from interlock.venues.binance_usdm.subscriptions import BooksWire, MarketWire
from interlock.venues.bybit import hot as bybit_hot
from interlock.venues.bybit.subscriptions import PublicWire as BybitWire
from interlock.venues.feed import BookChange, Reject, Taken
from interlock.venues.hot import Columns, HotFeed
from interlock.venues.live import PublicFeed, PublicWire
from interlock.venues.request import Call
from interlock.venues.upbit import hot as upbit_hot
from interlock.venues.upbit.subscriptions import PublicWire as UpbitWire

_OF_BOOKS = (int(RowKind.DEPTH), int(RowKind.CLEAR))

Consume = Callable[[Kind, int, bytes], Columns | Reject]
"""Take an input now: its kind, number and data; what the frame said."""


@dataclass(frozen=True, slots=True)
class HotLine:
    """One connection: its reader, how it is kept, and the instruments whose books it carries, by number."""

    venue: str
    name: str
    reading: Reading
    wire: PublicWire
    books: tuple[int, ...]


def hot_lines(instruments: Sequence[Instrument]) -> tuple[HotLine, ...]:
    """The connections for books, trades and marks of all instruments, numbered by their place. Compiles at first, some seconds.

    Raises UsageError for a venue that is not known, or instruments of one venue that do not stand together.
    """
    found: list[HotLine] = []
    for venue in dict.fromkeys(one.venue for one in instruments):
        numbers = [k for k, one in enumerate(instruments) if one.venue == venue]
        if numbers != list(range(numbers[0], numbers[0] + len(numbers))):
            raise UsageError(f"{venue}: expected its instruments beside each other")
        found += _of(venue, [instruments[k] for k in numbers], numbers)
    return tuple(found)


def _of(venue: str, instruments: list[Instrument], numbers: list[int]) -> list[HotLine]:
    symbols = tuple(one.symbol for one in instruments)
    first, books = numbers[0], tuple(numbers)

    def line(name: str, feed: HotFeed, wire: Any, carried: tuple[int, ...]) -> HotLine:
        return HotLine(venue, name, Reading(feed, first, wire.on_snapshot), wire, carried)

    if venue == "bybit":
        bybit = bybit_hot.Feed(instruments)
        return [line("stream", bybit, BybitWire(bybit, symbols), books)]
    if venue == "upbit":
        return [line("stream", upbit_hot.Feed(instruments), UpbitWire(symbols), books)]
    if venue == "binance_usdm":
        deep, market = binance_hot.Feed(instruments), binance_hot.Feed(instruments)
        return [line("books", deep, BooksWire(deep, symbols), books), line("market", market, MarketWire(symbols), ())]
    raise UsageError(f"expected upbit, binance_usdm or bybit, found {venue!r}")


class ConsumedFeed:
    """A line's feed as the keeper of its connection sees it: each frame is an input of the engine."""

    def __init__(self, number: int, line: HotLine, symbols: Sequence[str], consume: Consume) -> None:
        self._number = number
        self._consume = consume
        self._feed: Any = line.reading.feed
        self._first = line.reading.first
        self._changed = {symbol: (BookChange(symbol, 0, False, (), ()),) for symbol in symbols}
        self._symbols = tuple(symbols)

    def take(self, frame: bytes) -> Taken | Reject:
        """What a frame said: of a book only that it changed, since its levels are where they belong already."""
        said = self._consume(Kind.FRAME, self._number, frame)
        return self.told(said)

    def told(self, said: Columns | Reject) -> Taken | Reject:
        """The same as the keeper of a connection wants it."""
        if isinstance(said, Reject):
            return said
        events: tuple[BookChange, ...] = ()
        if said.rows:
            rows, last = self._feed.rows, said.rows - 1
            # As a plain integer: to compare numpy's own with an enumeration takes longer than to read the frame.
            if int(rows["kind"][last]) in _OF_BOOKS:
                events = self._changed[self._symbols[int(rows["instrument"][last]) - self._first]]
        return Taken(said.what, events, venue_ns=said.venue_ns)

    def lose(self) -> None:
        """The connection was lost."""
        self._consume(Kind.LOST, self._number, b"")

    def book(self, symbol: str) -> Any:
        """The book of a symbol."""
        return self._feed.book(symbol)


class ConsumedWire:
    """A line's wire, whose books that were asked for are inputs too."""

    def __init__(self, number: int, wire: PublicWire, feed: ConsumedFeed, consume: Consume) -> None:
        self.path = wire.path
        self.ping_every_s = wire.ping_every_s
        self.lives_s = wire.lives_s
        self.silent_s = wire.silent_s
        self._number = number
        self._wire = wire
        self._feed = feed
        self._consume = consume

    def hello(self) -> tuple[bytes, ...]:
        """What is sent after connecting."""
        return self._wire.hello()

    def ping(self) -> bytes:
        """The venue's own ping."""
        return self._wire.ping()

    def renewal(self, symbol: str) -> tuple[bytes, ...]:
        """What is sent for a whole book."""
        return self._wire.renewal(symbol)

    def snapshot_call(self, symbol: str) -> Call | None:
        """What is asked over HTTP for a whole book."""
        return self._wire.snapshot_call(symbol)

    def on_snapshot(self, symbol: str, body: bytes) -> Taken | Reject:
        """The answer to it."""
        return self._feed.told(self._consume(Kind.ANSWER, self._number, symbol.encode() + b"\n" + body))


def consumed(number: int, line: HotLine, symbols: Sequence[str], consume: Consume) -> tuple[PublicWire, PublicFeed]:
    """A line as `LiveFeed` takes it."""
    feed = ConsumedFeed(number, line, symbols, consume)
    return ConsumedWire(number, line.wire, feed, consume), feed
