"""What is told of a market's trades over time: the day's open, high, low and volumes, and candles of every length.

Days are UTC, as are the weeks (from Monday), months and years made of them. A stretch without a trade has no candle. What was before the
simulator began is not made up: the first price stands for it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final

import msgspec

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


_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(tuple[int, Decimal, Decimal, Decimal, Decimal, Decimal, Decimal, int]).decode


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
    """What was traded in one market since the simulator began. `last` is the latest price, at first the one around which the market began.

    Minutes that are over are packed, for there are many; their sums of a day are worked out once a minute.
    """

    instrument: Instrument
    day: Day
    last: Decimal
    highest: Decimal
    lowest: Decimal
    latest: PublicTrade | None = None
    seconds: deque[Candle] = field(default_factory=lambda: deque(maxlen=_SECONDS_KEPT))
    minute: Candle | None = None
    _packed: deque[bytes] = field(default_factory=lambda: deque(maxlen=_MINUTES_KEPT - 1))
    _over: int = 0
    _sums: tuple[tuple[int, int], Decimal, Decimal] = ((0, 0), ZERO, ZERO)

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
        second, minute = (
            Candle(_floor(trade.venue_ns, length_ns), price, price, price, price, volume, value, trade.venue_ns)
            for length_ns in (SECOND_NS, _MINUTE_NS)
        )
        if self.seconds and self.seconds[-1].start_ns == second.start_ns:
            self.seconds[-1].add(second)
        else:
            self.seconds.append(second)
        if self.minute is not None and self.minute.start_ns == minute.start_ns:
            self.minute.add(minute)
        else:
            self._end_minute(minute)

    def _end_minute(self, following: Candle) -> None:
        one, self.minute = self.minute, following
        if one is not None:
            self._packed.append(_pack((one.start_ns, one.opening, one.high, one.low, one.close, one.volume, one.value, one.last_ns)))
            self._over += 1

    def sums_24h(self, now_ns: int) -> tuple[Decimal, Decimal]:
        """(volume, value) of the last 24 hours, to the minute."""
        begin_ns = now_ns - _DAY_NS
        if self.minute is None or self.minute.start_ns < begin_ns:
            return ZERO, ZERO
        # The first minute that counts and the latest that is over say which are summed up.
        which = (-(-begin_ns // _MINUTE_NS), self._over)
        if self._sums[0] != which:
            self._sums = (which, *self._sum_up(begin_ns))
        _, volume, value = self._sums
        return volume + self.minute.volume, value + self.minute.value

    def _sum_up(self, begin_ns: int) -> tuple[Decimal, Decimal]:
        volume = value = ZERO
        for packed in reversed(self._packed):
            candle = Candle(*_unpack(packed))
            if candle.start_ns < begin_ns:
                break
            volume, value = volume + candle.volume, value + candle.value
        return volume, value

    def _minutes(self) -> Iterator[Candle]:
        yield from (Candle(*_unpack(packed)) for packed in self._packed)
        if self.minute is not None:
            yield self.minute

    def candles(self, unit: str) -> list[Candle]:
        """Candles of `1s`, of minutes (`3m`), `days`, `weeks`, `months` or `years`, oldest first."""
        if unit == "1s":
            return list(self.seconds)
        return merged(self._minutes(), starts(unit))

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
