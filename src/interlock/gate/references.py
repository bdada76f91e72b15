"""The gate's own reference prices and dollar rates: what an order is held against. Readings, not history: nothing here is journaled but by permits.

Prices are ticks, times CLOCK_BOOTTIME. A problem is told as text and denies; the empty text is the only yes. Missing, stale, from the future,
crossed, too wide, disagreeing or not steady for long enough are all problems. The engine's books can only add problems.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from decimal import Decimal
from fractions import Fraction

import msgspec

from interlock.domain.fx import FxSource
from interlock.gate import limits
from interlock.gate.exposure import PICO, Place, Universe, Valuation, valuation_of
from interlock.gate.limit_sheet import LARGEST, LimitSheet, Symbol
from interlock.gate.records import Book

DOLLAR = "USD"
"""The currency of all limits. What is quoted in it needs no rate."""


class Quote(msgspec.Struct, frozen=True, kw_only=True):
    """One reading of an instrument. `mark_ticks` is 0 where the venue has no mark price.

    `trading`: the venue says that it takes orders; `halted`: the last that it said is that it takes none. Where it has not said anything lately
    neither need be so.
    """

    venue: str
    symbol: str
    bid_ticks: int
    ask_ticks: int
    mark_ticks: int
    trading: bool
    boot_ns: int
    halted: bool = False


class Rate(msgspec.Struct, frozen=True, kw_only=True):
    """One reading of what a unit of a currency is worth in USD, to sell (`bid`) and to buy (`ask`). `name` tells sources of one kind apart."""

    currency: str
    source: FxSource
    name: str
    bid: Decimal
    ask: Decimal
    boot_ns: int


class KnownRate(msgspec.Struct, frozen=True):
    """A rate as it is used: pico-USD for one unit, the bid rounded down and the ask up."""

    source: FxSource
    name: str
    low_pico_usd: int
    high_pico_usd: int
    boot_ns: int


class Reference(msgspec.Struct, frozen=True):
    """The last reading, and the range of twice the mid price since `steady_since_boot_ns`, at least over the drift window once it has passed."""

    quote: Quote
    steady_since_boot_ns: int
    low_twice_ticks: int
    high_twice_ticks: int
    samples: tuple[tuple[int, int], ...]
    """(boot time, twice the mid) within the drift window, and the last one before it, which was in force when it began."""

    @property
    def range_millionths(self) -> int:
        """How far the mid moved within the drift window, millionths; -1 while the reference is no good."""
        return limits.range_millionths(self.low_twice_ticks, self.high_twice_ticks)


class References(msgspec.Struct, frozen=True):
    """All readings. Valuations are made anew when a rate changes."""

    universe: Universe
    references: dict[Place, Reference]
    rates: dict[str, tuple[KnownRate, ...]]
    valuations: dict[Place, Valuation]


def nothing_seen(universe: Universe) -> References:
    """The readings of a gate that has just started: none but the dollar's worth in dollars."""
    dollar = {place: valuation_of(facts, PICO, PICO) for place, facts in universe.facts.items() if facts.quote == DOLLAR}
    return References(universe, {}, {}, dollar)


def is_sound(quote: Quote) -> bool:
    """Whether a reading has two sides that do not meet or cross, within the range of order prices, and its mark is one."""
    return 0 < quote.bid_ticks < quote.ask_ticks < LARGEST and 0 <= quote.mark_ticks < LARGEST


def with_quote(references: References, sheet: LimitSheet, quote: Quote) -> References:
    """Take in a reading. One of an unknown instrument, or older than the last, changes nothing; an unsound one ends what was steady."""
    place = (quote.venue, quote.symbol)
    symbol = sheet.symbols.get(f"{quote.venue}:{quote.symbol}")
    last = references.references.get(place)
    if symbol is None or place not in references.universe.facts or (last is not None and quote.boot_ns < last.quote.boot_ns):
        return references
    return References(
        references.universe,
        {**references.references, place: _reference(last, symbol, quote)},
        references.rates,
        references.valuations,
    )


def _reference(last: Reference | None, symbol: Symbol, quote: Quote) -> Reference:
    if not is_sound(quote):
        return Reference(quote, quote.boot_ns, 0, 0, ())
    twice = quote.bid_ticks + quote.ask_ticks
    if last is None or not last.samples or quote.boot_ns - last.quote.boot_ns > symbol.freshness_reference_ns:
        return Reference(quote, quote.boot_ns, twice, twice, ((quote.boot_ns, twice),))
    samples = (*last.samples, (quote.boot_ns, twice))
    begin = quote.boot_ns - symbol.drift_window_ns
    first = 0
    while first + 1 < len(samples) and samples[first + 1][0] <= begin:
        first += 1
    samples = samples[first:]
    prices = [price for _, price in samples]
    return Reference(quote, last.steady_since_boot_ns, min(prices), max(prices), samples)


def with_rate(references: References, sheet: LimitSheet, rate: Rate) -> References:
    """Take in a rate; it replaces the last of the same source and name, and those that are stale by its time are dropped.

    One that is not a rate (not 0 < bid <= ask), of a currency without limits, or that a person wrote down only for reports, takes its source out.
    """
    limit = sheet.currencies.get(rate.currency)
    if limit is None:
        return references
    kept = [
        other
        for other in references.rates.get(rate.currency, ())
        if (other.source, other.name) != (rate.source, rate.name) and rate.boot_ns - other.boot_ns <= limit.freshness_rate_ns
    ]
    if rate.source is not FxSource.CONFIGURED and rate.bid.is_finite() and rate.ask.is_finite() and 0 < rate.bid <= rate.ask:
        low, high = math.floor(Fraction(rate.bid) * PICO), math.ceil(Fraction(rate.ask) * PICO)
        if low > 0:
            kept.append(KnownRate(rate.source, rate.name, low, high, rate.boot_ns))
    kept.sort(key=lambda one: (one.source, one.name))
    rates = {**references.rates, rate.currency: tuple(kept)}
    valuations = dict(references.valuations)
    for place, facts in references.universe.facts.items():
        if facts.quote == rate.currency != DOLLAR:
            valuations.pop(place, None)
            if kept:
                valuations[place] = valuation_of(facts, *_interval(kept))
    return References(references.universe, references.references, rates, valuations)


def _interval(rates: list[KnownRate]) -> tuple[int, int]:
    return min([rate.low_pico_usd for rate in rates]), max([rate.high_pico_usd for rate in rates])


def quote_problem(references: References, symbol: Symbol, place: Place, boot_ns: int) -> str:
    """Why the reference of an instrument cannot be used now; empty if it can."""
    reference = references.references.get(place)
    if reference is None:
        return "no reference was ever read"
    quote = reference.quote
    if limits.outside(boot_ns - quote.boot_ns, symbol.freshness_reference_ns):
        return f"read {boot_ns - quote.boot_ns} ns ago, allowed {symbol.freshness_reference_ns}"
    if not is_sound(quote):
        return f"bid {quote.bid_ticks}, ask {quote.ask_ticks}, mark {quote.mark_ticks} ticks make no book"
    twice = quote.bid_ticks + quote.ask_ticks
    if limits.exceeds_collar(1, quote.ask_ticks, 2 * quote.bid_ticks, symbol.max_reference_spread_millionths):
        return f"bid {quote.bid_ticks} and ask {quote.ask_ticks} are too far apart"
    if quote.mark_ticks > 0 and _apart(2 * quote.mark_ticks, twice, symbol.max_book_disagreement_millionths):
        return f"mark {quote.mark_ticks} disagrees with bid {quote.bid_ticks} and ask {quote.ask_ticks}"
    return ""


def drift_problem(references: References, symbol: Symbol, place: Place) -> str:
    """Why the recent movement of a reference forbids orders; empty if it does not. A reference that is not yet steady for the window is a problem."""
    reference = references.references.get(place)
    if reference is None:
        return "no reference was ever read"
    steady = reference.quote.boot_ns - reference.steady_since_boot_ns
    if not (steady >= symbol.drift_window_ns):
        return f"steady for {steady} ns, expected {symbol.drift_window_ns}"
    if limits.outside(reference.range_millionths, symbol.max_drift_millionths):
        return f"moved by {reference.range_millionths} millionths, allowed {symbol.max_drift_millionths}"
    return ""


def rate_problem(references: References, sheet: LimitSheet, currency: str, boot_ns: int) -> str:
    """Why a currency cannot be turned into dollars now; empty if it can."""
    if currency == DOLLAR:
        return ""
    limit = sheet.currencies.get(currency)
    if limit is None:
        return f"no limits for {currency}"
    fresh = [rate for rate in references.rates.get(currency, ()) if not limits.outside(boot_ns - rate.boot_ns, limit.freshness_rate_ns)]
    if not (len(fresh) >= limit.min_sources_count):
        return f"{len(fresh)} fresh rates of {currency}, expected {limit.min_sources_count}"
    low, high = _interval(fresh)
    if limits.outside(limits.range_millionths(low, high), limit.max_disagreement_millionths):
        return f"rates of {currency} from {low} to {high} pico-USD disagree"
    if not (limit.lowest_rate_micro_usd * 1_000_000 <= low and high <= limit.highest_rate_micro_usd * 1_000_000):
        return f"rates of {currency} from {low} to {high} pico-USD lie outside what is expected of it"
    return ""


def peer_twice_ticks(references: References, place: Place, peer: Place, side: int) -> int:
    """Twice the mid of a peer, in ticks of the instrument at `place`, rounded and converted so that the order looks worse; 0 if unknown."""
    own, other = references.valuations.get(place), references.valuations.get(peer)
    reference = references.references.get(peer)
    if own is None or other is None or reference is None:
        return 0
    universe = references.universe
    own_numerator, own_denominator = universe.coin_tick[place]
    other_numerator, other_denominator = universe.coin_tick[peer]
    if universe.facts[place].quote != universe.facts[peer].quote:
        # Of two currencies the rates are taken against the order.
        own_numerator *= own.high_pico_usd if side > 0 else own.low_pico_usd
        other_numerator *= other.low_pico_usd if side > 0 else other.high_pico_usd
    twice = (reference.quote.bid_ticks + reference.quote.ask_ticks) * other_numerator * own_denominator
    if side > 0:
        return twice // (other_denominator * own_numerator)
    return -(-twice // (other_denominator * own_numerator))


def book_problem(references: References, sheet: LimitSheet, place: Place, books: Iterable[Book], boot_ns: int) -> str:
    """Why the tops that an order was decided on forbid it; empty if they do not.

    There must be one of the order's own instrument, all of them of known instruments, sound, fresh, near each other in time, and near the gate's own.
    """
    times = []
    own = False
    for book in books:
        at = (book.venue, book.symbol)
        name = f"{book.venue}:{book.symbol}"
        symbol, reference = sheet.symbols.get(name), references.references.get(at)
        if symbol is None or reference is None:
            return f"decided on {name}, of which the gate has no reference"
        if limits.outside(boot_ns - book.boot_ns, sheet.account.freshness_engine_book_ns):
            return f"{name} as decided on is {boot_ns - book.boot_ns} ns old, allowed {sheet.account.freshness_engine_book_ns}"
        if not (0 < book.bid_ticks < book.ask_ticks < LARGEST):
            return f"{name} as decided on has bid {book.bid_ticks} and ask {book.ask_ticks}"
        twice = reference.quote.bid_ticks + reference.quote.ask_ticks
        if _apart(book.bid_ticks + book.ask_ticks, twice, symbol.max_book_disagreement_millionths):
            return f"{name} as decided on has bid {book.bid_ticks} and ask {book.ask_ticks}, the gate sees {twice} for their sum"
        times.append(book.boot_ns)
        own = own or at == place
    if not own:
        return "decided without a book of the order's own instrument"
    if limits.outside(max(times) - min(times), sheet.account.max_leg_skew_ns):
        return f"books as decided on are {max(times) - min(times)} ns apart, allowed {sheet.account.max_leg_skew_ns}"
    return ""


def _apart(twice_ticks: int, reference_twice_ticks: int, most_millionths: int) -> bool:
    low, high = min(twice_ticks, reference_twice_ticks), max(twice_ticks, reference_twice_ticks)
    return limits.outside(limits.range_millionths(low, high), most_millionths)
