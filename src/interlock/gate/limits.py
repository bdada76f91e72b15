"""Numeric limits as pure functions of integers. This module imports nothing.

The gate calls them as Python and the replay compiles the same functions, so that both refuse the same orders. Quantities are lots,
positions are signed lots, prices are ticks; worst cases assume that every open order on one side fills and none on the other.
"""

MAX_PRODUCT = 1 << 62
SMALL = 1 << 31


def worst_long(position: int, open_buys: int, lots: int) -> int:
    """Signed position if all open buys and `lots` more were bought and nothing sold."""
    return position + open_buys + lots


def worst_short(position: int, open_sells: int, lots: int) -> int:
    """Signed position if all open sells and `lots` more were sold and nothing bought."""
    return position - open_sells - lots


def exceeds_position(position: int, open_buys: int, open_sells: int, side: int, lots: int, cap: int) -> bool:
    """Whether an order could bring the position's size above `cap`. One that can only shrink it passes."""
    if side > 0:
        return worst_long(position, open_buys, lots) > cap
    return worst_short(position, open_sells, lots) < -cap


def product_overflows(a: int, b: int) -> bool:
    """Whether |a * b| could leave 62 bits; checked before any multiplication of prices and sizes."""
    a = abs(a)
    b = abs(b)
    if a < SMALL and b < SMALL:
        return False  # the usual case, without a division
    return a != 0 and b > MAX_PRODUCT // a


def exceeds_collar(side: int, ticks: int, reference_twice_ticks: int, collar_millionths: int) -> bool:
    """Whether a buy is priced above, or a sell below, the reference by more than the collar.

    `reference_twice_ticks` is bid + ask in ticks (twice the mid); 0 means unknown and refuses.
    """
    if reference_twice_ticks <= 0:
        return True
    away = (2 * ticks - reference_twice_ticks) * side
    if away <= 0:
        return False
    if product_overflows(away, 1_000_000) or product_overflows(reference_twice_ticks, collar_millionths):
        return True
    return away * 1_000_000 > reference_twice_ticks * collar_millionths


def budget_left(limit: int, used: int, reserve: int, cancel: bool) -> int:
    """Messages that may still be sent in a window; the reserve is for cancels alone."""
    if cancel:
        return limit - used
    return limit - reserve - used
