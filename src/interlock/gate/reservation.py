"""The record that a group begins with: of a pair with both legs reserved, each of them judged whole; of one order with its bounds alone.

The bounds are those of the coin in the sheet of limits. A plan may ask for less and never for more.
"""

from __future__ import annotations

from decimal import Decimal

import msgspec

from interlock.gate import pairs
from interlock.gate.evaluate import Denied, evaluate
from interlock.gate.exposure import Exposure, OpenOrder
from interlock.gate.frames import Plan, PlannedLeg
from interlock.gate.limit_sheet import Asset
from interlock.gate.readings import Now, Readings, Setup
from interlock.gate.records import GroupReserved, Intent, ReservedLeg
from interlock.gate.state import GateState


def of_pair(
    setup: Setup, state: GateState, readings: Readings, intent: Intent, plan: Plan, exposure: Exposure, now: Now, cap_micro_usd: int
) -> GroupReserved | Denied:
    """The reservation of a pair by its first order, or the first rule that either leg breaks.

    Each leg is judged whole and at its worst price, with the other one whole and open beside it. As a worst case covers every subset of fills,
    this judges either leg alone as well. `exposure` knows of neither; both venues must be configured.
    """
    references = readings.references
    objection = pairs.plan_objection(plan, intent, state, references.universe, setup.absence, now.boot_ns)
    if objection is not None:
        return Denied(objection.rule.value, objection.detail)
    first, second = (_whole(setup, intent, leg) for leg in plan.legs)
    legs = []
    for whole, other, ahead in ((first, second, ""), (second, first, first.venue)):
        beside = exposure.with_order(OpenOrder(other.venue, other.account, other.symbol, other.side, other.ticks, other.lots))
        found = evaluate(state.sheet, whole, beside, references, state.throttles, state.losses, now.boot_ns, cap_micro_usd, ahead)
        if isinstance(found, Denied):
            return Denied(found.rule, f"the whole leg on {whole.venue}:{whole.symbol}: {found.detail}")
        legs.append(
            ReservedLeg(
                venue=whole.venue,
                account=whole.account,
                symbol=whole.symbol,
                side=whole.side,
                ticks=whole.ticks,
                lots=whole.lots,
                units_per_lot=references.universe.units_per_lot[whole.venue, whole.symbol],
                notional_usd=found.notional_usd,
            )
        )
    alone = of_one(state, readings, intent, now)
    naked_cap_usd = min(alone.naked_cap_usd, plan.naked_cap_usd)
    if legs[0].notional_usd > naked_cap_usd:
        return Denied(
            pairs.PairRule.NAKED.value, f"the first leg alone is worth {legs[0].notional_usd} USD, the pair's cap is {naked_cap_usd}"
        )
    return msgspec.structs.replace(
        alone,
        naked_cap_usd=naked_cap_usd,
        loss_bound_usd=min(alone.loss_bound_usd, plan.loss_bound_usd),
        legs=tuple(legs),
        reserved_until_boot_ns=min(alone.deadline_boot_ns, plan.deadline_boot_ns),
    )


def of_one(state: GateState, readings: Readings, intent: Intent, now: Now) -> GroupReserved:
    """The beginning of a group without a plan, of an order on an instrument that is known: its bounds, and nothing in advance."""
    asset: Asset = state.sheet.assets[readings.references.universe.facts[intent.venue, intent.symbol].asset]
    return GroupReserved(
        boot_ns=now.boot_ns,
        group=intent.group,
        client_ids=(intent.client_id,),
        naked_cap_usd=Decimal(asset.max_naked_notional_micro_usd).scaleb(-6),
        loss_bound_usd=Decimal(asset.max_group_loss_micro_usd).scaleb(-6),
        deadline_boot_ns=now.boot_ns + asset.max_naked_ns,
    )


def beside(exposure: Exposure, begun: GroupReserved, intent: Intent) -> Exposure:
    """The exposure with what a pair that is about to begin reserves beside its first order."""
    first, second = begun.legs
    for leg, lots in ((first, first.lots - intent.lots), (second, second.lots)):
        if lots:
            exposure = exposure.with_order(OpenOrder(leg.venue, leg.account, leg.symbol, leg.side, leg.ticks, lots))
    return exposure


def _whole(setup: Setup, intent: Intent, leg: PlannedLeg) -> Intent:
    """A leg as one order for all of it."""
    return msgspec.structs.replace(
        intent,
        venue=leg.venue,
        account=setup.accounts[leg.venue],
        symbol=leg.symbol,
        side=leg.side,
        tif=leg.tif,
        reduce_only=leg.reduce_only,
        ticks=leg.ticks,
        lots=leg.lots,
    )
