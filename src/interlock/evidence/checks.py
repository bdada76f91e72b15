"""Checks of a run's own records: invariants that must hold, limits that must not be passed, costs that must not be missing."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import numpy as np

from interlock.domain.instruments import Instrument, Kind
from interlock.evidence.accounting import InstrumentAccount, Ledger
from interlock.evidence.exact import running, times
from interlock.evidence.facts import RunFacts
from interlock.simulate.outcome import Outcome
from interlock.simulate.settings import LatencyKind, ReplaySettings

NS_PER_HOUR = 3_600_000_000_000


def broken_invariants(instruments: Sequence[Instrument], settings: ReplaySettings, outcome: Outcome) -> tuple[str, ...]:
    """Names of the invariants that the records break."""
    broken = []
    fills, orders = outcome.fills, outcome.orders
    if np.any(np.diff(fills["exchange_ns"]) < 0):
        broken.append("fills are not in order of exchange time")
    if np.any(fills["lots"] <= 0) or np.any(fills["ticks"] <= 0) or np.any(np.abs(fills["side"]) != 1):
        broken.append("a fill without positive price and size or without a side")
    for k, instrument in enumerate(instruments):
        own = fills[fills["instrument"] == k]
        position = settings.instruments[instrument.key].start_lots + running(times(own["side"].astype(np.int64), own["lots"]))
        if np.any(position != own["position_lots"]):
            broken.append(f"{instrument.key}: positions are not the sum of fills")
    if len(orders):
        if np.any(orders["filled_lots"] > orders["lots"]) or np.any(orders["filled_lots"] < 0):
            broken.append("an order filled beyond its size")
        if len(np.unique(orders["seq"])) != len(orders):
            broken.append("two orders share a number")
    if len(fills) and not np.all(np.isin(fills["seq"], orders["seq"])):
        broken.append("a fill of an order that was never recorded")
    if outcome.local_fills > len(fills):
        broken.append(f"we learned of {outcome.local_fills} fills, the exchange made {len(fills)}")
    return tuple(broken)


def limit_breaches(instruments: Sequence[Instrument], settings: ReplaySettings, outcome: Outcome) -> tuple[str, ...]:
    """Positions beyond their limit."""
    found = []
    for k, instrument in enumerate(instruments):
        own = settings.instruments[instrument.key]
        held = outcome.fills["position_lots"][outcome.fills["instrument"] == k]
        most = max(abs(own.start_lots), int(np.abs(held).max()) if len(held) else 0)
        if most > own.max_position_lots:
            found.append(f"{instrument.key}: a position of {most} lots beyond the limit of {own.max_position_lots}")
    return tuple(found)


def missing_costs(facts: RunFacts, ledger: Ledger) -> tuple[str, ...]:
    """Costs that a venue charges and this run did not pay."""
    found = []
    for k, account in enumerate(ledger.instruments):
        name = account.instrument.key
        if account.taker_rate <= 0 and account.taker_turnover:
            found.append(f"taker fee of {name}")
        if account.maker_rate == 0 and account.maker_turnover and account.instrument.fees.condition == "none":
            found.append(f"maker fee of {name}")
        if _funding_missing(facts, k, account):
            found.append(f"funding of {name}")
    for venue, own in sorted(facts.settings.venues.items()):
        if own.latency is LatencyKind.CONSTANT and min(own.order_ns, own.response_ns) * facts.settings.latency_factor == 0:
            found.append(f"latency of {venue}")
    if not facts.settings.partial_fills:
        found.append("depth of the book (partial fills are off)")
    return tuple(found)


def _funding_missing(facts: RunFacts, k: int, account: InstrumentAccount) -> bool:
    """Whether a position was held across a settlement time and no settlement of the instrument is known."""
    hours = account.instrument.funding_interval_h
    if account.instrument.kind is not Kind.PERPETUAL or not hours:
        return False
    if np.any(facts.outcome.fundings["instrument"] == k):
        return False
    samples = facts.outcome.samples[facts.outcome.samples["instrument"] == k]
    period = samples["exchange_ns"] // (hours * NS_PER_HOUR)
    crossed = period[1:] != period[:-1]
    return bool(np.any(crossed & (samples["position_lots"][:-1] != 0) & (samples["position_lots"][1:] != 0)))


def assumed_rebates(ledger: Ledger) -> tuple[str, ...]:
    """Instruments whose result rests on a rebate."""
    return tuple(a.instrument.key for a in ledger.instruments if a.rebates > Decimal(0))
