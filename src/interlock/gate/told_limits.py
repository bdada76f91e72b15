"""The limits of one decision as a person reads them: each with its value, its bound and what was left. For telling afterwards; nothing decides by it.

A permit embeds every evaluation. A denial names the first limit that did not hold: those before it held, those after it were not looked at. What of
them needs no reading of a market is evaluated again from the state at that record, by the same stages; the rest cannot be, as no journal keeps the
gate's readings.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Final, NamedTuple

from interlock.domain.errors import Refused
from interlock.domain.instruments import Instrument
from interlock.gate import evaluate
from interlock.gate.core import _exposure
from interlock.gate.exposure import facts_of, universe_of
from interlock.gate.readings import Readings
from interlock.gate.records import Binding, Endpoint, Evaluation, Intent
from interlock.gate.references import nothing_seen
from interlock.gate.state import GateState


class Unit(StrEnum):
    """What a limit counts in."""

    HOLDS = "holds"
    """Nothing is counted: 0 where it holds."""
    COUNT = "count"
    LOTS = "lots"
    MICRO_USD = "micro_usd"
    MILLIONTHS = "millionths"
    NS = "ns"


UNITS: Final = {
    "quantities": Unit.HOLDS,
    "known": Unit.HOLDS,
    "allow": Unit.HOLDS,
    "market_status": Unit.HOLDS,
    "freshness_reference": Unit.NS,
    "engine_books": Unit.HOLDS,
    "usd_rates": Unit.HOLDS,
    "collar_reference": Unit.MILLIONTHS,
    "collar_peer": Unit.MILLIONTHS,
    "max_drift": Unit.MILLIONTHS,
    "max_order_lots": Unit.LOTS,
    "max_order_notional_usd": Unit.MICRO_USD,
    "max_position_lots": Unit.LOTS,
    "max_position_notional_usd": Unit.MICRO_USD,
    "managed_quantity": Unit.LOTS,
    "max_open_orders": Unit.COUNT,
    "max_gross_notional_usd": Unit.MICRO_USD,
    "max_venue_gross_notional_usd": Unit.MICRO_USD,
    "max_naked_notional_usd": Unit.MICRO_USD,
    "max_naked_time": Unit.NS,
    "max_unattended_resting_usd": Unit.MICRO_USD,
    "freshness_equity": Unit.NS,
    "min_available_margin_usd": Unit.MICRO_USD,
    "max_margin_ratio": Unit.MILLIONTHS,
    "shock": Unit.MICRO_USD,
    "min_liquidation_distance": Unit.MILLIONTHS,
    "freshness_mark": Unit.NS,
    "max_daily_loss_usd": Unit.MICRO_USD,
    "max_currency_loss": Unit.MILLIONTHS,
    "max_drawdown_usd": Unit.MICRO_USD,
    "loss_latch": Unit.HOLDS,
    "max_messages": Unit.COUNT,
    "cancel_reserve": Unit.COUNT,
    "max_orders": Unit.COUNT,
    "max_identical_orders": Unit.COUNT,
    "max_reject_streak": Unit.COUNT,
    "max_losing_streak": Unit.COUNT,
}
"""By limit, in the order of `evaluate.REQUIRED`."""


class Verdict(StrEnum):
    """What became of a limit in a decision."""

    HELD = "held"
    DENIED = "denied"
    NOT_REACHED = "not reached"


class JudgedLimit(NamedTuple):
    """One limit in a decision. `headroom` is the bound less the value. Where the record has no figures they are None, or, with `again`, those that
    the state at that record gives."""

    limit: str
    verdict: Verdict
    unit: Unit
    value: int | None = None
    bound: int | None = None
    headroom: int | None = None
    again: bool = False


def of_permit(evaluations: Iterable[Evaluation]) -> tuple[JudgedLimit, ...]:
    """The limits as a permit embeds them."""
    return tuple(_figured(one.limit, Verdict.HELD, int(one.value), int(one.bound), again=False) for one in evaluations)


def of_denial(rule: str, again: Iterable[Evaluation]) -> tuple[JudgedLimit, ...]:
    """The limits as a denial leaves them; a rule that is none of them came before all. `again` is what `without_readings` gave."""
    at = evaluate.REQUIRED.index(rule) if rule in evaluate.REQUIRED else -1
    figures = {one.limit: (int(one.value), int(one.bound)) for one in again}
    found = []
    for number, limit in enumerate(evaluate.REQUIRED):
        verdict = Verdict.NOT_REACHED if number > at else Verdict.DENIED if number == at else Verdict.HELD
        if limit in figures:
            found.append(_figured(limit, verdict, *figures[limit], again=True))
        else:
            found.append(JudgedLimit(limit, verdict, UNITS[limit]))
    return tuple(found)


def without_readings(state: GateState, intent: Intent, instruments: Iterable[Instrument], boot_ns: int) -> tuple[Evaluation, ...]:
    """Those limits that depend on the fold alone (losses, throttles), evaluated as the gate does, `state` being that before the intent.

    Raises Refused where they cannot be: something is held or open whose instrument is not among `instruments`, or the sheet does not know the order.
    """
    references = nothing_seen(universe_of([facts_of(one) for one in instruments]))
    exposure = _exposure(state, Readings(references=references, binding=_NO_BINDING), [])
    subject = evaluate._subject(state.sheet, intent, exposure, references, state.throttles, state.losses, boot_ns, 0)
    if isinstance(subject, evaluate.Denied):
        raise Refused(f"{subject.rule}: {subject.detail}")
    subject.ahead = ""
    rows = [row for stage in (evaluate._losses, evaluate._throttles) for row in stage(subject)]
    return tuple(Evaluation(limit=name, value=str(value), bound=str(bound)) for name, value, bound, _ in rows)


_NO_BINDING = Binding(
    incarnation="", host="", account="", endpoint=Endpoint.LOOPBACK, build="", config="", strategy="", limits="", symbols=()
)


def _figured(limit: str, verdict: Verdict, value: int, bound: int, *, again: bool) -> JudgedLimit:
    return JudgedLimit(limit, verdict, UNITS[limit], value, bound, bound - value, again)
