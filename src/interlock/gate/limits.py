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


def outside(value: int, bound: int) -> bool:
    """Whether a value that is to lie in 0..bound does not. Negative values stand for "could not be computed" and are outside."""
    return not (0 <= value <= bound)


def product_up(a: int, b: int, numerator: int, denominator: int) -> int:
    """a * b * numerator / denominator, rounded up; -1 if a part is negative, the denominator not positive or a product could overflow.

    A product that is too large is rounded up in its last digits instead, as far as the denominator has tens: one in at least 10^9 for numerators up
    to 10^8. Prices in won and sizes in 10^-8 of a coin need that.
    """
    if not (a >= 0 and b >= 0 and numerator >= 0 and denominator > 0):
        return -1
    if a == 0 or b == 0:
        return 0
    if (a >= SMALL or b >= SMALL) and product_overflows(a, b):
        return -1
    product = a * b
    while numerator > 1 and product > MAX_PRODUCT // numerator:
        if denominator % 10 != 0:
            return -1
        product = -(-product // 10)
        denominator //= 10
    return -(-(product * numerator) // denominator)


def widest(low: int, high: int) -> int:
    """The larger size of the two ends of an interval of signed quantities."""
    return max(abs(low), abs(high))


def tightening(volatility_millionths: int, table: tuple[tuple[int, int], ...]) -> int:
    """The factor, millionths, by which bounds shrink at a volatility, along a line through the points (volatility, factor) of the table.

    Before the first point the first factor holds, after the last one the last; rounded down. A negative volatility is unknown and gets the last.
    """
    last_factor = table[len(table) - 1][1]
    if volatility_millionths < 0:
        return last_factor
    before_at, before_factor = table[0]
    if volatility_millionths <= before_at:
        return before_factor
    for at, factor in table:
        if volatility_millionths <= at:
            return before_factor - -(-(before_factor - factor) * (volatility_millionths - before_at) // (at - before_at))
        before_at = at
        before_factor = factor
    return last_factor


def tightened(bound: int, factor_millionths: int) -> int:
    """A bound times a factor of at most one, rounded down; 0 for a factor that would loosen, or a bound below 0."""
    if not (0 < factor_millionths <= 1_000_000 and bound >= 0):
        return 0
    # In two parts, none of which can overflow.
    return bound // 1_000_000 * factor_millionths + bound % 1_000_000 * factor_millionths // 1_000_000


def range_millionths(low: int, high: int) -> int:
    """How far a range reaches above its low end, millionths of the low end, rounded up; -1 when unknown."""
    if not (0 < low <= high):
        return -1
    return product_up(high - low, 1_000_000, 1, low)


def margin_of(notional: int, tiers: tuple[tuple[int, int], ...]) -> int:
    """What a position of a notional must hold by tiers of (up to this notional, millionths); -1 above the last tier.

    The tier's rate is taken on the whole notional, without the deduction that venues grant; this is never too little. Rounded up.
    """
    if notional == 0:
        return 0
    for most, rate_millionths in tiers:
        if 0 <= notional <= most:
            return product_up(notional, rate_millionths, 1, 1_000_000)
    return -1


def liquidation_distance_millionths(equity: int, maintenance: int, notional: int) -> int:
    """The adverse move of all prices, millionths, at which the equity falls to the maintenance margin; rounded down, at most 1,000,000.

    Maintenance is taken to grow with the move, as it does for a short. -1 when the equity does not cover the maintenance even now.
    """
    if not (maintenance >= 0 and notional >= 0 and equity >= maintenance):
        return -1
    if notional == 0:
        return 1_000_000
    if product_overflows(equity - maintenance, 1_000_000):
        return -1
    return min(1_000_000, (equity - maintenance) * 1_000_000 // (notional + maintenance))
