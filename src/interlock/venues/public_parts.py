"""The parts of each venue's public side that a live connection is made of: feeds with the wires that keep them, by venue."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from interlock.domain.errors import UsageError
from interlock.domain.instruments import Instrument
from interlock.venues.binance_usdm import public as binance_public
from interlock.venues.binance_usdm.market_reads import whole_book
from interlock.venues.binance_usdm.subscriptions import BooksWire, MarketWire
from interlock.venues.bybit import public as bybit_public
from interlock.venues.bybit.subscriptions import PublicWire as BybitWire
from interlock.venues.live import PublicFeed, PublicWire
from interlock.venues.port import Access, Ask, Heard, Talk
from interlock.venues.request import Call, Method
from interlock.venues.upbit import public as upbit_public
from interlock.venues.upbit.subscriptions import PublicWire as UpbitWire

Resolve = Callable[[str], Instrument]


def plainly(call: Call) -> Talk[Heard]:
    """Ask it, whatever is answered."""
    return (yield Ask(call, Access.PUBLIC))


@dataclass(frozen=True, slots=True)
class Line:
    """One connection: its name, the feed that reads it, how it is kept, and the symbols whose books it carries.

    `snapshot` is the talk that asks what `wire.snapshot_call` names, with what it uses of the venue's limits.
    """

    name: str
    feed: PublicFeed
    wire: PublicWire
    books: tuple[str, ...]
    snapshot: Callable[[Call], Talk[Heard]] = plainly


def public_lines(venue: str, symbols: tuple[str, ...], resolve: Resolve, *, trades: bool = True, limits: bool = False) -> tuple[Line, ...]:
    """The connections for books, marks and, if wanted, trades and price limits of some symbols; the latter where the venue tells them (Bybit).

    Raises UsageError for an unknown venue, ValueError for too many symbols.
    """
    if venue == "upbit":
        return (Line("stream", upbit_public.Feed(resolve), UpbitWire(symbols, trades=trades), symbols),)
    if venue == "bybit":
        bybit = bybit_public.Feed(resolve)
        return (Line("stream", bybit, BybitWire(bybit, symbols, trades=trades, limits=limits), symbols),)
    if venue == "binance_usdm":
        books, market = binance_public.Feed(resolve), binance_public.Feed(resolve)
        return (
            Line("books", books, BooksWire(books, symbols), symbols, whole_book),
            Line("market", market, MarketWire(symbols, trades=trades), ()),
        )
    raise UsageError(f"expected upbit, binance_usdm or bybit, found {venue!r}")


def describing_call(venue: str, symbols: tuple[str, ...]) -> Call:
    """What is asked, without a key, for the venue's own description of its instruments."""
    if venue == "upbit":
        return Call(Method.GET, "/v1/orderbook/instruments", f"markets={','.join(symbols)}")
    if venue == "bybit":
        return Call(Method.GET, "/v5/market/instruments-info", "category=linear&limit=1000")
    return Call(Method.GET, "/fapi/v1/exchangeInfo")
