"""Margin tiers as a venue's answer makes them, whichever venue: in order, each larger than the one before, with shares that can be."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import ROUND_CEILING, Decimal, localcontext

from interlock.domain.instruments import MarginTier
from interlock.venues.port import Nonsense

_STEP = Decimal("1e-9")


def share_of(leverage: Decimal) -> Decimal:
    """The initial margin that a leverage asks for, as a share of the notional, rounded up. Raises Nonsense for no leverage."""
    if not (leverage.is_finite() and leverage >= 1):
        raise Nonsense(f"leverage: expected 1 or more, found {leverage}"[:160])
    with localcontext(prec=40):
        return (1 / leverage).quantize(_STEP, ROUND_CEILING).normalize()


def in_order(symbol: str, rows: Iterable[tuple[Decimal, Decimal, Decimal]]) -> tuple[MarginTier, ...]:
    """Tiers from (up to this notional, initial, maintenance). Raises Nonsense for none, and for those that cannot be."""
    found = tuple(MarginTier(*row) for row in sorted(rows))
    tops = [tier.max_notional for tier in found]
    sound = all(0 < tier.maintenance <= tier.initial <= 1 and tier.max_notional > 0 for tier in found)
    if not found or not sound or len(set(tops)) < len(tops):
        raise Nonsense(f"margin tiers of {symbol}: expected one or more with shares up to 1 and different tops, found {len(found)}"[:160])
    return found
