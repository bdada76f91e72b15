"""What the fake venue lets one account ask, and what its answers say of it: data and functions, for whoever asks and for the venue itself."""

from __future__ import annotations

from interlock.domain.clock import NS_PER_S
from interlock.venues.budget import Cost, Limit, Meter, Spend
from interlock.venues.fake.wire import Answer, Code, VerbClass, class_of

REQUESTS = Limit("requests", 3_000, 5 * NS_PER_S)
"""Every request, whatever it is."""
ORDERS = Limit("orders", 6_000, 10 * NS_PER_S, alone=True)
"""Placements and amends, each order of a batch; the sentinel makes none."""
LIMITS = (REQUESTS, ORDERS)

REQUEST: Cost = {REQUESTS.name: 1}
PLACEMENT: Cost = {REQUESTS.name: 1, ORDERS.name: 1}

PAGE, BATCH = 200, 20
"""Orders in one page of a list, and in one request of the sentinel to cancel."""
LISTS_OF_A_SWEEP = 6
"""Two after the cancels to see that nothing is left, two later for what arrived late, and as many again for one that fails."""


def spend_of(verb: str) -> Spend:
    """What a request of this verb is for."""
    kind = class_of(verb)
    return Spend.READ if kind is VerbClass.READ else Spend.LOWER if kind is VerbClass.RISK_LOWERING else Spend.PLACE


def sweep_cost(open_orders: int) -> int:
    """The requests that the sentinel needs to cancel so many orders one batch after the other and to see that they are gone."""
    return -(-open_orders // BATCH) + LISTS_OF_A_SWEEP * (1 + open_orders // PAGE)


def take(meter: Meter, spend: Spend, answer: Answer, *, asked_ns: int, now_ns: int) -> None:
    """Tell a meter what an answer says of the limits, and whether it is a refusal because of the rate."""
    for name, limit, remaining, reset_ns in (
        (REQUESTS.name, answer.limit, answer.remaining, answer.reset_ns),
        (ORDERS.name, answer.orders_limit, answer.orders_remaining, answer.orders_reset_ns),
    ):
        if limit > 0:
            # Both times are the venue's own, so its clock does not matter.
            reset_in_ns = reset_ns - answer.venue_ns
            meter.told(name, units=limit, used=limit - remaining, reset_in_ns=reset_in_ns, asked_ns=asked_ns, now_ns=now_ns)
    if is_refusal(answer):
        banned = answer.status == 418 or answer.code == Code.BANNED
        meter.refused(spend, refused_for_ns(answer), now_ns, banned=banned)


def is_refusal(answer: Answer) -> bool:
    """Whether the venue did not take a request because of the rate."""
    return answer.status in (418, 429) or answer.code in (Code.RATE_LIMITED, Code.BANNED)


def refused_for_ns(answer: Answer) -> int:
    """How long the venue says that it wants to be left alone: until the latest of its resets that is still to come."""
    return max(answer.reset_ns, answer.orders_reset_ns if not answer.orders_remaining else 0) - answer.venue_ns
