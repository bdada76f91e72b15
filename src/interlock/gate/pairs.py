"""A pair: orders on two instruments of one coin, whose worst case is reserved as one before the first of them leaves.

What of a leg is not permitted yet counts like an open order. The first leg may be entered until its time is over or all of it has come to an end; the
second only answers executions of the first that were seen, and is rounded down to whole lots, so that it never turns the pair's sign. What the
second leg may still have to answer stays reserved for as long as the group can be worked on.

Lots of the two legs are compared in units of the coin (`ReservedLeg.units_per_lot`), which the record itself tells: the fold needs nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple

from interlock.gate.absence import AbsenceRule, Expiry
from interlock.gate.exposure import OpenOrder, Universe
from interlock.gate.frames import Plan
from interlock.gate.order_state import Order, Orders
from interlock.gate.records import CancelWanted, Intent
from interlock.gate.state import GateState, Group


class PairRule(StrEnum):
    """Why a pair is not reserved, or an order does not take from its reservation."""

    MALFORMED = "pair_malformed"
    BEGUN = "pair_begun"
    FIRST_VENUE = "pair_first_venue"
    OTHER_MARKET = "pair_other_market"
    NOT_RESERVED = "pair_not_reserved"
    NOT_PROVEN = "pair_not_proven"
    NAKED = "pair_naked"


class Objection(NamedTuple):
    """A rule that says no, and why."""

    rule: PairRule
    detail: str


class Adding(NamedTuple):
    """An order that is being judged: by how many lots it would add to what its instrument may still be filled for."""

    intent: Intent
    lots: int


class Standing(NamedTuple):
    """What a pair has come to. Units of the coin, positive in the direction of its first leg.

    `taken_lots` are those of each leg that were filled or may still be. `filled_units` is the net of the executions seen, whatever their order was
    for; `opening_units` and `answering_units` what may still be executed with the first leg and against it.
    """

    taken_lots: tuple[int, int]
    filled_units: int
    opening_units: int
    answering_units: int
    entering: bool
    """It is not over: an order has not ended or owes executions, or executions are to be answered; and nothing unwinds it."""


# What is reserved


def standing(group: Group, orders: Orders, adding: Adding | None = None) -> Standing | None:
    """What a pair has come to, with the order that is judged taken in; None where an order of it is not known any more, or on no leg."""
    taken, filled, opening, answering, alive, unwinding = [0, 0], 0, 0, 0, False, False
    parts: list[tuple[tuple[str, str, str], int, int, int]] = []
    for client_id in group.client_ids:
        order = orders.by_id.get(client_id)
        if order is None:
            return None
        alive = alive or not order.state.final or order.reserved_lots > 0
        parts.append((order.market, order.side, order.filled_lots, order.reserved_lots))
    if adding is not None:
        intent = adding.intent
        parts.append(((intent.venue, intent.account, intent.symbol), intent.side, 0, adding.lots))
    for market, side, filled_lots, open_lots in parts:
        number = _leg_on(group, market)
        if number is None:
            return None
        leg = group.legs[number]
        direction = side * group.legs[0].side
        filled += direction * filled_lots * leg.units_per_lot
        if direction > 0:
            opening += open_lots * leg.units_per_lot
        else:
            answering += open_lots * leg.units_per_lot
        if side == leg.side:
            taken[number] += filled_lots + open_lots
        else:
            unwinding = True
    owing = alive or filled >= group.legs[1].units_per_lot
    return Standing((taken[0], taken[1]), filled, opening, answering, owing and not unwinding)


def rests(group: Group, orders: Orders, boot_ns: int, adding: Adding | None = None) -> tuple[int, int]:
    """How many lots of each leg are reserved and not permitted yet. Of a pair that cannot be reckoned all of it."""
    first, second = group.legs
    stands = standing(group, orders, adding)
    if stands is None:
        return first.lots, second.lots
    entering = stands.entering and boot_ns <= group.reserved_until_boot_ns
    first_lots = max(0, first.lots - stands.taken_lots[0]) if entering else 0
    may_need = stands.filled_units + stands.opening_units + first_lots * first.units_per_lot - stands.answering_units
    return first_lots, min(max(0, second.lots - stands.taken_lots[1]), max(0, may_need) // second.units_per_lot)


def reserved(state: GateState, boot_ns: int, judged: Adding | None = None) -> list[OpenOrder]:
    """What all pairs within their time have reserved and not permitted yet, as orders that may fill; less what the order that is judged takes.

    Beside an answer nothing of its own second leg is left: that follows executions which are still to come, and beside those that came it would
    make a hedge look like one order too many.
    """
    found = []
    for name, group in state.groups.items():
        if group.legs and state.group(name, boot_ns) is not None:
            adding = judged if judged is not None and judged.intent.group == name else None
            kept = rests(group, state.orders, boot_ns, adding)
            if adding is not None and is_second(group, adding.intent):
                kept = (kept[0], 0)
            for leg, lots in zip(group.legs, kept, strict=True):
                if lots:
                    found.append(OpenOrder(leg.venue, leg.account, leg.symbol, leg.side, leg.ticks, lots))
    return found


def overdue(state: GateState, boot_ns: int) -> tuple[CancelWanted, ...]:
    """The cancels of what would still enter a pair after its time: an execution of it would come when its answer is the harder to get."""
    found = []
    for group in state.groups.values():
        if not group.legs or boot_ns <= group.reserved_until_boot_ns or state.lattice.killed:
            continue
        for client_id in group.client_ids:
            order = state.orders.by_id.get(client_id)
            if order is None or order.state.final or order.cancel is not None:
                continue
            if order.side is group.legs[0].side and _leg_on(group, order.market) == 0:
                found.append(CancelWanted(boot_ns=boot_ns, client_id=client_id, reason="the time of its pair is over", actor="gate"))
    return tuple(found)


def adding_of(intent: Intent, orders: Orders) -> Adding:
    """How much an intent would add: all of a placement, of an amend what its new size is above the old one."""
    before: Order | None = orders.by_id.get(intent.client_id)
    if before is None:
        return Adding(intent, intent.lots)
    return Adding(intent, max(0, intent.lots - before.filled_lots - before.reserved_lots))


# Whether an order takes from a reservation


def objection(group: Group, orders: Orders, intent: Intent, boot_ns: int) -> Objection | None:
    """Why an order is not covered by the reservation of its pair; None if it takes from it."""
    number = _leg_on(group, (intent.venue, intent.account, intent.symbol))
    if number is None:
        return Objection(PairRule.OTHER_MARKET, f"{intent.venue}:{intent.symbol} is on no leg of the pair; leave the group out")
    leg = group.legs[number]
    if intent.side is not leg.side:
        return Objection(PairRule.NOT_RESERVED, f"no leg of the pair {intent.side.name.lower()}s {intent.venue}:{intent.symbol}")
    if (intent.ticks - leg.ticks) * leg.side > 0:
        return Objection(PairRule.NOT_RESERVED, f"at {intent.ticks} ticks, reserved at {leg.ticks} or better")
    if number == 0 and boot_ns > group.reserved_until_boot_ns:
        return Objection(PairRule.NOT_RESERVED, f"the time of the pair ended {boot_ns - group.reserved_until_boot_ns} ns ago")
    stands = standing(group, orders)
    adds = adding_of(intent, orders).lots
    if stands is None:
        return Objection(PairRule.NOT_RESERVED, "an order of the pair is not known any more")
    if number == 1:
        proven = max(0, stands.filled_units - stands.answering_units) // leg.units_per_lot
        if adds > proven:
            return Objection(PairRule.NOT_PROVEN, f"{adds} lots, but executions of the first leg leave {proven} to answer")
    left = rests(group, orders, boot_ns)[int(number == 1)]
    if adds > left:
        return Objection(PairRule.NOT_RESERVED, f"{adds} lots, of the pair {left} are reserved and not permitted yet")
    return None


def is_second(group: Group, intent: Intent) -> bool:
    """Whether an order is the second leg of a pair, which answers and begins nothing."""
    leg = group.legs[1] if group.legs else None
    return leg is not None and (intent.venue, intent.symbol, intent.side) == (leg.venue, leg.symbol, leg.side)


def _leg_on(group: Group, market: tuple[str, str, str]) -> int | None:
    for number, leg in enumerate(group.legs):
        if (leg.venue, leg.account, leg.symbol) == market:
            return number
    return None


# A plan


def plan_objection(
    plan: Plan, intent: Intent, state: GateState, universe: Universe, absence: Mapping[str, AbsenceRule], boot_ns: int
) -> Objection | None:
    """Why a pair cannot be reserved as it is planned, whatever the limits say; None if it can."""
    first, second = plan.legs
    if not intent.group or intent.revision:
        return Objection(PairRule.MALFORMED, "a plan comes with a placement that names its group")
    kind = (intent.venue, intent.symbol, intent.side, intent.tif, intent.reduce_only)
    same = kind == (first.venue, first.symbol, first.side, first.tif, first.reduce_only)
    if not same or not intent.lots <= first.lots or (intent.ticks - first.ticks) * first.side > 0:
        return Objection(PairRule.MALFORMED, "the order is not the first leg of its plan, or more than it, or at a worse price")
    here, there = (universe.facts.get((leg.venue, leg.symbol)) for leg in plan.legs)
    if here is None or there is None or first.venue not in absence or second.venue not in absence:
        return Objection(PairRule.MALFORMED, "a leg is on an instrument that is not configured")
    if here.place == there.place or first.side is second.side or here.asset != there.asset:
        return Objection(PairRule.MALFORMED, "expected the legs on two instruments of one coin, one bought and one sold")
    answers = first.lots * universe.units_per_lot[here.place] // universe.units_per_lot[there.place]
    if not 0 < second.lots == answers:
        return Objection(PairRule.MALFORMED, f"{first.lots} lots of the first leg are answered by {answers}, found {second.lots}")
    if not (_positive(plan.naked_cap_usd) and _positive(plan.loss_bound_usd) and plan.deadline_boot_ns > boot_ns):
        return Objection(PairRule.MALFORMED, "expected a naked cap and a loss bound above 0, and a deadline that is to come")
    if state.group(intent.group, boot_ns) is not None or any(state.orders.by_id[one].group == intent.group for one in state.orders.live):
        return Objection(PairRule.BEGUN, f"group {intent.group!r} has begun; a new pair needs a new name")
    if absence[second.venue].expiry is Expiry.WITHOUT and absence[first.venue].expiry is Expiry.WITH:
        return Objection(PairRule.FIRST_VENUE, f"requests do not expire on {second.venue}, so that it has to be the first leg")
    return None


def _positive(amount: Decimal) -> bool:
    return amount.is_finite() and amount > 0
