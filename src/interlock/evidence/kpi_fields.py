"""The keys of `kpi.json`, as data. `kpi` checks against them and writes docs/kpi.md from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

KPI_SCHEMA = 1

Type = Literal["number", "integer", "text", "object", "list"]
For = Literal["both", "making", "arbitrage"]


@dataclass(frozen=True, slots=True)
class Field:
    """One key. `strategies` says for which kind it can have a value; `optional` that it may be null for that kind too."""

    name: str
    type: Type
    unit: str
    formula: str
    reference: str = "-"
    sampling: str = "end of run"
    strategies: For = "both"
    optional: bool = False


def _identity() -> tuple[Field, ...]:
    return (
        Field("kpi_schema", "integer", "-", f"version of this schema, {KPI_SCHEMA}", sampling="fixed"),
        Field("run_id", "text", "-", "names the run", sampling="fixed"),
        Field("session_id", "text", "-", "names the session that the run belongs to", sampling="fixed"),
        Field("mode", "text", "-", "replay, paper, shadow, testnet or live", sampling="fixed"),
        Field("environment", "text", "-", "as configured", sampling="fixed"),
        Field("strategy", "text", "-", "name of the strategy", sampling="fixed"),
        Field("strategy_kind", "text", "-", "making or arbitrage", sampling="fixed"),
        Field("universe_mode", "text", "-", "how the instruments were chosen", sampling="fixed"),
        Field("data_provenance", "text", "-", "real, constructed or synthetic", sampling="fixed"),
        Field("config_digest", "text", "-", "SHA-256 of the resolved configuration", sampling="fixed"),
        Field("flow_venue", "text", "-", "venue whose order flow was replayed", sampling="fixed"),
        Field("fee_venue", "text", "-", "venue whose fees were charged", sampling="fixed"),
        Field("latency_source", "text", "-", "where the latencies come from", sampling="fixed"),
        Field("feed_latency", "text", "-", "measured, assumed or none", sampling="fixed"),
        Field("depth_interval_ms", "number", "ms", "time between depth updates of the tape", sampling="fixed", optional=True),
        Field(
            "start_time",
            "number",
            "unix s",
            "start of the market's window: the first event of the tape, not the wall clock",
            sampling="fixed",
        ),
        Field("end_time", "number", "unix s", "end of the market's window: the last event replayed, not the wall clock"),
        Field("start_timestamp", "text", "ISO 8601 UTC", "start_time as text", sampling="fixed"),
        Field("end_timestamp", "text", "ISO 8601 UTC", "end_time as text"),
        Field("duration_seconds", "number", "s", "end_time - start_time, market time"),
        Field("wall_seconds", "number", "s", "how long the process ran"),
        Field("exit_code", "integer", "-", "0 complete, 1 liquidated, 130 interrupted, unless the process says otherwise"),
    )


def _money() -> tuple[Field, ...]:
    mid = "initial: first mid; final: best executable price less taker fee"
    return (
        Field("total_pnl_usd", "number", "USD", "sum over currencies of (final - initial equity) x rate", mid, optional=True),
        Field("total_pnl_krw", "number", "KRW", "the same in KRW", mid, optional=True),
        Field(
            "pnl_held",
            "number",
            "report currency",
            "what merely holding the opening position gave, no orders sent: opening lots x (mid_T - mid_0) + funding on the opening lots "
            "at every settlement of the run - cost of closing them at the end",
            "first mid; last mid; best executable price less taker fee",
        ),
        Field(
            "pnl_traded",
            "number",
            "report currency",
            "what trading gave: total P&L - pnl_held; the verdict and the fragility card judge this one",
            mid,
        ),
        Field("pnl_by_currency", "object", "each currency", "final less initial equity in each currency; `exact` beside it", mid),
        Field("pnl_rates", "object", "-", "rates of the translation, each with value, source and as_of", sampling="as_of"),
        Field("report_currency", "text", "-", "currency of every amount below without a unit of its own", sampling="fixed"),
        Field(
            "translation_of_opening_balances",
            "number",
            "report currency",
            "opening KRW x (closing - opening rate); not part of the P&L",
            optional=True,
        ),
        Field(
            "initial_equity_usd",
            "number",
            "USD",
            "cash of all venues and coins held at the start",
            "first mid",
            "start of run",
            optional=True,
        ),
        Field(
            "final_equity_usd",
            "number",
            "USD",
            "cash of all venues and coins at liquidation value",
            "best executable price less taker fee",
            optional=True,
        ),
        Field("final_equity_mid_usd", "number", "USD", "the same at mid", "last mid", optional=True),
        Field("roi_pct", "number", "%", "100 x (final - initial equity) / initial equity; total, pnl_held included", mid, optional=True),
        Field(
            "max_drawdown",
            "number",
            "report currency",
            "largest fall of total equity, the opening position included, from an earlier peak",
            "mid",
            "1 s samples",
        ),
        Field("max_drawdown_pct", "number", "%", "max_drawdown over the equity at that peak", "mid", "1 s samples", optional=True),
        Field(
            "capital_employed",
            "number",
            "report currency",
            "cash of all venues, idle margin included, and coins",
            "first mid",
            "start of run",
            optional=True,
        ),
        Field("peak_margin_used", "object", "settle currency", "largest initial margin in use, by venue", "mark", "1 s samples and marks"),
        Field("fees", "number", "report currency", "paid, at most 0: - rate x turnover", "price of the fill", "every fill"),
        Field("rebates", "number", "report currency", "received, at least 0, booked apart from fees", "price of the fill", "every fill"),
        Field(
            "funding",
            "number",
            "report currency",
            "- position x mark x rate, on the whole position (edge.funding: without the opening position)",
            "mark",
            "every settlement held through",
        ),
        Field("volume", "number", "report currency", "turnover of all fills", "price of the fill", "every fill"),
        Field("accounts", "list", "each currency", "by venue and currency: opening and closing cash, trades, fees, funding, coins", mid),
        Field(
            "realised_pnl", "object", "each currency", "first in, first out, before costs, by instrument", "price of the fill", "every fill"
        ),
        Field("exact", "object", "as named", "decimal text of the money figures, without rounding to float"),
    )


def _trades() -> tuple[Field, ...]:
    return (
        Field(
            "round_trips_completed",
            "integer",
            "-",
            "making: flat to flat, first in first out; arbitrage: both legs closed",
            sampling="every fill",
        ),
        Field("entry_trades", "integer", "fills", "fills that opened or added", sampling="every fill"),
        Field("exit_trades", "integer", "fills", "fills that closed; in making one that turns the position is both", sampling="every fill"),
        Field("wins", "integer", "trips", "trips with net > 0 after fees, rebates and funding", "price of the fill", "every trip"),
        Field("losses", "integer", "trips", "trips with net < 0", "price of the fill", "every trip"),
        Field("win_rate", "number", "0..1", "wins / round_trips_completed", "price of the fill", "every trip", optional=True),
        Field("win_rate_pct", "number", "%", "100 x win_rate", "price of the fill", "every trip", optional=True),
        Field("exit_reasons", "object", "count", "as the strategy named them", sampling="every exit"),
        Field("reject_reasons", "object", "count", "denials by our limits and refusals by venues, by reason", sampling="every order"),
        Field("orders_sent", "integer", "-", "orders put on the wire", sampling="every order"),
        Field("fills", "integer", "-", "executions at the exchange", sampling="every fill"),
        Field(
            "avg_buy_slippage_bps",
            "number",
            "bps",
            "side x (price - mid) / mid, weighted by size; positive cost",
            "mid of our book at the decision",
            "every fill",
            optional=True,
        ),
        Field(
            "avg_sell_slippage_bps", "number", "bps", "the same of sells", "mid of our book at the decision", "every fill", optional=True
        ),
        Field(
            "avg_buy_fill_ratio",
            "number",
            "0..1",
            "mean of filled / ordered over orders sent, refused ones included",
            sampling="every order",
            optional=True,
        ),
        Field("avg_sell_fill_ratio", "number", "0..1", "the same of sells", sampling="every order", optional=True),
        Field("maker_share", "number", "0..1", "maker turnover / turnover", "price of the fill", "every fill", optional=True),
        Field(
            "time_quoting_pct", "number", "%", "samples with both our bid and our ask resting", "-", "1 s samples", "making", optional=True
        ),
        Field(
            "time_inventory_blocked_pct",
            "number",
            "%",
            "samples of the spot legs that held less than the minimum order",
            "-",
            "1 s samples",
            "arbitrage",
            optional=True,
        ),
        Field(
            "markouts_bps",
            "object",
            "bps",
            "by horizon in s: side x (mid later - mid) / mid of maker fills, weighted by size",
            "exchange's mid before the fill",
            "every maker fill",
            optional=True,
        ),
    )


def _edge() -> tuple[Field, ...]:
    return (
        Field(
            "edge",
            "object",
            "report currency",
            "parts of net (docs/model.md, edge); they sum to edge_net within 1e-9. opening_inventory is pnl_held, the others are of trading alone",
            "named by part",
            "every fill",
        ),
        Field("edge_net", "number", "report currency", "net, the sum of the parts"),
        Field("edge_notes", "list", "-", "what limits the attribution"),
        Field(
            "net_at_maker_rates",
            "object",
            "report currency",
            "pnl_traded at the base, the profile's and a zero maker rate, fills held fixed",
            strategies="making",
        ),
        Field(
            "break_even_maker_rate_bps", "number", "bps", "(pnl_traded + maker fees) / maker turnover", strategies="making", optional=True
        ),
        Field(
            "expected_against_realised",
            "list",
            "bps",
            "trips by decile of the expected edge: mean expected, mean realised, count",
            "notional of the entries",
            "every trip",
            optional=True,
        ),
        Field(
            "fragility",
            "object",
            "report currency",
            "pnl_traded by world, break-evens of it, positive in k of n worlds; net of a world is its total less its own pnl_held",
            sampling="a replay for each world",
        ),
        Field(
            "pnl_by_symbol",
            "object",
            "report currency",
            "by instrument (making) or pair (arbitrage): net = traded + held, as pnl_traded and pnl_held; turnover",
        ),
        Field("fx_rate_source", "text", "-", "book, implied or none", optional=True),
        Field(
            "fx_rate_age_sec",
            "number",
            "s",
            "age of the FX rate at decisions, as the strategy reports it",
            sampling="every decision",
            optional=True,
        ),
    )


def _process() -> tuple[Field, ...]:
    return (
        Field("avg_loop_latency_ms", "number", "ms", "mean of frame to intent", sampling="measured decisions, wall clock", optional=True),
        Field(
            "loop_latency_p99_ms", "number", "ms", "99th percentile of the same", sampling="measured decisions, wall clock", optional=True
        ),
        Field("avg_cpu_percent", "number", "%", "of one core", sampling="whole process", optional=True),
        Field("avg_memory_mb", "number", "MB", "resident set", sampling="whole process", optional=True),
        Field("verdict", "text", "-", "PASS, INDICATIVE, INSUFFICIENT, SUSPECT or FAIL (docs/model.md, verdict)"),
        Field("verdict_reasons", "list", "-", "every rule that held in a sentence for a person, the worst first"),
        Field(
            "verdict_rules",
            "list",
            "-",
            "the same rules for programs, in the same order: name of the rule, the verdict that it gives at least",
        ),
        Field("not_applicable", "list", "-", "names of the keys that are null"),
    )


SCHEMA: tuple[Field, ...] = (*_identity(), *_money(), *_trades(), *_edge(), *_process())
"""Every key, in the order of the file."""
