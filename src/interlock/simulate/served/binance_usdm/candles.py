"""Candles and the ticker of a day, from the trades that are kept (the last thousand of a symbol)."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from interlock.domain.instruments import Instrument
from interlock.domain.orders import Side
from interlock.simulate.served.binance_usdm.words import plain, price_text, size_text
from interlock.simulate.served.venue import Market

_MINUTE, _HOUR, _DAY = 60_000, 3_600_000, 86_400_000
INTERVALS: Final = {
    "1m": _MINUTE,
    "3m": 3 * _MINUTE,
    "5m": 5 * _MINUTE,
    "15m": 15 * _MINUTE,
    "30m": 30 * _MINUTE,
    "1h": _HOUR,
    "2h": 2 * _HOUR,
    "4h": 4 * _HOUR,
    "6h": 6 * _HOUR,
    "8h": 8 * _HOUR,
    "12h": 12 * _HOUR,
    "1d": _DAY,
}
"""Milliseconds by name; longer ones than a day are not served."""


@dataclass(slots=True, kw_only=True)
class Candle:
    """One candle; prices in ticks, sizes in lots, values in quote currency."""

    open_ms: int
    interval_ms: int
    open: int
    high: int
    low: int
    close: int
    first: int
    last: int
    lots: int = 0
    taker_buy_lots: int = 0
    value: Decimal = Decimal(0)
    taker_buy_value: Decimal = Decimal(0)
    count: int = 0

    def row(self, i: Instrument) -> list[Any]:
        """The candle as a row of klines."""
        prices = [price_text(i, i.price(ticks)) for ticks in (self.open, self.high, self.low, self.close)]
        size, close_ms = size_text(i, i.quantity(self.lots)), self.open_ms + self.interval_ms - 1
        bought = size_text(i, i.quantity(self.taker_buy_lots))
        return [self.open_ms, *prices, size, close_ms, plain(self.value), self.count, bought, plain(self.taker_buy_value), "0"]

    def event(self, i: Instrument, interval: str, now_ms: int) -> dict[str, Any]:
        """The candle as `k` of the stream."""
        row = self.row(i)
        names = ("t", "o", "h", "l", "c", "v", "T", "q", "n", "V", "Q", "B")
        body = dict(zip(names, row, strict=True))
        return body | {"s": i.symbol, "i": interval, "f": self.first, "L": self.last, "x": now_ms > row[6]}


def candles(market: Market, interval_ms: int) -> list[Candle]:
    """The candles of a symbol, oldest first; none where nothing traded."""
    found: list[Candle] = []
    i = market.instrument
    for trade in market.trades:
        open_ms = trade.venue_ns // 1_000_000 // interval_ms * interval_ms
        if not found or found[-1].open_ms != open_ms:
            ticks, number = trade.ticks, trade.number
            found.append(
                Candle(open_ms=open_ms, interval_ms=interval_ms, open=ticks, high=ticks, low=ticks, close=ticks, first=number, last=number)
            )
        candle, value = found[-1], i.notional(trade.ticks, trade.lots)
        candle.high, candle.low = max(candle.high, trade.ticks), min(candle.low, trade.ticks)
        candle.close, candle.last = trade.ticks, trade.number
        candle.lots, candle.value, candle.count = candle.lots + trade.lots, candle.value + value, candle.count + 1
        if trade.side is Side.BUY:
            candle.taker_buy_lots, candle.taker_buy_value = candle.taker_buy_lots + trade.lots, candle.taker_buy_value + value
    return found


def day_ticker(market: Market, now_ms: int) -> dict[str, Any]:
    """The ticker of the last day; prices are the mark's until something traded."""
    i = market.instrument
    trades = [t for t in market.trades if t.venue_ns // 1_000_000 > now_ms - _DAY]
    prices = [i.price(t.ticks) for t in trades] or [market.mark]
    size = sum((i.quantity(t.lots) for t in trades), Decimal(0))
    value = sum((i.notional(t.ticks, t.lots) for t in trades), Decimal(0))
    first, last = prices[0], prices[-1]
    return {
        "symbol": i.symbol,
        "priceChange": price_text(i, last - first),
        "priceChangePercent": f"{100 * (last - first) / first:.3f}",
        "weightedAvgPrice": price_text(i, value / size if size else last),
        "lastPrice": price_text(i, last),
        "lastQty": size_text(i, i.quantity(trades[-1].lots)) if trades else "0",
        "openPrice": price_text(i, first),
        "highPrice": price_text(i, max(prices)),
        "lowPrice": price_text(i, min(prices)),
        "volume": size_text(i, size),
        "quoteVolume": plain(value),
        "openTime": now_ms - _DAY,
        "closeTime": now_ms,
        "firstId": trades[0].number if trades else -1,
        "lastId": trades[-1].number if trades else -1,
        "count": len(trades),
    }
