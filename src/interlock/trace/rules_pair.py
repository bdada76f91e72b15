"""What must hold of a pair that was reserved as one: its orders fit what was reserved, its second leg only answers what was executed of the first.

Sizes of orders that were amended are taken at the smallest that was permitted, so that what is found is certain. What stands under a clause of the
reduce mandate takes nothing from a reservation; it is counted here and judged elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from interlock.trace.facts import Facts
from interlock.trace.state import Order, Pair, State
from interlock.trace.values import Entry, Finding


class _Claim(NamedTuple):
    """An order of a pair that is being permitted under the grant, and how many lots it adds to what was permitted of it before."""

    pair: Pair
    order: Order
    leg: int | None
    ticks: int
    adds: int


def answers_a_pair(state: State, entry: Entry) -> bool:
    """Whether a permit under the grant is for the second leg of a pair."""
    claim = _claim(state, entry)
    return claim is not None and claim.leg == 1 and claim.order.side == claim.pair.record.fields["legs"][1]["side"]


def s11_group(_: State, entry: Entry, __: Facts) -> Iterator[Finding]:
    """A pair is two legs on two markets, one bought and one sold, of which the second asks for no more of the coin than the first."""
    about, legs = entry.fields, entry.fields["legs"]
    if not legs:
        return
    if len(legs) != 2:
        yield Finding("S11", f"expected two legs of the pair {about['group']!r}, found {len(legs)}", lsn=entry.lsn)
        return
    first, second = legs
    markets = {(leg["venue"], leg["account"], leg["symbol"]) for leg in legs}
    if len(markets) != 2 or first["side"] == second["side"] or not 0 < second["lots"] * second["units_per_lot"] <= _units(first):
        sentence = f"expected the legs of {about['group']!r} on two markets and two sides, the second no larger, found otherwise"
        yield Finding("S11", sentence, lsn=entry.lsn)
    if not entry.boot_ns <= about["reserved_until_boot_ns"] <= about["deadline_boot_ns"] or not about["client_ids"]:
        sentence = f"expected the pair {about['group']!r} reserved by an order and within the time of its group, found otherwise"
        yield Finding("S11", sentence, lsn=entry.lsn)


def s11_pair(state: State, entry: Entry, _: Facts) -> Iterator[Finding]:
    """What is permitted under the grant in a pair is on one of its legs, no dearer, and with all else of that leg no more than was reserved."""
    claim = _claim(state, entry)
    if claim is None:
        return
    group, about = claim.order.group, claim.pair.record.fields
    leg = None if claim.leg is None else about["legs"][claim.leg]
    if leg is None or leg["side"] != claim.order.side:
        yield Finding("S11", f"expected {entry.key} on a leg of the pair {group!r}, found it on none", lsn=entry.lsn)
        return
    if (claim.ticks - leg["ticks"]) * leg["side"] > 0:
        yield Finding("S11", f"expected {entry.key} at {leg['ticks']} ticks or better, found {claim.ticks}", lsn=entry.lsn)
    others = [o for o in _orders(state, claim.pair, entry.key[0]) if (o.market, o.side) == (claim.order.market, claim.order.side)]
    taken = sum(order.filled + _open(order) for order in others) + max(claim.order.filled, _asked(state, entry))
    if taken > leg["lots"]:
        yield Finding("S11", f"expected at most {leg['lots']} lots of a leg of {group!r}, found {taken} permitted", lsn=entry.lsn)
    if claim.leg == 0 and entry.boot_ns > about["reserved_until_boot_ns"]:
        yield Finding("S11", f"expected no first leg of {group!r} after its time, found {entry.key}", lsn=entry.lsn)


def s20_pair(state: State, entry: Entry, _: Facts) -> Iterator[Finding]:
    """The second leg of a pair asks for no more than executions of the first leave to answer."""
    claim = _claim(state, entry)
    if claim is None or not answers_a_pair(state, entry):
        return
    legs = claim.pair.record.fields["legs"]
    units = 0
    for order in _orders(state, claim.pair, ""):
        number = claim.pair.leg_on(order.market)
        if number is None:
            continue
        per_lot, direction = legs[number]["units_per_lot"], order.side * legs[0]["side"]
        units += direction * order.filled * per_lot - _open(order) * per_lot * (direction < 0)
    if claim.adds * legs[1]["units_per_lot"] > max(0, units):
        proven = max(0, units) // legs[1]["units_per_lot"]
        sentence = f"expected at most {proven} lots to answer what is executed of {claim.order.group!r}, found {claim.adds}"
        yield Finding("S20", sentence, lsn=entry.lsn)


def _claim(state: State, entry: Entry) -> _Claim | None:
    request, order = state.requests.get(entry.key), state.orders.get(entry.key[0])
    pair = None if order is None else state.pairs.get(order.group)
    if request is None or order is None or pair is None or entry.fields["mandate"]:
        return None
    lots = request.intent.fields["lots"]
    return _Claim(pair, order, pair.leg_on(order.market), request.intent.fields["ticks"], max(0, lots - order.lots))


def _asked(state: State, entry: Entry) -> int:
    """The size of the order as it is permitted now, or was at least before."""
    lots: int = state.requests[entry.key].intent.fields["lots"]
    order = state.orders[entry.key[0]]
    return min(order.least_lots, lots) if entry.key[1] else lots


def _orders(state: State, pair: Pair, but: str) -> Iterator[Order]:
    for client_id in pair.client_ids:
        order = state.orders.get(client_id)
        if order is not None and client_id != but:
            yield order


def _open(order: Order) -> int:
    """What of an order may still be executed, at least."""
    return 0 if order.final else max(0, order.least_lots - order.filled)


def _units(leg: dict[str, int]) -> int:
    return leg["lots"] * leg["units_per_lot"]
