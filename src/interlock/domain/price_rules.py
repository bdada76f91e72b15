"""Price steps: which prices a venue accepts, as a table of bands with validity dates.

Upbit's unit depends on the order price, Binance and Bybit have one tick per symbol. A rule answers for a
price on a date; an instrument stores integer ticks of its finest unit and asks the rule what is allowed.
"""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import msgspec


class PriceBand(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """From `from_price` (inclusive, quote currency) upward, prices are multiples of `step`."""

    from_price: Decimal
    step: Decimal


class PriceTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The bands in force from `valid_from` on, by rising `from_price`, the first from 0."""

    valid_from: date
    bands: tuple[PriceBand, ...]

    def __post_init__(self) -> None:
        lows = [b.from_price for b in self.bands]
        if not lows or lows[0] != 0 or lows != sorted(set(lows)) or any(b.step <= 0 for b in self.bands):
            raise ValueError(f"price table of {self.valid_from}: expected bands from 0 upward with positive steps, found {self.bands}")


class PriceRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A named sequence of tables by date, with the source of the facts."""

    name: str
    source: str
    tables: tuple[PriceTable, ...]

    def __post_init__(self) -> None:
        days = [t.valid_from for t in self.tables]
        if not days or days != sorted(set(days)):
            raise ValueError(f"price rule {self.name}: expected tables by rising date, found {days}")

    def bands(self, on: date) -> tuple[PriceBand, ...]:
        """The bands in force on a day; the earliest known table serves for days before it."""
        current = self.tables[0]
        for table in self.tables:
            if table.valid_from <= on:
                current = table
        return current.bands

    def step(self, price: Decimal, on: date) -> Decimal:
        """The price unit of the band that contains `price` on that day. Raises ValueError if price <= 0."""
        if price <= 0:
            raise ValueError(f"price step: expected a positive price, found {price}")
        step = self.bands(on)[0].step
        for band in self.bands(on):
            if price >= band.from_price:
                step = band.step
        return step


def fixed_step(name: str, step: Decimal, source: str) -> PriceRule:
    """A rule with one step for every price."""
    table = PriceTable(valid_from=date(1970, 1, 1), bands=(PriceBand(Decimal(0), step),))
    return PriceRule(name=name, source=source, tables=(table,))


def _bands(*rows: tuple[str, str]) -> tuple[PriceBand, ...]:
    return tuple(PriceBand(Decimal(low), Decimal(step)) for low, step in rows)


UPBIT_KRW = PriceRule(
    name="upbit-krw",
    source="Upbit price units in force since 2025-07-31; the two lowest bands are unconfirmed",
    tables=(
        PriceTable(
            valid_from=date(2025, 7, 31),
            bands=_bands(
                ("0", "0.00000001"),
                ("0.00001", "0.0000001"),
                ("0.0001", "0.000001"),
                ("0.001", "0.00001"),
                ("0.01", "0.0001"),
                ("0.1", "0.001"),
                ("1", "0.01"),
                ("10", "0.1"),
                ("100", "1"),
                ("1000", "1"),
                ("5000", "5"),
                ("10000", "10"),
                ("50000", "50"),
                ("100000", "100"),
                ("500000", "500"),
                ("1000000", "1000"),
            ),
        ),
    ),
)
"""Upbit's KRW market. Recordings before that day used an older table that is not modelled; its finer steps
are multiples of the instrument's quantum, so such a tape is read, and orders on it use this table."""

RULES = {UPBIT_KRW.name: UPBIT_KRW}
