"""Which clause of the reduce mandate an order falls under, with the gate's own figures, as far as one order alone can prove it.

HEDGE: proven fills of its group, less what the group's other fills and its open or unknown orders on the other side already answer. SHRINK_PAIR: both
instruments of its group shrink, the other one by an order that is permitted already; the first of two is a REDUCE_ONLY. The price of a reduction is
bounded by the collars, like that of any order; hedges and pairs that shrink also by what their group may lose (`group_result`).
"""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

import msgspec

from interlock.domain.instruments import Kind
from interlock.gate import group_result
from interlock.gate.exposure import NOTHING, Exposure, Key, OpenOrder, Place, Universe, Valuation, asset_interval, naked_value
from interlock.gate.limits import widest
from interlock.gate.mandate import Claim, Clause, Leg, MandateBounds, MandateRule, refuse_reduction
from interlock.gate.permission import Permission
from interlock.gate.readings import Now
from interlock.gate.records import Intent
from interlock.gate.references import References
from interlock.gate.state import GateState, Group

_NOTHING_USD = Decimal(0)

_SINGLE_LEG = MandateBounds(naked_cap_usd=_NOTHING_USD, loss_bound_usd=_NOTHING_USD, max_age_ns=0)
"""For a reduction on one instrument, which is bounded by what is held."""


class _Figures(NamedTuple):
    """Naked without the order and with it, of the coin and of the group alone, and the group's loss."""

    before_usd: Decimal
    after_usd: Decimal
    group_before_usd: Decimal
    group_after_usd: Decimal
    loss_usd: Decimal


_NO_FIGURES = _Figures(*[_NOTHING_USD] * 5)


class Unfit(msgspec.Struct, frozen=True):
    """Why an order fits no clause. `at_loss_bound`: one would fit, if its group might lose more."""

    told: str
    at_loss_bound: bool

    def __str__(self) -> str:
        return self.told


def clause_of(may: Permission, state: GateState, references: References, intent: Intent, exposure: Exposure, now: Now) -> Clause | Unfit:
    """The clause that an order fits, or why it fits none. `exposure` does not hold the order yet; for an amend it holds it as it was."""
    told, at_loss_bound = [], False
    group = state.group(intent.group, now.boot_ns) if intent.group else None
    if group is not None:
        naked_cap_usd, loss_bound_usd = _bounds(state, references, intent, group)
        # A hedge only ever shrinks what is naked; a pair that shrinks may go up to the cap while one leg is ahead of the other.
        for clause, claim, cap_usd in (
            (Clause.HEDGE, _hedge, _NOTHING_USD),
            (Clause.SHRINK_PAIR, _shrink_pair, naked_cap_usd),
        ):
            bounds = MandateBounds(naked_cap_usd=cap_usd, loss_bound_usd=loss_bound_usd, max_age_ns=_age_ns(group))
            refused = refuse_reduction(may, claim(state, references, intent, exposure, group), bounds, now.boot_ns)
            if refused is None:
                return clause
            told.append(f"{clause.value}: {refused.value}")
            at_loss_bound = at_loss_bound or refused is MandateRule.LOSS
    elif intent.group:
        told.append(f"group {intent.group!r} has not begun, or its time is over")
    refused = _refuse_single(may, references, intent, exposure, now)
    if refused is None:
        return Clause.REDUCE_ONLY
    return Unfit("; ".join([*told, f"{Clause.REDUCE_ONLY.value}: {refused.value}"]), at_loss_bound)


def _bounds(state: GateState, references: References, intent: Intent, group: Group) -> tuple[Decimal, Decimal]:
    """Naked cap and loss bound of a group: as it began with them, or as the limits have become tighter since."""
    facts = references.universe.facts.get((intent.venue, intent.symbol))
    asset = None if facts is None else state.sheet.assets.get(facts.asset)
    if asset is None:
        return group.naked_cap_usd, group.loss_bound_usd
    naked_cap, loss_bound = Decimal(asset.max_naked_notional_micro_usd).scaleb(-6), Decimal(asset.max_group_loss_micro_usd).scaleb(-6)
    return min(group.naked_cap_usd, naked_cap), min(group.loss_bound_usd, loss_bound)


def _age_ns(group: Group) -> int:
    return group.deadline_boot_ns - group.began_boot_ns


def _refuse_single(may: Permission, references: References, intent: Intent, exposure: Exposure, now: Now) -> MandateRule | None:
    leg = _leg(references, exposure, _key(intent), reduce_only=intent.reduce_only, adding=intent)
    return refuse_reduction(may, _claim(Clause.REDUCE_ONLY, intent, legs=(leg,), began_boot_ns=now.boot_ns), _SINGLE_LEG, now.boot_ns)


def _hedge(state: GateState, references: References, intent: Intent, exposure: Exposure, group: Group) -> Claim:
    """What is left to hedge: only executions that were seen prove it; what may still fill on our side is taken off."""
    universe, place = references.universe, (intent.venue, intent.symbol)
    proven = 0
    if place in universe.facts:
        unhedged = _unhedged_units(state, universe, intent, group, universe.facts[place].asset)
        proven = 0 if unhedged is None else max(0, unhedged) // universe.units_per_lot[place]
    figures = _figures(state, references, intent, exposure, group)
    return _claim(Clause.HEDGE, intent, legs=(), began_boot_ns=group.began_boot_ns, proven_lots=proven, figures=figures)


def _unhedged_units(state: GateState, universe: Universe, intent: Intent, group: Group, asset: str) -> int | None:
    """Units of the asset that the group's fills leave open against an order of this side; None if one of its orders is not known any more."""
    filled = answered = 0
    for client_id in group.client_ids:
        order = state.orders.by_id.get(client_id)
        facts = None if order is None else universe.facts.get((order.venue, order.symbol))
        if order is None or facts is None:
            return None
        if facts.asset != asset:
            continue
        units = universe.units_per_lot[facts.place]
        filled += order.side * order.filled_lots * units
        if order.side is intent.side:
            answered += order.reserved_lots * units
    return -intent.side * filled - answered


def _shrink_pair(state: GateState, references: References, intent: Intent, exposure: Exposure, group: Group) -> Claim:
    """Both instruments of the group, with everything that is open on them."""
    known = [state.orders.by_id[client_id] for client_id in group.client_ids if client_id in state.orders.by_id]
    legs = []
    for key in sorted({_key(intent), *(order.market for order in known)}):
        if key == _key(intent):
            legs.append(_leg(references, exposure, key, reduce_only=intent.reduce_only, adding=intent))
            continue
        still_open = [state.orders.by_id[client_id] for client_id in state.orders.live]
        flagged = all(order.reduce_only for order in still_open if order.market == key)
        legs.append(_leg(references, exposure, key, reduce_only=flagged))
    figures = _figures(state, references, intent, exposure, group)
    return _claim(Clause.SHRINK_PAIR, intent, legs=tuple(legs), began_boot_ns=group.began_boot_ns, figures=figures)


def _claim(
    clause: Clause,
    intent: Intent,
    *,
    legs: tuple[Leg, ...],
    began_boot_ns: int,
    proven_lots: int = 0,
    figures: _Figures = _NO_FIGURES,
) -> Claim:
    return Claim(
        clause=clause,
        lots=intent.lots,
        proven_unhedged_lots=proven_lots,
        legs=legs,
        naked_before_usd=figures.before_usd,
        naked_after_usd=figures.after_usd,
        group_naked_before_usd=figures.group_before_usd,
        group_naked_after_usd=figures.group_after_usd,
        loss_usd=figures.loss_usd,
        group_began_boot_ns=began_boot_ns,
    )


def _key(intent: Intent) -> Key:
    return (intent.venue, intent.account, intent.symbol)


def _leg(references: References, exposure: Exposure, key: Key, *, reduce_only: bool, adding: Intent | None = None) -> Leg:
    load = exposure.loads.get(key, NOTHING)
    after = load if adding is None else load.with_order(adding.side, adding.ticks, adding.lots)
    facts = references.universe.facts.get((key[0], key[2]))
    derivative = facts is None or facts.kind is not Kind.SPOT
    return Leg(held_lots=load.position, low_lots=after.low, high_lots=after.high, derivative=derivative, reduce_only=reduce_only)


def _figures(state: GateState, references: References, intent: Intent, exposure: Exposure, group: Group) -> _Figures:
    """Worst net exposures and the loss, USD at the gate's own prices; not a number where they cannot be reckoned."""
    universe = references.universe
    facts = universe.facts.get((intent.venue, intent.symbol))
    adding = OpenOrder(intent.venue, intent.account, intent.symbol, intent.side, intent.ticks, intent.lots)
    if facts is None or any((key[0], key[2]) not in universe.facts for key in exposure.loads):
        return _Figures(*[group_result.UNKNOWN_USD] * 5)
    prices: dict[Place, tuple[int, Valuation]] = {}
    for place in universe.by_asset[facts.asset]:
        if place in references.references and place in references.valuations:
            prices[place] = (references.references[place].quote.ask_ticks, references.valuations[place])
    found = []
    for loads in (exposure.loads, exposure.with_order(adding).loads):
        value = naked_value(widest(*asset_interval(loads, universe, facts.asset)), universe, prices, facts.asset)
        found.append(group_result.UNKNOWN_USD if value < 0 else Decimal(value).scaleb(-6))
    alone = group_result.naked_usd(state, universe, prices, group, intent)
    return _Figures(found[0], found[1], *alone, group_result.loss_usd(state, references, group, intent))
