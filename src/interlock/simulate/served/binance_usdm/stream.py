"""The public streams: which there are, on which base, and what each tells when.

High-frequency ones (books, best prices) are on /public, all others on /market. A stream that is asked for on the wrong base is acknowledged and
stays silent [inferred].
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from typing import Any, Final

import msgspec

from interlock.simulate.served.binance_usdm.candles import INTERVALS, candles, day_ticker
from interlock.simulate.served.binance_usdm.frames import Place
from interlock.simulate.served.binance_usdm.public import agg_trade, book_row, levels_text, premium_row, wire_id
from interlock.simulate.served.binance_usdm.words import plain, price_text, size_text
from interlock.simulate.served.face import Parts
from interlock.simulate.served.hub import Listener
from interlock.simulate.served.venue import Market, MarketStep

_PUBLIC: Final = re.compile(r"!bookTicker|[^@!]+@(bookTicker|depth(5|10|20)?(@(100|250|500)ms)?|rpiDepth@500ms)")
SPEEDS: Final = (100, 250, 500)
MARK_MS: Final = {"@1s": 1000, "": 3000}
TICKER_MS: Final = 1000
FORCE_MS: Final = 1000


def base_of(name: str) -> str:
    """The base on which a stream is served."""
    return "public" if _PUBLIC.fullmatch(name) else "market"


@dataclass(slots=True)
class _Pending:
    """Book updates that wait to be told together. Ids are the core's."""

    first: int
    last: int
    previous: int
    venue_ns: int
    bids: dict[int, int] = field(default_factory=dict)
    asks: dict[int, int] = field(default_factory=dict)

    def take(self, step: MarketStep) -> None:
        self.last, self.venue_ns = step.last_id, step.venue_ns
        self.bids |= dict(step.bids)
        self.asks |= dict(step.asks)


class PublicStreams:
    """Tells listeners what happens in the markets."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._venue = parts.venue
        self._pending: dict[tuple[str, int], _Pending] = {}
        self._best: dict[str, tuple[Any, Any]] = {}
        self._told_ms: dict[str, int] = {}
        self._heard: set[str] = set()
        self._traded: dict[str, None] = {}

    def topics_of(self, _listener: Listener, place: Place, name: str) -> set[str]:
        """The topics of a stream's name."""
        return {f"{place.form}|{name}"} if base_of(name) == place.base else set()

    def on_market(self, steps: Sequence[MarketStep]) -> None:
        """Tell what a step changed, and what is due by time."""
        self._heard = {topic.partition("|")[2] for listener in self._parts.public.listeners for topic in listener.topics}
        now_ms = self._parts.steady_ms()
        for step in steps:
            self._gather(step)
            self._traded |= dict.fromkeys([step.symbol] if step.trades else [])
            self._trades(self._venue.markets[step.symbol], step)
        for speed in SPEEDS:
            # Steps come every tenth of a second, more or less.
            if self._due(f"depth{speed}", speed - 50, now_ms):
                self._books(speed)
        self._tops(steps)
        for suffix, every_ms in MARK_MS.items():
            if self._due(f"mark{suffix}", every_ms - 50, now_ms):
                self._marks(suffix)
        if self._due("tickers", TICKER_MS - 50, now_ms):
            self._tickers()

    def force_order(self, market: Market, order: dict[str, Any]) -> None:
        """Tell a liquidation, at most one of a symbol in a second."""
        self._heard = {topic.partition("|")[2] for listener in self._parts.public.listeners for topic in listener.topics}
        symbol = market.instrument.symbol
        if self._due(f"force{symbol}", FORCE_MS, self._parts.steady_ms()):
            event = self._event("forceOrder", symbol) | {"o": order}
            for name in (f"{symbol.lower()}@forceOrder", "!forceOrder@arr"):
                self._tell(name, lambda: event, symbol)

    def _due(self, what: str, every_ms: int, now_ms: int) -> bool:
        if now_ms - self._told_ms.get(what, -every_ms) < every_ms:
            return False
        self._told_ms[what] = now_ms
        return True

    def _tell(self, name: str, build: Callable[[], Any], symbol: str = "") -> None:
        """Publish to those who listen, bare and wrapped; nothing is built for nobody."""
        if name not in self._heard:
            return
        bare, hub = msgspec.json.encode(build()), self._parts.public
        for form in ("raw", "combined"):
            topic = f"{form}|{name}"
            if any(topic in listener.topics for listener in hub.listeners):
                wrapped = msgspec.json.encode({"stream": name, "data": msgspec.Raw(bare)}) if form == "combined" else bare
                hub.publish(topic, wrapped, symbol)

    def _event(self, kind: str, symbol: str, pair: bool = False) -> dict[str, Any]:
        event: dict[str, Any] = {"e": kind, "E": self._venue.now_ms(), "s": symbol, "st": 1}
        return event | {"ps": symbol} if pair else event

    def _with(self, kind: str, symbol: str, row: dict[str, Any]) -> dict[str, Any]:
        return self._event(kind, symbol) | row

    # books

    def _gather(self, step: MarketStep) -> None:
        for speed in SPEEDS:
            pending = self._pending.get((step.symbol, speed))
            if pending is None:
                pending = _Pending(step.first_id, step.last_id, step.previous_id, step.venue_ns)
                self._pending[step.symbol, speed] = pending
            pending.take(step)

    def _books(self, speed: int) -> None:
        for symbol, market in self._venue.markets.items():
            pending = self._pending.pop((symbol, speed), None)
            if pending is None:
                continue
            for suffix in _suffixes(speed):
                self._tell(f"{symbol.lower()}@depth{suffix}", partial(self._diff, market, pending), symbol)
                for count in (5, 10, 20):
                    name = f"{symbol.lower()}@depth{count}{suffix}"
                    self._tell(name, partial(self._partial, market, pending, count), symbol)

    def _diff(self, market: Market, pending: _Pending) -> dict[str, Any]:
        bids, asks = sorted(pending.bids.items(), reverse=True), sorted(pending.asks.items())
        return self._depth(market, pending, bids, asks)

    def _partial(self, market: Market, pending: _Pending, count: int) -> dict[str, Any]:
        bids, asks = self._venue.levels(market.instrument.symbol, count)
        return self._depth(market, pending, bids, asks)

    def _depth(self, market: Market, pending: _Pending, bids: Iterable[tuple[int, int]], asks: Iterable[tuple[int, int]]) -> dict[str, Any]:
        return self._event("depthUpdate", market.instrument.symbol, pair=True) | {
            "T": pending.venue_ns // 1_000_000,
            "U": wire_id(pending.first) - 1,
            "u": wire_id(pending.last),
            "pu": wire_id(pending.previous),
            "b": levels_text(market, bids),
            "a": levels_text(market, asks),
        }

    def _tops(self, steps: Iterable[MarketStep]) -> None:
        for step in steps:
            bids, asks = self._venue.levels(step.symbol, 1)
            if self._best.get(step.symbol) == (bids, asks):
                continue
            self._best[step.symbol] = (bids, asks)
            market = self._venue.markets[step.symbol]
            for name in (f"{step.symbol.lower()}@bookTicker", "!bookTicker"):
                self._tell(name, partial(self._top, market, step), step.symbol)

    def _top(self, market: Market, step: MarketStep) -> dict[str, Any]:
        row = book_row(self._venue, market)
        return self._event("bookTicker", step.symbol, pair=True) | {
            "u": row["lastUpdateId"],
            "T": step.venue_ns // 1_000_000,
            "b": row["bidPrice"],
            "B": row["bidQty"],
            "a": row["askPrice"],
            "A": row["askQty"],
        }

    # trades, marks, tickers

    def _trades(self, market: Market, step: MarketStep) -> None:
        name = step.symbol.lower()
        for trade in step.trades:
            row = agg_trade(market, trade)
            self._tell(f"{name}@aggTrade", partial(self._with, "aggTrade", step.symbol, row), step.symbol)
            single = {"T": row["T"], "t": row["a"], "p": row["p"], "q": row["q"], "X": "MARKET", "m": row["m"]}
            self._tell(f"{name}@trade", partial(self._with, "trade", step.symbol, single), step.symbol)
        if not step.trades:
            return
        for interval, length_ms in INTERVALS.items():
            self._tell(f"{name}@kline_{interval}", partial(self._kline, market, interval, length_ms), step.symbol)

    def _kline(self, market: Market, interval: str, length_ms: int) -> dict[str, Any]:
        symbol = market.instrument.symbol
        candle = candles(market, length_ms)[-1]
        return self._event("kline", symbol) | {"k": candle.event(market.instrument, interval, self._venue.now_ms())}

    def _mark(self, market: Market) -> dict[str, Any]:
        row = premium_row(market, self._venue.now_ms())
        return self._event("markPriceUpdate", market.instrument.symbol) | {
            "p": row["markPrice"],
            "ap": row["markPrice"],
            "i": row["indexPrice"],
            "P": row["estimatedSettlePrice"],
            "r": row["lastFundingRate"],
            "T": row["nextFundingTime"],
        }

    def _marks(self, suffix: str) -> None:
        for symbol, market in self._venue.markets.items():
            self._tell(f"{symbol.lower()}@markPrice{suffix}", partial(self._mark, market), symbol)
        self._tell(f"!markPrice@arr{suffix}", lambda: [self._mark(m) for m in self._venue.markets.values()])

    def _tickers(self) -> None:
        changed, self._traded = [self._venue.markets[s] for s in self._traded], {}
        for market in changed:
            name = market.instrument.symbol.lower()
            self._tell(f"{name}@miniTicker", partial(self._mini, market), market.instrument.symbol)
            self._tell(f"{name}@ticker", partial(self._ticker, market), market.instrument.symbol)
        if changed:
            self._tell("!miniTicker@arr", lambda: [self._mini(m) for m in changed])
            self._tell("!ticker@arr", lambda: [self._ticker(m) for m in changed])

    def _mini(self, market: Market) -> dict[str, Any]:
        row = day_ticker(market, self._venue.now_ms())
        found = self._event("24hrMiniTicker", market.instrument.symbol, pair=True)
        return found | {short: row[name] for short, name in _MINI.items()}

    def _ticker(self, market: Market) -> dict[str, Any]:
        row = day_ticker(market, self._venue.now_ms())
        found = self._event("24hrTicker", market.instrument.symbol, pair=True)
        return found | {short: row[name] for short, name in (_MINI | _FULL).items()}


_MINI: Final = {"c": "lastPrice", "o": "openPrice", "h": "highPrice", "l": "lowPrice", "v": "volume", "q": "quoteVolume"}
_FULL: Final = {
    "p": "priceChange",
    "P": "priceChangePercent",
    "w": "weightedAvgPrice",
    "Q": "lastQty",
    "O": "openTime",
    "C": "closeTime",
    "F": "firstId",
    "L": "lastId",
    "n": "count",
}


def _suffixes(speed: int) -> tuple[str, ...]:
    return ("", "@250ms") if speed == 250 else (f"@{speed}ms",)


def liquidated(market: Market, side: str, price: Decimal, size: Decimal, at_ms: int) -> dict[str, Any]:
    """`o` of forceOrder."""
    i = market.instrument
    return {
        "s": i.symbol,
        "S": side,
        "o": "LIMIT",
        "f": "IOC",
        "q": plain(size),
        "p": price_text(i, price),
        "ap": price_text(i, price),
        "X": "FILLED",
        "l": size_text(i, size),
        "z": size_text(i, size),
        "T": at_ms,
        "ps": i.symbol,
        "st": 1,
    }
