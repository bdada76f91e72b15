"""Margin of one derivative account, with every open and unknown order filled on its worse side, before and after a shock of all coins at once.

All figures are micro-USD, rounded up; -1 for one that could not be computed. No gain is ever credited: what one position would win in the shock
does not pay for another. That makes the requirement rise with the size of every position, so that the ends of its interval are its worst cases.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from interlock.gate import limits
from interlock.gate.exposure import Burden, Load, Valuation, long_value, short_value


class MarginNeed(msgspec.Struct, frozen=True):
    """What an account needs: for new positions, to keep them, its largest notional, to keep them through the shock, and lost on entering."""

    initial: int
    maintenance: int
    notional: int
    shocked: int
    entry_loss: int


UNKNOWN = MarginNeed(-1, -1, -1, -1, -1)
NONE = MarginNeed(0, 0, 0, 0, 0)


def margin_need(held: Iterable[tuple[Load, int, int, Valuation]], shock_millionths: int) -> MarginNeed:
    """Sums over an account's derivatives (load, bid ticks, ask ticks, valuation); `UNKNOWN` if a part is unknown or above the last tier."""
    initial = maintenance = notional = up = down = entry = 0
    for load, bid_ticks, ask_ticks, valuation in held:
        if load.low == 0 == load.high:
            continue
        parts = _one(load, bid_ticks, ask_ticks, valuation, shock_millionths)
        if min(parts) < 0:
            return UNKNOWN
        initial += parts[0]
        maintenance += parts[1]
        notional += parts[2]
        up += parts[3]
        down += parts[4]
        entry += parts[5]
    return MarginNeed(initial, maintenance, notional, max(up, down) + entry, entry)


def with_burden(ours: MarginNeed, theirs: Burden) -> MarginNeed:
    """What an account needs that others use too. No part of one side's need is taken off for the other's."""
    parts = (
        _sum(ours.initial, theirs.initial),
        _sum(ours.maintenance, theirs.maintenance),
        _sum(ours.notional, theirs.notional),
        _sum(ours.shocked, theirs.shocked),
        _sum(ours.entry_loss, theirs.entry_loss),
    )
    return UNKNOWN if min(parts) < 0 else MarginNeed(*parts)


def _one(load: Load, bid_ticks: int, ask_ticks: int, valuation: Valuation, shock_millionths: int) -> tuple[int, int, int, int, int, int]:
    long, short = long_value(load, ask_ticks, valuation), short_value(load, ask_ticks, valuation)
    if long < 0 or short < 0:
        return (-1, -1, -1, -1, -1, -1)
    tiers = valuation.maintenance
    largest = max(long, short)
    long_loss = limits.product_up(long, shock_millionths, 1, 1_000_000)
    short_loss = limits.product_up(short, shock_millionths, 1, 1_000_000)
    # A short's value grows with the shock and may enter a dearer tier; a long's only falls, and is kept at today's.
    fallen = _sum(long_loss, limits.margin_of(long, tiers))
    risen = _sum(short_loss, limits.margin_of(_sum(short, short_loss), tiers))
    beside_fallen = limits.margin_of(short, tiers)
    beside_risen = limits.margin_of(_sum(long, long_loss), tiers)
    return (
        limits.margin_of(largest, valuation.initial),
        limits.margin_of(largest, tiers),
        largest,
        _worse(risen, beside_risen),
        _worse(fallen, beside_fallen),
        _entry_loss(load, bid_ticks, ask_ticks, valuation),
    )


def _entry_loss(load: Load, bid_ticks: int, ask_ticks: int, valuation: Valuation) -> int:
    # Bought above the bid or sold below the ask, a position begins with that loss.
    bought = limits.product_up(load.buys, max(0, load.highest_buy_ticks - bid_ticks), valuation.numerator, valuation.denominator)
    sold = limits.product_up(load.sells, max(0, ask_ticks - load.lowest_sell_ticks), valuation.numerator, valuation.denominator)
    return _sum(bought, sold)


def _sum(a: int, b: int) -> int:
    return -1 if a < 0 or b < 0 else a + b


def _worse(a: int, b: int) -> int:
    return -1 if a < 0 or b < 0 else max(a, b)
