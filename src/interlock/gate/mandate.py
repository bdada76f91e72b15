"""The reduce mandate: what may still be placed when no new risk may be.

Three clauses and no more: the missing hedge of a proven fill, both legs of a pair shrinking together, a reduction on one instrument. The first two
under the bounds of their group: naked exposure, time and loss. A reduction on one instrument belongs to no group and is bounded by what is held, so
that it is still there when a group has come to the end of its bounds.
"""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum

import msgspec

from interlock.gate.permission import May, Permission


class Clause(StrEnum):
    """Which part of the mandate an order claims; the value is what a permit records."""

    HEDGE = "hedge"
    SHRINK_PAIR = "shrink_pair"
    REDUCE_ONLY = "reduce_only"


class MandateRule(StrEnum):
    """Why an order does not fit the mandate."""

    NOT_PERMITTED = "mandate_not_permitted"
    NONSENSE = "mandate_nonsense"
    NAKED = "mandate_naked"
    TIME = "mandate_time"
    NOT_PROVEN = "mandate_hedge_not_proven"
    NOT_SHRINKING = "mandate_not_shrinking"
    NOT_A_PAIR = "mandate_not_a_pair"
    NO_REDUCE_FLAG = "mandate_reduce_flag"
    LOSS = "mandate_loss"


class MandateBounds(msgspec.Struct, frozen=True, kw_only=True):
    """The bounds of one group: worst-case naked exposure and loss in USD, and how long after its first order it may be worked on."""

    naked_cap_usd: Decimal
    loss_bound_usd: Decimal
    max_age_ns: int


class Leg(msgspec.Struct, frozen=True, kw_only=True):
    """One order's effect on its instrument, signed lots: what is held, and the two ends of what may be held once all orders, this one too, are done.

    `derivative` and `reduce_only`: on a derivative the venue itself must be told that the order only reduces.
    """

    held_lots: int
    low_lots: int
    high_lots: int
    derivative: bool
    reduce_only: bool


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """What an order under the mandate says of itself, with the gate's own figures.

    `lots` is its size, `proven_unhedged_lots` what proven fills leave to hedge less the hedges that are open or unknown, in the same unit. Naked
    figures are of the order's coin over everything, and of its group alone, without the order and with it. `loss_usd` is what the group will have
    lost since it began once the order has filled, at worst; negative for a gain.
    """

    clause: Clause
    lots: int
    proven_unhedged_lots: int
    legs: tuple[Leg, ...]
    naked_before_usd: Decimal
    naked_after_usd: Decimal
    group_naked_before_usd: Decimal
    group_naked_after_usd: Decimal
    loss_usd: Decimal
    group_began_boot_ns: int


def refuse_reduction(permission: Permission, claim: Claim, bounds: MandateBounds, now_boot_ns: int) -> MandateRule | None:
    """Why an order does not fit the reduce mandate, or None. What cannot be compared refuses.

    LOSS is asked last: of an order that is refused by it nothing else stands in the way.
    """
    if permission.may not in (May.NEW_RISK, May.REDUCE):
        return MandateRule.NOT_PERMITTED
    amounts = (claim.naked_before_usd, claim.naked_after_usd, bounds.naked_cap_usd)
    if not all(amount.is_finite() for amount in amounts) or not claim.lots > 0:
        return MandateRule.NONSENSE
    if not (claim.naked_after_usd <= claim.naked_before_usd or claim.naked_after_usd <= bounds.naked_cap_usd):
        return MandateRule.NAKED
    if not 0 <= now_boot_ns - claim.group_began_boot_ns <= bounds.max_age_ns:
        return MandateRule.TIME
    return _refuse_clause(claim) or _refuse_group(claim, bounds)


def _refuse_group(claim: Claim, bounds: MandateBounds) -> MandateRule | None:
    """What the group's own figures say against it."""
    amounts = (claim.group_naked_before_usd, claim.group_naked_after_usd, claim.loss_usd, bounds.loss_bound_usd)
    if not all(amount.is_finite() for amount in amounts):
        return MandateRule.NONSENSE
    if not (claim.group_naked_after_usd <= claim.group_naked_before_usd or claim.group_naked_after_usd <= bounds.naked_cap_usd):
        return MandateRule.NAKED
    return None if claim.loss_usd <= bounds.loss_bound_usd else MandateRule.LOSS


def _refuse_clause(claim: Claim) -> MandateRule | None:
    match claim.clause:
        case Clause.HEDGE:
            return None if claim.lots <= claim.proven_unhedged_lots else MandateRule.NOT_PROVEN
        case Clause.SHRINK_PAIR:
            if len(claim.legs) != 2 or not claim.legs[0].held_lots * claim.legs[1].held_lots < 0:
                return MandateRule.NOT_A_PAIR
        case Clause.REDUCE_ONLY:
            if len(claim.legs) != 1:
                return MandateRule.NOT_SHRINKING
        case _:
            return MandateRule.NONSENSE
    if any(leg.derivative and leg.reduce_only is not True for leg in claim.legs):
        return MandateRule.NO_REDUCE_FLAG
    return None if all(_shrinks(leg) for leg in claim.legs) else MandateRule.NOT_SHRINKING


def _shrinks(leg: Leg) -> bool:
    """Whether the position can only come nearer to nothing: never larger, never on the other side, whichever orders fill."""
    if leg.held_lots > 0:
        return 0 <= leg.low_lots <= leg.high_lots <= leg.held_lots and leg.low_lots < leg.held_lots
    return leg.held_lots <= leg.low_lots <= leg.high_lots <= 0 and leg.held_lots < leg.high_lots
