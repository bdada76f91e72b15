"""What is told of a market's trades over time: the day's open, high, low and volumes, and candles of every length.

Days are UTC, as are the weeks (from Monday), months and years made of them. A stretch without a trade has no candle. What was before the
simulator began is not made up: the first price stands for it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final

from interlock.domain.instruments import Instrument
from interlock.domain.orders import Side
from interlock.simulate.served.venue import PublicTrade

ZERO = Decimal(0)
SECOND_NS: Final = 1_000_000_000
_MINUTE_NS: Final = 60 * SECOND_NS
_DAY_NS: Final = 86_400 * SECOND_NS
_SECONDS_KEPT: Final = 400
"""Twice what one request may ask for."""
_MINUTES_KEPT: Final = 60 * 24 * 30


@dataclass(slots=True)
class Candle:
    """The trades of one stretch of time. `value` sums price times volume."""

    start_ns: int
    opening: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    value: Decimal
    last_ns: int

    def add(self, other: Candle) -> None:
        """Take in a later one."""
        self.high, self.low, self.close = max(self.high, other.high), min(self.low, other.low), other.close
        self.volume, self.value, self.last_ns = self.volume + other.volume, self.value + other.value, other.last_ns


@dataclass(slots=True)
class Day:
    """One UTC day of a market."""

    start_ns: int
    previous_close: Decimal
    opening: Decimal
    high: Decimal
    low: Decimal
    volume: Decimal = ZERO
    value: Decimal = ZERO
    bid_volume: Decimal = ZERO
    ask_volume: Decimal = ZERO


@dataclass(slots=True)
class History:
    """What was traded in one market since the simulator began. `last` is the latest price, at first the one around which the market began."""

    instrument: Instrument
    day: Day
    last: Decimal
    highest: Decimal
    lowest: Decimal
    latest: PublicTrade | None = None
    seconds: deque[Candle] = field(default_factory=lambda: deque(maxlen=_SECONDS_KEPT))
    minutes: deque[Candle] = field(default_factory=lambda: deque(maxlen=_MINUTES_KEPT))

    @classmethod
    def begun(cls, instrument: Instrument, price: Decimal, now_ns: int) -> History:
        """Nothing traded yet."""
        return cls(instrument, Day(_floor(now_ns, _DAY_NS), price, price, price, price), price, price, price)

    def take(self, trade: PublicTrade) -> None:
        """A trade happened."""
        price = self.instrument.price(trade.ticks)
        volume = self.instrument.quantity(trade.lots)
        value = price * volume
        self._roll(trade.venue_ns)
        day = self.day
        day.high, day.low = max(day.high, price), min(day.low, price)
        day.volume, day.value = day.volume + volume, day.value + value
        if trade.side is Side.BUY:
            day.bid_volume += volume
        else:
            day.ask_volume += volume
        self.last, self.latest = price, trade
        self.highest, self.lowest = max(self.highest, price), min(self.lowest, price)
        for candles, length_ns in ((self.seconds, SECOND_NS), (self.minutes, _MINUTE_NS)):
            one = Candle(_floor(trade.venue_ns, length_ns), price, price, price, price, volume, value, trade.venue_ns)
            if candles and candles[-1].start_ns == one.start_ns:
                candles[-1].add(one)
            else:
                candles.append(one)

    def sums_24h(self, now_ns: int) -> tuple[Decimal, Decimal]:
        """(volume, value) of the last 24 hours, to the minute."""
        volume = value = ZERO
        for candle in reversed(self.minutes):
            if candle.start_ns < now_ns - _DAY_NS:
                break
            volume, value = volume + candle.volume, value + candle.value
        return volume, value

    def candles(self, unit: str) -> list[Candle]:
        """Candles of `1s`, of minutes (`3m`), `days`, `weeks`, `months` or `years`, oldest first."""
        if unit == "1s":
            return list(self.seconds)
        return merged(self.minutes, starts(unit))

    def _roll(self, now_ns: int) -> None:
        start = _floor(now_ns, _DAY_NS)
        if start != self.day.start_ns:
            self.day = Day(start, self.last, self.last, self.last, self.last)


def merged(candles: Iterable[Candle], start_of: Callable[[int], int]) -> list[Candle]:
    """Short candles put together into longer ones."""
    found: list[Candle] = []
    for candle in candles:
        start = start_of(candle.start_ns)
        if found and found[-1].start_ns == start:
            found[-1].add(candle)
        else:
            found.append(Candle(start, candle.opening, candle.high, candle.low, candle.close, candle.volume, candle.value, candle.last_ns))
    return found


def starts(unit: str) -> Callable[[int], int]:
    """Where the stretch of a unit begins in which a time lies."""
    if unit.endswith("m"):
        length_ns = int(unit[:-1]) * _MINUTE_NS
        return lambda ns: _floor(ns, length_ns)

    def start(ns: int) -> int:
        at = datetime.fromtimestamp(ns // SECOND_NS, UTC).replace(hour=0, minute=0, second=0)
        if unit == "weeks":
            at -= timedelta(days=at.weekday())
        elif unit == "months":
            at = at.replace(day=1)
        elif unit == "years":
            at = at.replace(month=1, day=1)
        return int(at.timestamp()) * SECOND_NS

    return start


def _floor(ns: int, length_ns: int) -> int:
    return ns - ns % length_ns
