"""From the facts of a run to its evidence: account, trips, edge, fragility, verdict, figures. Pure; nothing is written here."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from decimal import Decimal

import numpy as np

from interlock.evidence import checks
from interlock.evidence.accounting import InstrumentAccount, Ledger, build_ledger
from interlock.evidence.curve import equity_curve
from interlock.evidence.deciles import expected_against_realised
from interlock.evidence.edge import RESIDUAL_LIMIT
from interlock.evidence.edge_arbitrage import arbitrage_edge
from interlock.evidence.edge_making import making_edge
from interlock.evidence.exact import added, exact
from interlock.evidence.execution import ATTRIBUTION, execution, markouts_bps, weights
from interlock.evidence.facts import RunFacts, StrategyKind
from interlock.evidence.fragility import fragility_card
from interlock.evidence.kpi import complete
from interlock.evidence.kpi_values import kpi_values
from interlock.evidence.marks import closing_quotes, fx_instrument, run_marks
from interlock.evidence.result import Evidence, Findings, SymbolResult
from interlock.evidence.settlements import tape_settlements
from interlock.evidence.translate import Translation, report_translation
from interlock.evidence.trips import arbitrage_trips, making_trips
from interlock.evidence.verdict import judge
from interlock.evidence.verdict_input import verdict_input
from interlock.simulate.outcome import Outcome
from interlock.simulate.settings import ReplaySettings

SYMBOL_AMOUNTS: tuple[Callable[[InstrumentAccount], Decimal], ...] = (
    lambda a: a.net,
    lambda a: a.maker_turnover + a.taker_turnover,
    lambda a: a.traded,
    lambda a: a.held,
)
"""What a `SymbolResult` sums over its instruments, in its order."""


@exact
def build_evidence(facts: RunFacts) -> Evidence:
    """Account, attribute, vary and judge a run.

    Raises CurrencyMismatch where the result cannot be translated, UsageError where a position has no price.
    """
    found = findings(facts)
    judgement = judge(verdict_input(facts, found))
    parts = {field.name: getattr(found, field.name) for field in dataclasses.fields(found)}
    return Evidence(**parts, judgement=judgement, kpi=complete(kpi_values(facts, found, judgement)))


@exact
def findings(facts: RunFacts) -> Findings:
    """Everything but the verdict and the figures."""
    broken = (*facts.broken_invariants, *checks.broken_invariants(facts.instruments, facts.settings, facts.outcome))
    facts = dataclasses.replace(facts, outcome=_in_order(facts.outcome))
    outcome, settings = facts.outcome, facts.settings
    into = report_translation({i.quote for i in facts.instruments}, facts.reporting)
    marks = run_marks(facts)
    settlements = tape_settlements(facts.rows, facts.exchange_order, facts.instruments)
    ledger = build_ledger(facts.instruments, settings, outcome, marks.closing, settlements)
    if facts.kind is StrategyKind.MAKING:
        trips = making_trips(ledger.instruments, outcome.fills, outcome.fundings, into, outcome.start_ns)
        edge = making_edge(ledger, outcome.fills, marks.later_twice[ATTRIBUTION], into)
    else:
        trips = arbitrage_trips(ledger.instruments, facts.pairs, outcome.fills, outcome.fundings, into)
        edge = arbitrage_edge(ledger, facts.pairs, outcome.fills, marks.pairs, into, fx_instrument(facts.instruments))
    if abs(edge.residual) > RESIDUAL_LIMIT:
        broken = (*broken, f"the edge leaves {edge.residual:.3e} {edge.currency} unexplained")

    def net_of(other: Outcome, changed: ReplaySettings) -> Decimal:
        quotes = closing_quotes(facts, other, marks.closing)
        return into.sum(build_ledger(facts.instruments, changed, other, quotes, settlements).traded)

    weight = weights(ledger.instruments, into)
    return Findings(
        into=into,
        ledger=ledger,
        traded=into.sum(ledger.traded),
        held=into.sum(ledger.held),
        trips=trips,
        edge=edge,
        curve=equity_curve(ledger, outcome.fills, outcome.fundings, outcome.samples, into),
        execution=execution(outcome.fills, outcome.orders, weight),
        markouts_bps=markouts_bps(outcome.fills, marks.later_twice, weight),
        later_twice=marks.later_twice,
        symbols=_symbols(facts, ledger, into),
        deciles=expected_against_realised(trips.closed, facts.expected_edge_bps),
        fragility=fragility_card(facts.kind, outcome, settings, ledger, into, net_of, facts.rerun),
        broken_invariants=broken,
    )


def _in_order(outcome: Outcome) -> Outcome:
    """Fills and payments by exchange time, whatever the order they were written in."""
    fills, paid = outcome.fills, outcome.fundings
    if np.all(np.diff(fills["exchange_ns"]) >= 0) and np.all(np.diff(paid["exchange_ns"]) >= 0):
        return outcome
    return dataclasses.replace(
        outcome,
        fills=fills[np.argsort(fills["exchange_ns"], kind="stable")],
        fundings=paid[np.argsort(paid["exchange_ns"], kind="stable")],
    )


def _symbols(facts: RunFacts, ledger: Ledger, into: Translation) -> tuple[SymbolResult, ...]:
    """By pair for arbitrage, by instrument for what is in no pair."""
    paired = {leg for pair in facts.pairs for leg in (pair.spot, pair.perp)}
    groups = [(pair.spot, pair.perp) for pair in facts.pairs] + [(k,) for k in range(len(facts.instruments)) if k not in paired]
    rows = []
    for group in groups:
        accounts = [ledger.instruments[k] for k in group]
        net, turnover, traded, held = (into.sum(added(*({a.currency: amount(a)} for a in accounts))) for amount in SYMBOL_AMOUNTS)
        rows.append(SymbolResult("/".join(a.instrument.key for a in accounts), net, turnover, traded, held))
    return tuple(rows)
