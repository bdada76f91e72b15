"""Whether an order could trade with one of our own that stands on the other side of the same market.

The venues are asked to prevent it as well, by ending the order that takes (`SELF_MATCH` in `venues/*/trade.py`); that is their word about their
matching, and an order that can only end so is not worth sending. An order that never takes cannot trade with what rests.
"""

from __future__ import annotations

from interlock.domain.orders import OrderType, Side, TimeInForce
from interlock.gate.order_state import Order, Orders
from interlock.gate.records import Intent

OWN_CROSSING = "own_crossing"
"""The rule that denies."""


def crossed_by(orders: Orders, intent: Intent) -> str:
    """The client id of an order of ours that may be alive and that this one could trade with; empty if there is none."""
    if intent.tif is TimeInForce.POST_ONLY:
        return ""
    market = (intent.venue, intent.account, intent.symbol)
    for client_id in orders.live:
        other = orders.by_id[client_id]
        if other.market == market and other.side is not intent.side and _meet(intent, other):
            return client_id
    return ""


def _meet(intent: Intent, other: Order) -> bool:
    if OrderType.MARKET in (intent.type, other.type):
        return True
    prices = [other.ticks] if other.amend is None else [other.ticks, other.amend.ticks]
    return intent.ticks >= min(prices) if intent.side is Side.BUY else intent.ticks <= max(prices)
