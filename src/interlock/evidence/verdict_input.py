"""What the verdict's rules read, taken from the facts and findings of a run."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import numpy as np

from interlock.evidence import checks
from interlock.evidence.curve import largest_hour_share
from interlock.evidence.facts import RunFacts
from interlock.evidence.result import Findings, SymbolResult
from interlock.evidence.verdict import VerdictInput
from interlock.simulate.outcome import Ending


def verdict_input(facts: RunFacts, found: Findings) -> VerdictInput:
    """The typed input of `verdict.judge`."""
    outcome, settings = facts.outcome, facts.settings
    traded = [s for s in found.symbols if s.turnover]
    hour_share, hours = largest_hour_share(found.curve.points)
    return VerdictInput(
        kind=facts.kind,
        net=found.traded,
        held=found.held,
        currency=found.into.into,
        trips=len(found.trips.closed),
        wins=found.trips.wins,
        interrupted=outcome.ending is Ending.INTERRUPTED,
        liquidated=outcome.ending is Ending.LIQUIDATED,
        limit_breaches=checks.limit_breaches(facts.instruments, settings, outcome),
        broken_invariants=found.broken_invariants,
        maker_fills=int(np.count_nonzero(outcome.fills["maker"])),
        markouts_bps=found.markouts_bps,
        taker_fill_ratio=found.execution.taker_fill_ratio,
        maker_fill_ratio=found.execution.maker_fill_ratio,
        symbols=len(traded),
        symbol_share=_largest_share(found.symbols),
        hours=hours,
        hour_share=hour_share,
        worlds={world.name: world.net for world in found.fragility.worlds},
        at_mid_share=found.execution.at_mid_share,
        one_venue_pairs=_one_venue(facts),
        missing_costs=checks.missing_costs(facts, found.ledger),
        symbol_edges_bps=tuple(float(10_000 * s.traded / s.turnover) for s in traded),
        rate_limits_on=facts.rate_limits_on and all(v.budgets for v in settings.venues.values()),
        bars=facts.bars,
        inferred_instruments=facts.inferred_instruments or any(i.inferred for i in facts.instruments),
        assumed_rebates=checks.assumed_rebates(found.ledger),
        implied_fx=facts.fx_source == "implied",
        flow_venue=facts.flow_venue,
        fee_venue=facts.fee_venue,
        provenance=facts.provenance,
    )


def _largest_share(symbols: Sequence[SymbolResult]) -> float | None:
    """The largest part of what trading gave that one symbol gave; None where it earned nothing."""
    traded = sum((s.traded for s in symbols), Decimal(0))
    return float(max(s.traded for s in symbols) / traded) if traded > 0 else None


def _one_venue(facts: RunFacts) -> tuple[str, ...]:
    """Pairs whose legs trade on one venue."""
    found = []
    for pair in facts.pairs:
        spot, perp = facts.instruments[pair.spot], facts.instruments[pair.perp]
        if spot.venue == perp.venue:
            found.append(f"{spot.key}/{perp.symbol}")
    return tuple(found)
