"""What a venue takes now, besides the rules of its instruments: how far from the mark a price may lie, how many orders may be open, how much a
reduce-only order may close.

Nothing here asks anybody. What is not known, or is too old, holds nothing up: then the venue itself decides.
"""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Final, NamedTuple

from interlock.domain.clock import NS_PER_S
from interlock.gate.references import Quote

PUBLISHED_GOOD_FOR_NS: Final = 120 * NS_PER_S
"""What a venue publishes with its listings, which are read every 30 s."""
TOLD_GOOD_FOR_NS: Final = 3 * NS_PER_S
"""Price limits that a stream tells, ten times as long as Bybit waits between two of them: the market moves on."""
MARK_GOOD_FOR_NS: Final = 5 * NS_PER_S

RULE: Final = "venue_"
"""How the rules by which such an order is denied begin: venue_price_limit, venue_max_orders, venue_reduce_only."""


class Published(NamedTuple):
    """Of one instrument: a bid may be at most `bid_most` of the mark price, an ask at least `ask_least` of it, and `most_open` orders may be open.

    0 where the venue publishes no such bound.
    """

    bid_most: Decimal
    ask_least: Decimal
    most_open: int
    boot_ns: int


class PriceLimits(NamedTuple):
    """As a venue tells them by itself: no bid above `highest_bid_ticks`, no ask below `lowest_ask_ticks`, 0 where it sets none."""

    highest_bid_ticks: int
    lowest_ask_ticks: int
    boot_ns: int


class Standing(NamedTuple):
    """What holds for one order at this moment. 0, and None, stand for what is not known or has no bound."""

    highest_bid_ticks: int = 0
    lowest_ask_ticks: int = 0
    most_open: int = 0
    open_orders: int | None = None
    """Of ours in the symbol, as the venue has shown them."""
    position_lots: int | None = None

    def said(self, name: str) -> str:
        """Why an order that breaks the rule of this name would be refused."""
        if name == "price_limit":
            highest, lowest = self.highest_bid_ticks or "any", self.lowest_ask_ticks or "any"
            return f"the venue's {name}: the highest bid that it takes now is {highest} ticks, the lowest ask {lowest}"
        if name == "max_orders":
            return f"the venue's {name}: {self.open_orders} orders are open in the symbol, {self.most_open} may be"
        return f"the venue's {name}: it would do more than end a position of {self.position_lots} lots"


NOTHING_KNOWN: Final = Standing()


def bounds_now(published: Published | None, told: PriceLimits | None, quote: Quote | None, boot_ns: int) -> Standing:
    """The highest bid, the lowest ask and how many orders may be open: told by the venue, or else reckoned from the mark, to the strict side."""
    if published is not None and not _fresh(published.boot_ns, PUBLISHED_GOOD_FOR_NS, boot_ns):
        published = None
    most_open = 0 if published is None else published.most_open
    if told is not None and _fresh(told.boot_ns, TOLD_GOOD_FOR_NS, boot_ns):
        return Standing(told.highest_bid_ticks, told.lowest_ask_ticks, most_open)
    if published is None or quote is None or not _fresh(quote.boot_ns, MARK_GOOD_FOR_NS, boot_ns):
        return Standing(most_open=most_open)
    # Where there is no mark it is 0, and so are the bounds: none.
    highest = (quote.mark_ticks * published.bid_most).to_integral_value(ROUND_FLOOR)
    lowest = (quote.mark_ticks * published.ask_least).to_integral_value(ROUND_CEILING)
    return Standing(int(highest), int(lowest), most_open)


def _fresh(at_boot_ns: int, good_for_ns: int, boot_ns: int) -> bool:
    return 0 <= boot_ns - at_boot_ns <= good_for_ns
