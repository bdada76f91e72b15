"""The figures of kpi.json, computed from facts and findings. Formulas and units: `kpi.SCHEMA`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np

from interlock.domain.instruments import Kind
from interlock.evidence.accounting import Ledger, VenueAccount
from interlock.evidence.curve import time_inventory_blocked_pct, time_quoting_pct
from interlock.evidence.exact import PerCurrency, exact, plain
from interlock.evidence.facts import ReportingRate, RunFacts, StrategyKind
from interlock.evidence.fragility import BP, net_at_maker_rates
from interlock.evidence.kpi_fields import KPI_SCHEMA
from interlock.evidence.result import Findings, SymbolResult
from interlock.evidence.translate import Translation, translation
from interlock.evidence.trips import fifo_realised
from interlock.evidence.verdict import Judgement
from interlock.simulate.outcome import Ending

NS_PER_S = 1_000_000_000
ACCOUNT_AMOUNTS = (
    "opening_cash",
    "closing_cash",
    "spot_trades",
    "derivatives",
    "fees",
    "rebates",
    "funding",
    "inventory_opening",
    "inventory_closing",
    "liquidation",
    "initial_equity",
    "final_equity_mid",
    "final_equity",
)
EXIT_CODES = {Ending.COMPLETE: 0, Ending.LIQUIDATED: 1, Ending.INTERRUPTED: 130}


@exact
def kpi_values(facts: RunFacts, found: Findings, judgement: Judgement) -> dict[str, Any]:
    """Every key of the schema but `not_applicable`."""
    return {
        **_identity(facts),
        **_money(facts, found),
        **_trades(facts, found),
        **_edge(facts, found),
        **_process(facts),
        "verdict": judgement.verdict.value,
        "verdict_reasons": [str(reason) for reason in judgement.reasons],
        "verdict_rules": [{"rule": reason.rule, "verdict": reason.verdict.value} for reason in judgement.reasons],
    }


def _identity(facts: RunFacts) -> dict[str, Any]:
    outcome = facts.outcome
    return {
        "kpi_schema": KPI_SCHEMA,
        "run_id": facts.run_id,
        "session_id": facts.session_id,
        "mode": facts.mode,
        "environment": facts.environment,
        "strategy": facts.strategy,
        "strategy_kind": facts.kind.value,
        "universe_mode": facts.universe_mode,
        "data_provenance": facts.provenance,
        "config_digest": facts.config_digest,
        "flow_venue": facts.flow_venue,
        "fee_venue": facts.fee_venue,
        "latency_source": facts.latency_source,
        "feed_latency": facts.feed_latency,
        "depth_interval_ms": facts.depth_interval_ms,
        "start_time": outcome.start_ns / NS_PER_S,
        "end_time": outcome.end_ns / NS_PER_S,
        "start_timestamp": utc_text(outcome.start_ns),
        "end_timestamp": utc_text(outcome.end_ns),
        "duration_seconds": (outcome.end_ns - outcome.start_ns) / NS_PER_S,
        "wall_seconds": (facts.wall_end_ns - facts.wall_start_ns) / NS_PER_S,
        "exit_code": EXIT_CODES[outcome.ending] if facts.exit_code is None else facts.exit_code,
    }


def utc_text(at_ns: int) -> str:
    """Nanoseconds since the epoch as ISO 8601 UTC with microseconds."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at_ns // 1000)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def _translated(into: Translation, amounts: PerCurrency) -> Decimal | None:
    return into.sum(amounts) if into.knows(code for code, amount in amounts.items() if amount != 0) else None


def _number(value: Decimal | None) -> float | None:
    return None if value is None else float(value)


def _money(facts: RunFacts, found: Findings) -> dict[str, Any]:
    ledger, into = found.ledger, found.into
    usd, krw = (translation(code, facts.reporting) for code in ("USD", "KRW"))
    # Without USD per USDT nothing is a dollar amount, and a zero would be an invented one.
    currencies = {v.currency for v in ledger.venues}
    in_usd, in_krw = usd.knows(currencies), krw.knows(currencies)
    amounts: dict[str, Decimal | None] = {
        "total_pnl_usd": _translated(usd, ledger.net) if in_usd else None,
        "total_pnl_krw": _translated(krw, ledger.net) if in_krw else None,
        "pnl_held": found.held,
        "pnl_traded": found.traded,
        "initial_equity_usd": _translated(usd, ledger.initial_equity) if in_usd else None,
        "final_equity_usd": _translated(usd, ledger.final_equity) if in_usd else None,
        "final_equity_mid_usd": _translated(usd, ledger.final_equity_mid) if in_usd else None,
        "max_drawdown": found.curve.drawdown,
        "fees": into.sum(ledger.by_currency(lambda a: a.fees)),
        "rebates": into.sum(ledger.by_currency(lambda a: a.rebates)),
        "funding": into.sum(ledger.by_currency(lambda a: a.funding)),
        "volume": into.sum(ledger.by_currency(lambda a: a.maker_turnover + a.taker_turnover)),
        "translation_of_opening_balances": _opening_translation(facts, ledger, into),
    }
    initial = into.sum(ledger.initial_equity)
    amounts["capital_employed"] = initial if initial > 0 else None
    return {
        **{name: _number(value) for name, value in amounts.items()},
        "pnl_by_currency": {code: {"amount": float(v), "exact": plain(v)} for code, v in ledger.net.items()},
        "pnl_rates": {
            "usd_per_usdt": _rate(facts.reporting.usd_per_usdt),
            "krw_per_usdt": _rate(facts.reporting.krw_per_usdt),
            "krw_per_usdt_open": _rate(facts.reporting.krw_per_usdt_open),
        },
        "report_currency": into.into,
        "roi_pct": float(100 * found.edge.net / initial) if initial > 0 else None,
        "max_drawdown_pct": None if found.curve.drawdown_fraction is None else float(100 * found.curve.drawdown_fraction),
        "peak_margin_used": _peak_margin(facts),
        "accounts": [_account(v) for v in ledger.venues],
        "realised_pnl": _realised(facts, ledger),
        "exact": {name: plain(value) for name, value in amounts.items() if value is not None}
        | {"edge_net": plain(found.edge.net)}
        | {f"edge.{name}": plain(value) for name, value in found.edge.parts.items()},
    }


def _rate(rate: ReportingRate | None) -> dict[str, Any] | None:
    return None if rate is None else {"value": plain(rate.value), "source": rate.source, "as_of": utc_text(rate.as_of_ns)}


def _opening_translation(facts: RunFacts, ledger: Ledger, into: Translation) -> Decimal | None:
    """What the opening KRW gained or lost against the report's currency between the opening rate and the closing rate."""
    opening, closing = facts.reporting.krw_per_usdt_open, facts.reporting.krw_per_usdt
    if opening is None or closing is None or "KRW" not in into.factors or "USDT" not in into.factors:
        return None
    krw = ledger.opening_cash.get("KRW", Decimal(0))
    return krw * into.factors["USDT"] * (1 / closing.value - 1 / opening.value)


def _peak_margin(facts: RunFacts) -> dict[str, dict[str, Any]]:
    """By venue that has derivatives; the matching model's own float, read as the decimal that it prints as."""
    result = {}
    for number, venue in enumerate(sorted({i.venue for i in facts.instruments})):
        settle = [i.settle for i in facts.instruments if i.venue == venue and i.kind is Kind.PERPETUAL]
        if not settle:
            continue
        result[venue] = {"amount": float(facts.outcome.peak_margin.get(number, 0.0)), "currency": settle[0]}
    return result


def _account(account: VenueAccount) -> dict[str, str]:
    return {"venue": account.venue, "currency": account.currency, **{name: plain(getattr(account, name)) for name in ACCOUNT_AMOUNTS}}


def _realised(facts: RunFacts, ledger: Ledger) -> dict[str, dict[str, str]]:
    result = {}
    for k, account in enumerate(ledger.instruments):
        own = facts.outcome.fills[facts.outcome.fills["instrument"] == k]
        realised = account.unit * fifo_realised(account.opening_lots, account.quote.first_mid_twice, own)
        result[account.instrument.key] = {
            "currency": account.currency,
            "realised": plain(realised),
            "unrealised": plain(account.price_move - realised),
        }
    return result


def _trades(facts: RunFacts, found: Findings) -> dict[str, Any]:
    outcome, trips, done = facts.outcome, found.trips, found.execution
    making = facts.kind is StrategyKind.MAKING
    count = len(trips.closed)
    spots = [pair.spot for pair in facts.pairs]
    return {
        "round_trips_completed": count,
        "entry_trades": trips.entries,
        "exit_trades": trips.exits,
        "wins": trips.wins,
        "losses": trips.losses,
        "win_rate": trips.wins / count if count else None,
        "win_rate_pct": 100 * trips.wins / count if count else None,
        "exit_reasons": dict(facts.exit_reasons),
        "reject_reasons": dict(outcome.counts),
        "orders_sent": outcome.submitted,
        "fills": len(outcome.fills),
        "avg_buy_slippage_bps": done.buy_slippage_bps,
        "avg_sell_slippage_bps": done.sell_slippage_bps,
        "avg_buy_fill_ratio": done.buy_fill_ratio,
        "avg_sell_fill_ratio": done.sell_fill_ratio,
        "maker_share": done.maker_share,
        "time_quoting_pct": time_quoting_pct(outcome.samples) if making else None,
        "time_inventory_blocked_pct": None if making else time_inventory_blocked_pct(outcome.samples, found.ledger.instruments, spots),
        "markouts_bps": dict(found.markouts_bps) if any(v is not None for v in found.markouts_bps.values()) else None,
    }


def _edge(facts: RunFacts, found: Findings) -> dict[str, Any]:
    making = facts.kind is StrategyKind.MAKING
    break_even = found.fragility.break_even_maker_rate
    return {
        "edge": found.edge.numbers(),
        "edge_net": float(found.edge.net),
        "edge_notes": list(found.edge.notes),
        "net_at_maker_rates": _maker_rates(facts, found) if making else None,
        "break_even_maker_rate_bps": float(break_even / BP) if making and break_even is not None else None,
        "expected_against_realised": None
        if found.deciles is None
        else [
            {"decile": d.number, "trips": d.trips, "expected_bps": float(d.expected_bps), "realised_bps": float(d.realised_bps)}
            for d in found.deciles
        ],
        "fragility": found.fragility.as_json(),
        "pnl_by_symbol": {s.name: _symbol(s) for s in found.symbols},
        "fx_rate_source": None if facts.fx_source == "none" else facts.fx_source,
        "fx_rate_age_sec": facts.fx_age_s,
    }


def _symbol(symbol: SymbolResult) -> dict[str, Any]:
    return {
        "net": float(symbol.net),
        "traded": float(symbol.traded),
        "held": float(symbol.held),
        "turnover": float(symbol.turnover),
        "exact": plain(symbol.net),
        "exact_traded": plain(symbol.traded),
        "exact_held": plain(symbol.held),
    }


def _maker_rates(facts: RunFacts, found: Findings) -> dict[str, Any]:
    """Net of trading at three maker rates; base is null where the profile in force is not "base" and nobody gave the base rate."""
    accounts = found.ledger.instruments
    profile = {a.instrument.key: a.maker_rate for a in accounts}
    base = {a.instrument.key: a.maker_rate for a in accounts if a.instrument.fees.profile == "base"} | dict(facts.base_maker_rate)
    zero = dict.fromkeys(profile, Decimal(0))
    result: dict[str, Any] = {}
    for name, rates in (("base", base), ("profile", profile), ("zero", zero)):
        known: Mapping[str, Decimal] | None = rates if profile.keys() <= rates.keys() else None
        net = None if known is None else net_at_maker_rates(found.ledger, found.into, known)
        result[name] = {
            "net": _number(net),
            "exact": None if net is None else plain(net),
            "rates_bps": None if known is None else {key: float(known[key] / BP) for key in profile},
        }
    return result


def _process(facts: RunFacts) -> dict[str, Any]:
    measured = facts.loop_latency_ns
    known = measured is not None and len(measured) > 0
    return {
        "avg_loop_latency_ms": float(np.mean(measured)) / 1e6 if known and measured is not None else None,
        "loop_latency_p99_ms": float(np.percentile(measured, 99)) / 1e6 if known and measured is not None else None,
        "avg_cpu_percent": facts.cpu_percent,
        "avg_memory_mb": facts.memory_mb,
    }
