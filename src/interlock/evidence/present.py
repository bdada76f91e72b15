"""From the evidence of a run to what its report shows. Nothing is measured here and nothing invented: what does not exist is left out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from interlock.evidence import present_series as series
from interlock.evidence import present_tables as tables
from interlock.evidence.exact import exact
from interlock.evidence.facts import RunFacts, StrategyKind
from interlock.evidence.present_figures import bp, key_figures
from interlock.evidence.present_words import PARTS, QUEUES, listed, sentence, world_name
from interlock.evidence.report_data import BreakEven, Fragility, Origin, Part, ReportData, World
from interlock.evidence.report_numbers import duration, figure
from interlock.evidence.result import Evidence
from interlock.evidence.verdict import Reason

METHODS = {"fills fixed": "computed, fills held fixed", "not run": "not run"}
OF_TRADING = "in every world the net of trading alone, without the held opening inventory"
DATA = {"real": "recorded", "constructed": "constructed", "synthetic": "synthetic"}


def report_data(facts: RunFacts, evidence: Evidence, manifest_lines: Sequence[tuple[str, str]]) -> ReportData:
    """What the report of a run shows. manifest_lines: (name, text), as `manifest.facts` gives them.

    `evidence` must be of these facts. Raises ValueError where samples are incomplete.
    """
    outcome = facts.outcome
    # The order of the evidence's own arrays by fill.
    fills = outcome.fills[np.argsort(outcome.fills["exchange_ns"], kind="stable")]
    return ReportData(
        title=title(facts),
        run_id=facts.run_id,
        summary=summary(facts),
        origin=Origin(
            facts.flow_venue or "not named", facts.fee_venue or "not named", facts.latency_source or "not named", facts.provenance
        ),
        start_ns=outcome.start_ns,
        end_ns=outcome.end_ns,
        verdict=evidence.judgement.verdict.value,
        verdict_reasons=tuple(_reason(reason, evidence) for reason in evidence.judgement.reasons),
        net=evidence.edge.net,
        traded=evidence.traded if evidence.ledger.opened_with_inventory else None,
        currency=evidence.edge.currency,
        key_figures=key_figures(facts, evidence),
        fragility=Fragility(worlds(facts, evidence), break_evens(facts, evidence)),
        equity=series.equity(evidence),
        inventories=series.inventories(facts),
        prices=series.prices(facts, fills),
        premiums=series.premiums(facts, fills),
        parts=parts(evidence),
        maker_rates=tables.maker_rates(evidence),
        markouts=tables.markouts(evidence, fills),
        orders=tables.orders(facts),
        refusals=tables.refusals(facts),
        tables=tables.tables(facts, evidence, fills),
        manifest=tuple(manifest_lines),
    )


def title(facts: RunFacts) -> str:
    """What was done with what, where."""
    instruments = facts.instruments
    if facts.kind is StrategyKind.MAKING:
        venues = dict.fromkeys(i.venue for i in instruments)
        return f"Market making: {listed(tuple(i.symbol for i in instruments))} on {listed(tuple(venues))}"
    coins = tuple(dict.fromkeys(instruments[pair.spot].base for pair in facts.pairs))
    spots = tuple(dict.fromkeys(instruments[pair.spot].venue for pair in facts.pairs))
    perps = tuple(dict.fromkeys(instruments[pair.perp].venue for pair in facts.pairs))
    return f"Arbitrage: {listed(coins)}, {listed(spots)} spot against {listed(perps)} perpetual"


def summary(facts: RunFacts) -> str:
    """Strategy, mode, span, venues, instruments and the model's main choices in a line."""
    outcome = facts.outcome
    span = duration(outcome.end_ns - outcome.start_ns)
    what = "bars" if facts.bars else "order books"
    keys = tuple(i.key for i in facts.instruments)
    return (
        f"Strategy {facts.strategy}: {facts.mode} of {span} of {DATA[facts.provenance]} {what}; {listed(keys)}; "
        f"{QUEUES[facts.settings.queue]}"
    )


def _reason(reason: Reason, evidence: Evidence) -> str:
    """A rule that held, in words; where it is not what gave the verdict, what it alone would have given."""
    if reason.verdict is evidence.judgement.verdict:
        return reason.text
    return sentence(f"{reason.text.removesuffix('.')} (alone: {reason.verdict})")


def worlds(facts: RunFacts, evidence: Evidence) -> tuple[World, ...]:
    """The worlds of the fragility card, the run itself first; their nets are of trading. Where fills were held fixed, so were round trips."""
    count = len(evidence.trips.closed)
    ordered = sorted(evidence.fragility.worlds, key=lambda w: w.method != "base")
    return tuple(
        World(
            name=world_name(w.name, facts.settings.queue),
            net=w.net,
            round_trips=count if w.method in ("base", "fills fixed") else None,
            note=METHODS.get(w.method, OF_TRADING if w.method == "base" and evidence.ledger.opened_with_inventory else ""),
            base=w.method == "base",
        )
        for w in ordered
    )


@exact
def break_evens(facts: RunFacts, evidence: Evidence) -> tuple[BreakEven, ...]:
    """Where the net of trading becomes zero; without what was never traded or never run."""
    card = evidence.fragility
    rows = []
    if card.break_even_fee is not None:
        note = "that every fee could rise" if card.break_even_fee > 0 else "every fee would have to fall by this"
        rows.append(BreakEven("Fees", bp(card.break_even_fee), "bp", f"{note}, fills held fixed"))
    if card.break_even_maker_rate is not None and facts.kind is StrategyKind.MAKING:
        rates = sorted({bp(a.maker_rate) for a in evidence.ledger.instruments})
        in_force = ", ".join(figure(rate) for rate in rates)
        rows.append(BreakEven("Maker rate", bp(card.break_even_maker_rate), "bp", f"in force: {in_force} bp; below zero is a rebate"))
    if card.net("latency_x2") is not None:
        factor = card.break_even_latency_factor
        note = "it loses as run" if factor is None else "the largest of 1, 2, 4, 8 up to which it earns"
        rows.append(BreakEven("Latency", None if factor is None else float(factor), "x", note))
    if card.break_even_fx_error is not None:
        rows.append(BreakEven("FX error", 100 * float(card.break_even_fx_error), "%", "of KRW per USDT, fills held fixed"))
    return tuple(rows)


def parts(evidence: Evidence) -> tuple[Part, ...]:
    """The parts of net in the attribution's order. Parts of exactly zero are left out, but for the residual of a run that has others."""
    found = [(name, value) for name, value in evidence.edge.parts.items() if value != 0 or name == "residual"]
    if all(value == 0 for _, value in found):
        return ()
    return tuple(
        Part(words[0], value, words[1]) for name, value in found for words in [PARTS.get(name, (name.replace("_", " ").capitalize(), ""))]
    )
