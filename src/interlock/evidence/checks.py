"""Checks of a run's own records: invariants that must hold, limits that must not be passed, costs that must not be missing."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import numpy as np

from interlock.domain.instruments import Instrument, Kind
from interlock.evidence.accounting import InstrumentAccount, Ledger
from interlock.evidence.exact import running, times
from interlock.evidence.facts import RunFacts
from interlock.evidence.report_numbers import utc
from interlock.market.columns import RowKind
from interlock.simulate.outcome import Outcome
from interlock.simulate.settings import LatencyKind, ReplaySettings

NS_PER_HOUR = 3_600_000_000_000
SETTLEMENT_SLACK_NS = 60_000_000_000
"""Venues stamp a settlement some milliseconds, and at worst seconds, off its instant."""


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
    window, settled = exchange_window(facts), facts.rows[facts.rows["kind"] == RowKind.FUNDING]
    for k, account in enumerate(ledger.instruments):
        name = account.instrument.key
        if account.taker_rate <= 0 and account.taker_turnover:
            found.append(f"taker fee of {name}")
        if account.maker_rate == 0 and account.maker_turnover and account.instrument.fees.condition == "none":
            found.append(f"maker fee of {name}")
        if unpaid := _unpaid_settlements(facts, k, account, window, settled):
            found.append(f"funding of {name} {_settlement_words(unpaid)}")
    for venue, own in sorted(facts.settings.venues.items()):
        if own.latency is LatencyKind.CONSTANT and min(own.order_ns, own.response_ns) * facts.settings.latency_factor == 0:
            found.append(f"latency of {venue}")
    if not facts.settings.partial_fills:
        found.append("depth of the book (partial fills are off)")
    return tuple(found)


def exchange_window(facts: RunFacts) -> tuple[int, int]:
    """First and last exchange time of what the run saw, rows of the tape and samples; (0, 0) without either.

    Receive times lie later: a settlement between the last event and its arrival was never part of the run.
    """
    ends = [own for own in (facts.rows, facts.outcome.samples) if len(own)]
    if not ends:
        return 0, 0
    first = min(int(own["exchange_ns"].min()) for own in ends)
    last = max(int(own["exchange_ns"].max()) for own in ends)
    return first, min(last, facts.outcome.end_ns)


def _unpaid_settlements(facts: RunFacts, k: int, account: InstrumentAccount, window: tuple[int, int], settled: np.ndarray) -> list[int]:
    """Settlement instants at which a position was held and of which neither the tape (`settled`, its FUNDING rows) nor the account knows.

    Instants are the multiples of the funding interval, UTC, after the first exchange time of the run and not after its last; a settlement
    within SETTLEMENT_SLACK_NS is that of the instant.
    """
    if account.instrument.kind is not Kind.PERPETUAL or not account.instrument.funding_interval_h:
        return []
    interval = account.instrument.funding_interval_h * NS_PER_HOUR
    first, last = window
    instants = np.arange((first // interval + 1) * interval, last + 1, interval, dtype=np.int64)
    paid = facts.outcome.fundings
    known = np.sort(np.r_[settled["exchange_ns"][settled["instrument"] == k], paid["exchange_ns"][paid["instrument"] == k]])
    near = np.searchsorted(known, instants + SETTLEMENT_SLACK_NS, side="right") > np.searchsorted(known, instants - SETTLEMENT_SLACK_NS)
    own = facts.outcome.fills[facts.outcome.fills["instrument"] == k]
    positions = np.r_[account.opening_lots, own["position_lots"]]
    held = positions[np.searchsorted(own["exchange_ns"], instants)]
    return [int(at) for at in instants[~near & (held != 0)]]


def _settlement_words(at_ns: list[int]) -> str:
    more = f" and {len(at_ns) - 1} more" if len(at_ns) > 1 else ""
    return f"settled at {utc(at_ns[0])} UTC{more}"


def assumed_rebates(ledger: Ledger) -> tuple[str, ...]:
    """Instruments whose result rests on a rebate."""
    return tuple(a.instrument.key for a in ledger.instruments if a.rebates > Decimal(0))
