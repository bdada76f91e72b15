"""What a currency is worth in USD, from a book that prices a dollar in it.

No venue here has a book in dollars. A coin that is meant to be one is counted as one, and the name of each rate says so: what that leans on is in
docs/assumptions.md (row R2).
"""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal, localcontext

from interlock.venues.port import RateSeen

_STEP = Decimal("1e-18")
_DIGITS = 60


def inverted(currency: str, bid: Decimal, ask: Decimal, name: str) -> RateSeen:
    """The worth of a unit of what a book's prices are in, of one dollar each: what is sold is worth 1/ask, what is bought costs 1/bid.

    Rounded against whoever converts. An empty side, and one below 0, comes out as 0, which is no rate; a crossed book comes out crossed.
    """
    with localcontext(prec=_DIGITS):
        low = (1 / ask).quantize(_STEP, ROUND_FLOOR) if ask > 0 else Decimal(0)
        high = (1 / bid).quantize(_STEP, ROUND_CEILING) if bid > 0 else Decimal(0)
    return RateSeen(currency, low, high, name)
