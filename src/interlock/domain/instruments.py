"""Instruments: what can be traded, in which integer units, under which rules and fees.

The stored integer price is a count of **quanta**, the finest unit that the instrument can have in its price
range, so that a tape which crosses two price bands keeps order, book and fills. Which ticks a venue accepts
at a price is the rule's business (`price_step`). Quantities are integer **lots**.
"""

from __future__ import annotations

import math
from datetime import date
from decimal import ROUND_CEILING, Decimal
from enum import StrEnum

import msgspec

from interlock.domain.orders import Side
from interlock.domain.price_rules import PriceRule


class Kind(StrEnum):
    """What is held after a buy."""

    SPOT = "spot"
    PERPETUAL = "perpetual"


class Status(StrEnum):
    """Whether the venue takes orders."""

    TRADING = "trading"
    CANCEL_ONLY = "cancel_only"
    HALTED = "halted"


class Fees(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Fee rates as fractions of notional; positive is paid, a negative maker rate is a rebate.

    `profile` names the set ("base", "vip1", a programme), `source` and `as_of` say where the figures come from and `condition`
    what an account must do to get them. A rebate without a named programme is refused.
    """

    maker: Decimal
    taker: Decimal
    profile: str
    source: str
    as_of: date
    condition: str = "none"

    def __post_init__(self) -> None:
        if self.taker < 0:
            raise ValueError(f"fees {self.profile}: expected a taker rate >= 0, found {self.taker}")
        if self.maker < 0 and self.condition == "none":
            raise ValueError(f"fees {self.profile}: a maker rebate ({self.maker}) needs the programme that grants it in `condition`")


class MarginTier(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Up to `max_notional` (settle currency): initial and maintenance margin as fractions of notional."""

    max_notional: Decimal
    initial: Decimal
    maintenance: Decimal


class Instrument(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One tradable thing on one venue.

    Units: `quantum`, prices and `min_notional` in the quote currency; `lot` in contracts or coins; `multiplier` is base units for one of
    `lot`'s units (1000 for 1000PEPEUSDT). `inferred` says that quantum and lot were read off the data, which caps what a result may claim.
    Raises ValueError when the parts do not fit each other.
    """

    venue: str
    symbol: str
    base: str
    quote: str
    settle: str
    kind: Kind
    quantum: Decimal
    lot: Decimal
    price_rule: PriceRule
    min_price: Decimal
    max_price: Decimal
    fees: Fees
    min_lots: int = 1
    max_lots: int = 1 << 53
    max_market_lots: int = 1 << 53
    min_notional: Decimal = Decimal(0)
    multiplier: Decimal = Decimal(1)
    funding_interval_h: int | None = None
    margin_tiers: tuple[MarginTier, ...] = ()
    status: Status = Status.TRADING
    valid_from: date = date(1970, 1, 1)
    source: str = ""
    inferred: bool = False

    def __post_init__(self) -> None:
        name = f"instrument {self.venue}:{self.symbol}"
        if self.quantum <= 0 or self.lot <= 0 or self.multiplier <= 0:
            raise ValueError(f"{name}: expected positive quantum, lot and multiplier")
        if not 0 < self.min_price < self.max_price:
            raise ValueError(f"{name}: expected 0 < min_price < max_price, found {self.min_price}, {self.max_price}")
        if not 0 < self.min_lots <= self.max_lots:
            raise ValueError(f"{name}: expected 0 < min_lots <= max_lots")
        if self.max_price / self.quantum >= 2**62:
            raise ValueError(f"{name}: max_price is too many quanta; raise the quantum or lower max_price")
        for table in self.price_rule.tables:
            for band in _bands_within(self.price_rule, table.valid_from, self.min_price, self.max_price):
                if band % self.quantum != 0:
                    raise ValueError(f"{name}: price step {band} is not a multiple of the quantum {self.quantum}")
        if self.kind is Kind.SPOT and self.settle != self.quote:
            raise ValueError(f"{name}: a spot instrument settles in its quote currency")

    @property
    def key(self) -> str:
        """`venue:symbol`, the name used in files and messages."""
        return f"{self.venue}:{self.symbol}"

    def price(self, ticks: int) -> Decimal:
        """The price of a tick count, quote currency."""
        return self.quantum * ticks

    def quantity(self, lots: int) -> Decimal:
        """The size of a lot count, instrument units."""
        return self.lot * lots

    def base_units(self, lots: int) -> Decimal:
        """The size in units of the base asset, multiplier applied."""
        return self.lot * lots * self.multiplier

    def notional(self, ticks: int, lots: int) -> Decimal:
        """Price times quantity, quote currency."""
        return self.quantum * ticks * self.lot * lots

    def ticks(self, price: Decimal) -> int:
        """The tick count of an exact price. Raises ValueError if it lies between two quanta."""
        return _exact(price, self.quantum, f"{self.key} price")

    def lots(self, quantity: Decimal) -> int:
        """The lot count of an exact quantity. Raises ValueError if it lies between two lots."""
        return _exact(quantity, self.lot, f"{self.key} quantity")

    def floor_lots(self, quantity: Decimal) -> int:
        """The largest lot count that is not above a quantity."""
        return int(quantity // self.lot)

    def price_step(self, price: Decimal, on: date) -> Decimal:
        """The venue's price unit at a price on a day, quote currency."""
        return self.price_rule.step(price, on)

    def round_price(self, price: Decimal, side: Side, on: date) -> int:
        """Round to an allowed price toward less risk: a bid down, an ask up. Returns ticks.

        Raises ValueError for a bid below every allowed price.
        """
        if price <= 0:
            raise ValueError(f"{self.key}: expected a positive price, found {price}")
        bands = self.price_rule.bands(on)
        starts = [band.from_price for band in bands]
        if side is Side.SELL:
            for i, band in enumerate(bands):
                up = ceiling(max(price, band.from_price), band.step) * band.step
                # Beyond the end of its band another step is in force.
                if i + 1 == len(bands) or up < starts[i + 1]:
                    return self.ticks(up)
        else:
            for i in reversed(range(len(bands))):
                down = price // bands[i].step * bands[i].step
                if i + 1 < len(bands) and down >= starts[i + 1]:
                    down = (ceiling(starts[i + 1], bands[i].step) - 1) * bands[i].step
                if price >= starts[i] and down >= starts[i]:
                    return self.ticks(down)
        raise ValueError(f"{self.key}: expected a price that a bid can be rounded down to, found {price}")

    def step_table(self, on: date) -> list[tuple[int, int]]:
        """(first tick, step in ticks) of each band within the price range, by rising tick."""
        rows: list[tuple[int, int]] = []
        for band in self.price_rule.bands(on):
            if band.from_price >= self.max_price:
                break
            if band.step % self.quantum != 0:
                continue  # a band below min_price; __post_init__ checked every band within the range
            first = max(band.from_price, self.min_price)
            row = (ceiling(first, self.quantum), int(band.step // self.quantum))
            rows = [r for r in rows if r[0] < row[0]]
            rows.append(row)
        return rows

    def ladder_step(self, low_ticks: int, high_ticks: int, on: date) -> int:
        """The greatest common divisor of all price steps in force between two ticks, in ticks."""
        table = self.step_table(on)
        result = 0
        for i, (first, step) in enumerate(table):
            last = table[i + 1][0] if i + 1 < len(table) else None
            if first <= high_ticks and (last is None or last > low_ticks):
                result = math.gcd(result, step)
                if first > low_ticks:
                    result = math.gcd(result, first)
        return result or 1


def ceiling(value: Decimal, unit: Decimal) -> int:
    """How many units it takes to reach a value. (The `//` of a Decimal cuts towards zero, so that turning signs around does not round up.)"""
    return int((value / unit).to_integral_value(ROUND_CEILING))


def _exact(value: Decimal, unit: Decimal, what: str) -> int:
    count = value / unit
    if count != count.to_integral_value():
        raise ValueError(f"{what}: expected a multiple of {unit}, found {value}")
    return int(count)


def _bands_within(rule: PriceRule, on: date, low: Decimal, high: Decimal) -> list[Decimal]:
    bands = rule.bands(on)
    steps = []
    for i, band in enumerate(bands):
        top = bands[i + 1].from_price if i + 1 < len(bands) else None
        if band.from_price < high and (top is None or top > low):
            steps.append(band.step)
    return steps
