"""Worst cases: what positions, open and unknown orders could become, whichever of the orders fill.

Sizes are lots, or units of an asset that are fine enough to hold every instrument's lot (`Universe`). Values are micro-USD, each product rounded up
and priced at the ask or the order's own price, whichever is larger; -1 stands for a value that could not be computed, and denies. An instrument's
worst case is the larger end of the interval [all sells fill, all buys fill]; that is the largest over all subsets of its orders, since a fill moves
the position by its own side only.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from decimal import Decimal
from fractions import Fraction

import msgspec

from interlock.domain.instruments import Instrument, Kind
from interlock.domain.orders import Side
from interlock.gate import limits

PICO = 10**12
"""Rates are USD for one unit of a currency, in units of 1e-12."""

SCALE_DIGITS = 10**6
"""What one tick of one lot is worth keeps at least so many steps of precision, and is rounded up beyond."""

Place = tuple[str, str]
"""(venue, symbol)."""
Key = tuple[str, str, str]
"""(venue, account, symbol)."""


class InstrumentFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What valuing needs to know of an instrument. Tiers are (up to this notional in the settle currency, initial, maintenance), fractions.

    Raises ValueError for parts that are not positive, tiers that do not rise, or a perpetual without tiers.
    """

    venue: str
    symbol: str
    asset: str
    quote: str
    kind: Kind
    quote_per_tick_lot: Decimal
    asset_per_lot: Decimal
    tiers: tuple[tuple[Decimal, Decimal, Decimal], ...]

    def __post_init__(self) -> None:
        name = f"instrument {self.venue}:{self.symbol}"
        if not (self.quote_per_tick_lot > 0 and self.asset_per_lot > 0):
            raise ValueError(f"{name}: expected a positive tick, lot and multiplier")
        if self.kind is Kind.PERPETUAL and not self.tiers:
            raise ValueError(f"{name}: expected margin tiers, found none; without them no margin can be judged")
        for column in zip(*self.tiers, strict=True):
            if not column[0] > 0 or list(column) != sorted(column):
                raise ValueError(f"{name}: expected positive margin tiers that rise, found {column}")

    @property
    def place(self) -> Place:
        """(venue, symbol)."""
        return (self.venue, self.symbol)


def facts_of(instrument: Instrument) -> InstrumentFacts:
    """The facts of an instrument. Raises ValueError if it settles in another currency than it is quoted in: such contracts are not valued here."""
    if instrument.settle != instrument.quote:
        raise ValueError(f"instrument {instrument.key}: expected to settle in {instrument.quote}, found {instrument.settle}; leave it out")
    return InstrumentFacts(
        venue=instrument.venue,
        symbol=instrument.symbol,
        asset=instrument.base,
        quote=instrument.quote,
        kind=instrument.kind,
        quote_per_tick_lot=instrument.quantum * instrument.lot,
        asset_per_lot=instrument.lot * instrument.multiplier,
        tiers=tuple((tier.max_notional, tier.initial, tier.maintenance) for tier in instrument.margin_tiers),
    )


class Universe(msgspec.Struct, frozen=True):
    """All instruments of a gate, and how many units of its asset one lot of each is."""

    facts: dict[Place, InstrumentFacts]
    units_per_lot: dict[Place, int]
    by_asset: dict[str, tuple[Place, ...]]
    coin_tick: dict[Place, tuple[int, int]]
    """What one tick is for one whole unit of the asset, quote currency, as numerator and denominator."""


def universe_of(facts: Iterable[InstrumentFacts]) -> Universe:
    """Puts instruments together; the unit of an asset is the greatest that divides every lot. Raises ValueError on one told twice."""
    known: dict[Place, InstrumentFacts] = {}
    for one in facts:
        if one.place in known:
            raise ValueError(f"instrument {one.venue}:{one.symbol}: expected once, found twice")
        known[one.place] = one
    by_asset: dict[str, tuple[Place, ...]] = {}
    for place, one in known.items():
        by_asset[one.asset] = (*by_asset.get(one.asset, ()), place)
    units: dict[Place, int] = {}
    for places in by_asset.values():
        sizes = [Fraction(known[place].asset_per_lot) for place in places]
        finest = math.lcm(*(size.denominator for size in sizes))
        counts = [int(size * finest) for size in sizes]
        common = math.gcd(*counts)
        units.update(zip(places, (count // common for count in counts), strict=True))
    ticks = {place: (Fraction(one.quote_per_tick_lot) / Fraction(one.asset_per_lot)).as_integer_ratio() for place, one in known.items()}
    return Universe(known, units, by_asset, ticks)


class Valuation(msgspec.Struct, frozen=True):
    """What an instrument is worth at a rate: one tick of one lot is numerator / denominator micro-USD, not less than exact."""

    numerator: int
    denominator: int
    low_pico_usd: int
    high_pico_usd: int
    initial: tuple[tuple[int, int], ...]
    """(up to this notional in micro-USD, millionths)."""
    maintenance: tuple[tuple[int, int], ...]


def valuation_of(facts: InstrumentFacts, low_pico_usd: int, high_pico_usd: int) -> Valuation:
    """Values at the high rate, and lets the margin tiers begin at the low one. Expects 0 < low <= high."""
    exact = Fraction(facts.quote_per_tick_lot) * high_pico_usd / (PICO // 1_000_000)
    denominator = 1
    while exact * denominator < SCALE_DIGITS and (exact * denominator).denominator != 1:
        denominator *= 10
    tops = [math.floor(Fraction(top) * low_pico_usd / (PICO // 1_000_000)) for top, _, _ in facts.tiers]
    return Valuation(
        numerator=math.ceil(exact * denominator),
        denominator=denominator,
        low_pico_usd=low_pico_usd,
        high_pico_usd=high_pico_usd,
        initial=tuple((top, math.ceil(rate * 1_000_000)) for top, (_, rate, _) in zip(tops, facts.tiers, strict=True)),
        maintenance=tuple((top, math.ceil(rate * 1_000_000)) for top, (_, _, rate) in zip(tops, facts.tiers, strict=True)),
    )


class OpenOrder(msgspec.Struct, frozen=True):
    """What of an order can still fill: permitted, sent, acknowledged, open or unknown. `lots` is what is left of it."""

    venue: str
    account: str
    symbol: str
    side: Side
    ticks: int
    lots: int


class Load(msgspec.Struct, frozen=True):
    """A position in signed lots and what its open orders add. Of several prices the one that is worst for us is kept."""

    position: int = 0
    buys: int = 0
    sells: int = 0
    orders: int = 0
    highest_buy_ticks: int = 0
    highest_sell_ticks: int = 0
    lowest_sell_ticks: int = 0

    @property
    def low(self) -> int:
        """The position if all sells fill and no buy."""
        return self.position - self.sells

    @property
    def high(self) -> int:
        """The position if all buys fill and no sell."""
        return self.position + self.buys

    def with_order(self, side: Side, ticks: int, lots: int) -> Load:
        """The load with one more order."""
        if side > 0:
            return Load(
                self.position,
                self.buys + lots,
                self.sells,
                self.orders + 1,
                max(self.highest_buy_ticks, ticks),
                self.highest_sell_ticks,
                self.lowest_sell_ticks,
            )
        lowest = ticks if self.sells == 0 else min(self.lowest_sell_ticks, ticks)
        return Load(
            self.position,
            self.buys,
            self.sells + lots,
            self.orders + 1,
            self.highest_buy_ticks,
            max(self.highest_sell_ticks, ticks),
            lowest,
        )


NOTHING = Load()


class Equity(msgspec.Struct, frozen=True):
    """What a venue says an account is worth, open positions at the mark, rounded down; and when it was read."""

    micro_usd: int
    boot_ns: int


class Burden(msgspec.Struct, frozen=True):
    """What others hold and have open in unmanaged assets of a shared account, at its worst, micro-USD, and when it was read. -1: unknown."""

    gross: int
    initial: int
    maintenance: int
    notional: int
    shocked: int
    entry_loss: int
    boot_ns: int


class Exposure(msgspec.Struct, frozen=True):
    """Everything that is held or could come to be held.

    `naked_since_boot_ns` says for each asset since when its net position has been above the tolerance, None if it is not. `attended` are the
    instruments whose orders the venue cancels by itself when all of us are gone.
    """

    loads: dict[Key, Load]
    equity: dict[Place, Equity]
    """By (venue, account)."""
    naked_since_boot_ns: dict[str, int | None]
    attended: frozenset[Place] = frozenset()
    burdens: Mapping[Place, Burden] = msgspec.field(default_factory=dict)
    """By (venue, account); of an account that is shared and not here it is not known."""

    def with_order(self, order: OpenOrder) -> Exposure:
        """The exposure with one more order that may fill: for the later orders of a batch."""
        key = (order.venue, order.account, order.symbol)
        load = self.loads.get(key, NOTHING).with_order(order.side, order.ticks, order.lots)
        return Exposure({**self.loads, key: load}, self.equity, self.naked_since_boot_ns, self.attended, self.burdens)


def exposure_of(
    positions: Mapping[Key, int],
    orders: Iterable[OpenOrder],
    equity: Mapping[Place, Equity],
    naked_since_boot_ns: Mapping[str, int | None],
    attended: Iterable[Place] = (),
    burdens: Mapping[Place, Burden] | None = None,
) -> Exposure:
    """Sums positions (signed lots) and orders by instrument and account. To be kept until one of them changes."""
    loads = {key: Load(position) for key, position in positions.items() if position != 0}
    open_by: dict[Key, list[OpenOrder]] = {}
    for order in orders:
        open_by.setdefault((order.venue, order.account, order.symbol), []).append(order)
    for key, found in open_by.items():
        loads[key] = _loaded(loads.get(key, NOTHING).position, found)
    return Exposure(loads, dict(equity), dict(naked_since_boot_ns), frozenset(attended), dict(burdens or {}))


def _loaded(position: int, orders: Iterable[OpenOrder]) -> Load:
    """As `Load.with_order` for one after the other, without a load for each: every decision does this with all that is open."""
    buys = sells = count = highest_buy = highest_sell = lowest_sell = 0
    for order in orders:
        count += 1
        ticks = order.ticks
        if order.side > 0:
            buys += order.lots
            highest_buy = max(highest_buy, ticks)
        else:
            lowest_sell = min(lowest_sell, ticks) if sells else ticks
            sells += order.lots
            highest_sell = max(highest_sell, ticks)
    return Load(position, buys, sells, count, highest_buy, highest_sell, lowest_sell)


def long_value(load: Load, ask_ticks: int, valuation: Valuation) -> int:
    """The value of the largest long position that can come about, micro-USD; 0 if none can."""
    return limits.product_up(max(load.high, 0), max(ask_ticks, load.highest_buy_ticks), valuation.numerator, valuation.denominator)


def short_value(load: Load, ask_ticks: int, valuation: Valuation) -> int:
    """The value of the largest short position that can come about, micro-USD; 0 if none can."""
    return limits.product_up(max(-load.low, 0), max(ask_ticks, load.highest_sell_ticks), valuation.numerator, valuation.denominator)


def gross_value(load: Load, ask_ticks: int, valuation: Valuation) -> int:
    """The value of the largest position that can come about on either side, micro-USD; -1 if one of them is unknown."""
    long, short = long_value(load, ask_ticks, valuation), short_value(load, ask_ticks, valuation)
    return -1 if long < 0 or short < 0 else max(long, short)


def asset_interval(loads: Mapping[Key, Load], universe: Universe, asset: str) -> tuple[int, int]:
    """The least and the largest net quantity of an asset over all venues and accounts, in the asset's units."""
    low = high = 0
    for (venue, _, symbol), load in loads.items():
        place = (venue, symbol)
        if universe.facts[place].asset == asset:
            units = universe.units_per_lot[place]
            low += load.low * units
            high += load.high * units
    return low, high


def naked_value(units: int, universe: Universe, prices: Mapping[Place, tuple[int, Valuation]], asset: str) -> int:
    """What a net quantity of an asset is worth, micro-USD, at the dearest instrument of `prices` (ticks, valuation); -1 when none prices it."""
    worst = -1
    for place in universe.by_asset.get(asset, ()):
        if place in prices:
            ticks, valuation = prices[place]
            value = limits.product_up(units, ticks, valuation.numerator, valuation.denominator * universe.units_per_lot[place])
            if value < 0:
                return -1
            worst = max(worst, value)
    return worst


def naked_since(
    before: Mapping[str, int | None], naked: Mapping[str, int], tolerance: Mapping[str, int], boot_ns: int
) -> dict[str, int | None]:
    """Since when each asset has been naked, given what its net position is worth now, micro-USD; an unknown value (-1) counts as naked."""
    since: dict[str, int | None] = {}
    for asset, value in naked.items():
        began = before.get(asset)
        since[asset] = None if not limits.outside(value, tolerance.get(asset, -1)) else boot_ns if began is None else began
    return since


def shrinks(load: Load, side: Side, lots: int) -> bool:
    """Whether an order can only bring this position nearer to zero and never across it, whichever of its other orders fill before."""
    return load.low >= lots if side < 0 else load.high <= -lots


def reduces(loads: Mapping[Key, Load], universe: Universe, place: Place, side: Side, lots: int) -> bool:
    """Whether at no subset of fills an order can raise the size of its asset's net exposure, or turn its sign."""
    low, high = asset_interval(loads, universe, universe.facts[place].asset)
    units = lots * universe.units_per_lot[place]
    return low >= units if side < 0 else high <= -units
