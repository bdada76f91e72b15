"""The key figures of a report: what an operator wants to know within a minute, money with its currency, n/a with the reason."""

from __future__ import annotations

from decimal import Decimal

import numpy as np

from interlock.evidence.exact import decimal_sum, exact
from interlock.evidence.facts import RunFacts, StrategyKind
from interlock.evidence.report_data import KeyFigure
from interlock.evidence.report_numbers import NONE, figure, fixed, money, utc
from interlock.evidence.result import Evidence
from interlock.evidence.verdict import wilson_lower_bound
from interlock.simulate.reasons import GATE_DENIAL, Reason

NS_PER_S = 1_000_000_000
LAST_DENIAL = 32
"""Reasons below are denials on our side."""


@exact
def key_figures(facts: RunFacts, evidence: Evidence) -> tuple[KeyFigure, ...]:
    """Every tile, the most important first."""
    making = facts.kind is StrategyKind.MAKING
    return (
        *_net(evidence),
        _round_trips(facts, evidence),
        _win_rate(evidence),
        *_of_trips(evidence),
        _drawdown(evidence),
        *_costs(facts, evidence),
        _turnover(facts, evidence),
        _share("Maker share", evidence.kpi["maker_share"], "of turnover", "nothing was traded"),
        _time_quoting(evidence) if making else _inventory_blocked(evidence),
        _capital(evidence),
        _submitted(facts),
        _fill_ratios(evidence),
        _slippage(evidence),
        *_loop_latency(evidence),
    )


def _net(evidence: Evidence) -> tuple[KeyFigure, ...]:
    """What trading gave, what the opening inventory gave by being held, and their sum; only the sum where nothing was held at the start."""
    edge, amounts = evidence.edge, evidence.ledger.net
    opened = evidence.ledger.opened_with_inventory
    note = "traded and held together, all costs, what is left sold out" if opened else "all costs, what is left sold out"
    if len(amounts) > 1:
        note += ": " + ", ".join(f"{money(amount, code, plus=True)} {code}" for code, amount in sorted(amounts.items()))
    net = KeyFigure("Net", money(edge.net, edge.currency, plus=True), edge.currency, note)
    if not opened:
        return (net,)
    traded = "net of trading, after its costs: what the verdict judges"
    held = "what it gave by being held alone, no order sent: price moves, funding, closing"
    return (
        KeyFigure("Traded", money(evidence.traded, edge.currency, plus=True), edge.currency, traded),
        KeyFigure("Held opening inventory", money(evidence.held, edge.currency, plus=True), edge.currency, held),
        net,
    )


def _round_trips(facts: RunFacts, evidence: Evidence) -> KeyFigure:
    trips = evidence.trips
    note = "flat to flat" if facts.kind is StrategyKind.MAKING else "both legs closed"
    return KeyFigure("Round trips", f"{len(trips.closed):,}", "", f"{note}; {trips.entries:,} entry fills, {trips.exits:,} exit fills")


def _win_rate(evidence: Evidence) -> KeyFigure:
    trips = evidence.trips
    count = len(trips.closed)
    if count == 0:
        return KeyFigure("Win rate", NONE, "", "no round trip was completed")
    bound = 100 * wilson_lower_bound(trips.wins, count)
    note = f"{trips.wins:,} won, {trips.losses:,} lost after costs; with 95 % confidence above {bound:.0f} %"
    return KeyFigure("Win rate", fixed(100 * trips.wins / count, 1), "%", note)


def _of_trips(evidence: Evidence) -> tuple[KeyFigure, ...]:
    """What closed round trips earned, where that is not the whole of net."""
    trips, code = evidence.trips.closed, evidence.into.into
    earned = decimal_sum(t.net for t in trips)
    if not trips or earned in (evidence.edge.net, evidence.traded):
        return ()
    note = "after costs; the rest of net is on what was held at the start or the end"
    return (KeyFigure("Net of round trips", money(earned, code, plus=True), code, note),)


def _drawdown(evidence: Evidence) -> KeyFigure:
    curve, code = evidence.curve, evidence.into.into
    if len(curve.points) == 0:
        return KeyFigure("Largest drawdown", NONE, "", "there are no samples of the equity")
    note = "total equity at mid"
    if curve.drawdown > 0 and curve.drawdown_fraction is not None:
        note = f"{figure(100 * curve.drawdown_fraction)} % of the total equity before, at mid; lowest at {utc(curve.trough_ns)}"
    return KeyFigure("Largest drawdown", money(curve.drawdown, code), code, note)


def _costs(facts: RunFacts, evidence: Evidence) -> tuple[KeyFigure, ...]:
    ledger, into = evidence.ledger, evidence.into
    fees = -into.sum(ledger.by_currency(lambda a: a.fees))
    rebates = into.sum(ledger.by_currency(lambda a: a.rebates))
    funding = into.sum(ledger.by_currency(lambda a: a.funding))
    turnover = into.sum(ledger.by_currency(lambda a: a.maker_turnover + a.taker_turnover))
    programmes = sorted({a.instrument.fees.condition for a in ledger.instruments if a.maker_rate < 0})
    if rebates:
        rebate_note = f"condition: {', '.join(programmes)}"
    else:
        rebate_note = "no resting order was filled" if programmes else "the fee profile grants none"
    times = len(facts.outcome.fundings)
    return (
        KeyFigure("Fees paid", money(fees, into.into), into.into, f"{figure(10_000 * fees / turnover)} bp of turnover" if turnover else ""),
        KeyFigure("Rebates", money(rebates, into.into), into.into, rebate_note),
        KeyFigure("Funding", money(funding, into.into, plus=True), into.into, _settlements(times)),
    )


def _settlements(times: int) -> str:
    if times == 0:
        return "no settlement was held through"
    return f"{times:,} payment{'s' if times > 1 else ''}; above zero is received"


def _turnover(facts: RunFacts, evidence: Evidence) -> KeyFigure:
    into = evidence.into
    turnover = into.sum(evidence.ledger.by_currency(lambda a: a.maker_turnover + a.taker_turnover))
    note = f"{len(facts.outcome.fills):,} fills"
    if turnover:
        what = "traded" if evidence.ledger.opened_with_inventory else "net"
        note += f"; {what} is {figure(10_000 * evidence.traded / turnover, plus=True)} bp of it"
    return KeyFigure("Turnover", money(turnover, into.into), into.into, note)


def _share(label: str, value: float | None, note: str, why_not: str) -> KeyFigure:
    return KeyFigure(label, NONE, "", why_not) if value is None else KeyFigure(label, fixed(100 * value, 1), "%", note)


def _time_quoting(evidence: Evidence) -> KeyFigure:
    value = evidence.kpi["time_quoting_pct"]
    if value is None:
        return KeyFigure("Time quoting", NONE, "", "there are no samples of the book")
    return KeyFigure("Time quoting", fixed(value, 1), "%", "of the samples, bid and ask both resting")


def _inventory_blocked(evidence: Evidence) -> KeyFigure:
    value = evidence.kpi["time_inventory_blocked_pct"]
    if value is None:
        return KeyFigure("Inventory blocked", NONE, "", "there are no samples of the spot legs")
    return KeyFigure("Inventory blocked", fixed(value, 1), "%", "of the samples, no spot left to sell")


def _capital(evidence: Evidence) -> KeyFigure:
    code = evidence.into.into
    value = evidence.into.sum(evidence.ledger.initial_equity)
    if value <= 0:
        return KeyFigure("Capital employed", NONE, "", "the run began without cash or coins")
    note = f"cash and coins at the start; return {figure(100 * evidence.edge.net / value, plus=True)} %"
    return KeyFigure("Capital employed", money(value, code), code, note)


def _submitted(facts: RunFacts) -> KeyFigure:
    outcome = facts.outcome
    codes = Reason.__members__
    denied = sum(n for name, n in outcome.counts.items() if name.upper() in codes and codes[name.upper()] < LAST_DENIAL)
    by_gate = sum(n for name, n in outcome.counts.items() if name.startswith(GATE_DENIAL))
    seconds = (outcome.end_ns - outcome.start_ns) / NS_PER_S
    parts = []
    if outcome.submitted and seconds > 0:
        a_second = outcome.submitted / seconds
        parts = [f"{figure(a_second)} a second" if a_second >= 0.1 else f"{figure(86_400 * a_second)} a day"]
    parts += [f"{denied:,} requests denied by our own limits"] if denied else []
    parts += [f"{by_gate:,} held up by the gate"] if by_gate else []
    return KeyFigure("Orders submitted", f"{outcome.submitted:,}", "", "; ".join(parts))


def _fill_ratios(evidence: Evidence) -> KeyFigure:
    done = evidence.execution
    if done.buy_fill_ratio is None and done.sell_fill_ratio is None:
        return KeyFigure("Fill ratio, buy / sell", NONE, "", "no order was sent")
    parts = [
        f"{name} {fixed(100 * value, 1)} %"
        for name, value in (("resting orders", done.maker_fill_ratio), ("taking orders", done.taker_fill_ratio))
        if value is not None
    ]
    return KeyFigure("Fill ratio, buy / sell", _two(done.buy_fill_ratio, done.sell_fill_ratio, 100), "%", "; ".join(parts))


def _slippage(evidence: Evidence) -> KeyFigure:
    done = evidence.execution
    if done.buy_slippage_bps is None and done.sell_slippage_bps is None:
        return KeyFigure("Slippage, buy / sell", NONE, "", "no fill has a mid at its decision")
    note = "price against the mid at the decision; below zero is in our favour"
    return KeyFigure("Slippage, buy / sell", _two(done.buy_slippage_bps, done.sell_slippage_bps, 1), "bp", note)


def _two(first: float | None, second: float | None, scale: int) -> str:
    return " / ".join(NONE if value is None else fixed(scale * value, 1) for value in (first, second))


def _loop_latency(evidence: Evidence) -> tuple[KeyFigure, ...]:
    """Only where it was measured."""
    mean, high = evidence.kpi["avg_loop_latency_ms"], evidence.kpi["loop_latency_p99_ms"]
    if mean is None or high is None or not np.isfinite(high):
        return ()
    return (KeyFigure("Frame to intent", figure(1000 * float(mean)), "µs", f"mean; 99 % below {figure(1000 * float(high))} µs"),)


def bp(rate: Decimal) -> float:
    """A fraction in basis points."""
    return float(10_000 * rate)
