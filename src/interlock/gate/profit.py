"""Profit and loss in money: the ledger's tick-lots at what they are worth, marked against us, since the day's baseline.

Longs are marked at the bid and shorts at the ask; a gain is converted to USD at the bid of its currency and a loss at the ask. Flows that come from
outside (deposits, withdrawals, transfers, airdrops, adjustments) are no result. What cannot be marked is named, and nothing is returned for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

import msgspec

from interlock.gate import records as r
from interlock.gate.ledger import EXTERNAL, Ledger, exact_sum
from interlock.gate.order_state import Market

Instrument = tuple[str, str]
"""(venue, symbol)."""


class Worth(msgspec.Struct, frozen=True, kw_only=True):
    """What an instrument's units are worth: one lot at one tick in `currency`, and one lot in `base`. `spot` trades change both balances."""

    currency: str
    tick_lot: Decimal
    base: str
    lot: Decimal
    spot: bool


class Results(msgspec.Struct, frozen=True):
    """All results since the journal began, by currency; `unrealised` of the positions as they stand, since the day's baseline or since they were
    taken, whichever is later; `marks` the price in ticks at which each is reckoned.
    """

    total: dict[str, Decimal]
    unrealised: dict[str, Decimal]
    marks: dict[Market, int] = {}


class Unmarked(msgspec.Struct, frozen=True):
    """What is missing to reckon: an instrument's worth, a two-sided quote, a rate. Unknown loss is no small loss."""

    missing: tuple[str, ...]


def results(ledger: Ledger, worths: Mapping[Instrument, Worth], quotes: Mapping[Instrument, tuple[int, int]]) -> Results | Unmarked:
    """Results by currency. `quotes` holds (bid, ask) in ticks for each instrument in which a position is held."""
    total: dict[str, Decimal] = {}
    unrealised: dict[str, Decimal] = {}
    marks: dict[Market, int] = {}
    missing = []
    for market, position in sorted(ledger.positions.items()):
        worth = worths.get((market[0], market[2]))
        if worth is None:
            missing.append(f"worth of {_name(market)}")
            continue
        marked = 0
        if position.lots:
            bid, ask = quotes.get((market[0], market[2]), (0, 0))
            if not 0 < bid <= ask:
                missing.append(f"quote of {_name(market)}")
                continue
            marks[market] = bid if position.lots > 0 else ask
            marked = position.lots * marks[market]
        _add(total, worth.currency, worth.tick_lot * (position.cash + marked))
        _add(unrealised, worth.currency, worth.tick_lot * (marked - position.day_cost))
    for (_, _, currency, kind), amount in sorted(ledger.flows.items()):
        if kind not in EXTERNAL:
            _add(total, currency, amount)
    return Unmarked(tuple(missing)) if missing else Results(total, unrealised, marks)


def day_rolled(found: Results, usd: Mapping[str, tuple[Decimal, Decimal]], day: str, boot_ns: int, wall_ns: int) -> r.DayRolled | Unmarked:
    """The record that begins a loss day (ISO date): its baseline is the result so far."""
    total = _to_usd(found.total, usd)
    if isinstance(total, Unmarked):
        return total
    baseline = tuple(sorted(found.total.items()))
    marks = tuple((*market, ticks) for market, ticks in sorted(found.marks.items()))
    return r.DayRolled(boot_ns=boot_ns, day=day, baseline=baseline, baseline_usd=total, wall_ns=wall_ns, marks=marks)


def marked(ledger: Ledger, found: Results, usd: Mapping[str, tuple[Decimal, Decimal]], boot_ns: int) -> r.Marked | Unmarked:
    """The record of the result since the baseline. `usd` holds (bid, ask) of each currency in USD; equity is the baseline's plus the result."""
    if not ledger.day.name:
        return Unmarked(("the day's baseline",))
    since = dict(found.total)
    for currency, amount in ledger.day.baseline:
        _add(since, currency, -amount)
    for currency, amount in found.unrealised.items():
        _add(since, currency, -amount)
    realised = _to_usd(since, usd)
    if isinstance(realised, Unmarked):
        return realised
    unrealised = _to_usd(found.unrealised, usd)
    if isinstance(unrealised, Unmarked):
        return unrealised
    equity = exact_sum(ledger.day.baseline_usd, exact_sum(realised, unrealised))
    by_currency = tuple((name, amount, found.unrealised.get(name, Decimal(0))) for name, amount in sorted(since.items()))
    return r.Marked(boot_ns=boot_ns, realised_usd=realised, unrealised_usd=unrealised, equity_usd=equity, by_currency=by_currency)


def first_marked(rolled: r.DayRolled) -> r.Marked:
    """The record of the result at the moment of a roll: of nothing anything has been won or lost."""
    none = Decimal(0)
    by_currency = tuple((currency, none, none) for currency, _ in rolled.baseline)
    return r.Marked(boot_ns=rolled.boot_ns, realised_usd=none, unrealised_usd=none, equity_usd=rolled.baseline_usd, by_currency=by_currency)


def _name(market: Market) -> str:
    return "/".join(market)


def _add(sums: dict[str, Decimal], currency: str, amount: Decimal) -> None:
    sums[currency] = exact_sum(sums.get(currency, Decimal(0)), amount)


def _to_usd(sums: Mapping[str, Decimal], usd: Mapping[str, tuple[Decimal, Decimal]]) -> Decimal | Unmarked:
    total = Decimal(0)
    missing = []
    for currency, amount in sorted(sums.items()):
        bid, ask = usd.get(currency, (Decimal(0), Decimal(0)))
        if not amount:
            continue
        if not 0 < bid <= ask:
            missing.append(f"USD rate of {currency}")
            continue
        total = exact_sum(total, amount * (bid if amount > 0 else ask))
    return Unmarked(tuple(missing)) if missing else total
