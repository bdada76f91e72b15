"""Runs made by hand for the tests of evidence: a small market, fills on it, and the facts around them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt

from interlock.domain.instruments import Fees, Instrument
from interlock.evidence.facts import Pair, Reporting, ReportingRate, RunFacts, StrategyKind
from interlock.market.columns import ROW, RowKind
from interlock.market.shipped import SHIPPED
from interlock.simulate.layout import FILL, FUNDING_PAYMENT, ORDER_RECORD, SAMPLE
from interlock.simulate.outcome import Ending, Outcome
from interlock.simulate.settings import Budget, InstrumentSettings, ReplaySettings, VenueSettings
from interlock.strategies.contract import TIF_IOC, TIF_POST_ONLY

SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND
BTC = SHIPPED["binance_usdm:BTCUSDT"]
ETH = SHIPPED["binance_usdm:ETHUSDT"]
KRW_BTC = SHIPPED["upbit:KRW-BTC"]
KRW_USDT = SHIPPED["upbit:KRW-USDT"]

RATES = Reporting(
    usd_per_usdt=ReportingRate(Decimal("0.9995"), "configured", START),
    krw_per_usdt=ReportingRate(Decimal("1400"), "Upbit KRW-USDT, mid", START),
)


def with_fees(instrument: Instrument, maker: str, taker: str, profile: str = "base", condition: str = "none") -> Instrument:
    fees = Fees(
        maker=Decimal(maker), taker=Decimal(taker), profile=profile, source="test", as_of=instrument.fees.as_of, condition=condition
    )
    return Instrument(**{name: getattr(instrument, name) for name in instrument.__struct_fields__} | {"fees": fees})


@dataclass(frozen=True)
class Trade:
    """A fill to be: seconds after the start, instrument, side, ticks, lots; mids in half ticks, 0 for 2 x ticks."""

    at_s: float
    instrument: int
    side: int
    ticks: int
    lots: int
    maker: bool = True
    mid_twice: int = 0
    arrival_twice: int = 0
    decision_twice: int = 0


def market(paths: Sequence[Sequence[int]], spreads: Sequence[int], step_s: float = 1.0) -> np.ndarray:
    """Depth rows of books with one level a side: by instrument the bid ticks at each step; the ask is `spread` ticks higher."""
    rows: list[tuple[int, int, int, int, int, int, int, int]] = []
    held: dict[int, int] = {}
    for i in range(max(len(p) for p in paths)):
        at = START + int(i * step_s * SECOND)
        for k, path in enumerate(paths):
            if i >= len(path) or held.get(k) == path[i]:
                continue
            levels = [] if k not in held else [(1, held[k], 0), (-1, held[k] + spreads[k], 0)]
            held[k] = path[i]
            levels += [(1, path[i], 1000), (-1, path[i] + spreads[k], 1000)]
            rows += [(at, at, ticks, lots, 0, k, int(RowKind.DEPTH), side) for side, ticks, lots in levels]
    result = np.zeros(len(rows), ROW)
    for i, row in enumerate(rows):
        result[i] = row
    return result


def fills_of(trades: Sequence[Trade], start_lots: Sequence[int]) -> np.ndarray:
    fills = np.zeros(len(trades), FILL)
    position = list(start_lots)
    for i, trade in enumerate(sorted(trades, key=lambda t: t.at_s)):
        position[trade.instrument] += trade.side * trade.lots
        at = START + int(trade.at_s * SECOND)
        mid = trade.mid_twice or 2 * trade.ticks
        fill = fills[i]
        fill["exchange_ns"], fill["decided_ns"], fill["seq"] = at, at - 10_000_000, i + 1
        fill["instrument"], fill["side"], fill["maker"] = trade.instrument, trade.side, trade.maker
        fill["ticks"], fill["lots"], fill["position_lots"] = trade.ticks, trade.lots, position[trade.instrument]
        fill["mid_twice"], fill["arrival_twice"] = mid, trade.arrival_twice or mid
        fill["decision_twice"] = trade.decision_twice or trade.arrival_twice or mid
    return fills


def orders_of(fills: np.ndarray, unfilled: int = 0) -> np.ndarray:
    """One filled order for each fill, and some that were not filled."""
    orders = np.zeros(len(fills) + unfilled, ORDER_RECORD)
    for name in ("seq", "instrument", "side", "ticks", "lots"):
        orders[name][: len(fills)] = fills[name]
    orders["filled_lots"][: len(fills)] = fills["lots"]
    orders["tif"][: len(fills)] = np.where(fills["maker"] > 0, TIF_POST_ONLY, TIF_IOC)
    orders["seq"][len(fills) :] = np.arange(unfilled) + len(fills) + 1
    orders["lots"][len(fills) :] = 1
    orders["side"][len(fills) :] = np.where(np.arange(unfilled) % 2, 1, -1)
    orders["tif"][len(fills) :] = TIF_POST_ONLY
    return orders


def samples_of(paths: Sequence[Sequence[int]], spreads: Sequence[int], fills: np.ndarray, start_lots: Sequence[int]) -> np.ndarray:
    """One sample a second of the books of `market`, positions as the fills made them."""
    steps, count = max(len(p) for p in paths), len(paths)
    samples = np.zeros(steps * count, SAMPLE)
    for i in range(steps):
        at = START + i * SECOND
        for k, path in enumerate(paths):
            own = fills[(fills["instrument"] == k) & (fills["exchange_ns"] < at)]
            bid = path[min(i, len(path) - 1)]
            held = start_lots[k] + int((own["side"].astype(np.int64) * own["lots"]).sum())
            samples[i * count + k] = (at, k, held, bid, bid + spreads[k], 2 * bid + spreads[k], bid, bid + spreads[k])
    return samples


def settings_of(instruments: Sequence[Instrument], start_lots: Sequence[int], cash: dict[str, Decimal] | None = None) -> ReplaySettings:
    budget = Budget(messages=100, window_ns=SECOND, cancel_reserve=10)
    return ReplaySettings(
        venues={
            i.venue: VenueSettings(
                order_ns=2_000_000,
                cancel_ns=2_000_000,
                response_ns=2_000_000,
                budgets=(budget,),
                cash=(cash or {}).get(i.venue, Decimal(0)),
            )
            for i in instruments
        },
        instruments={
            i.key: InstrumentSettings(max_position_lots=1 << 40, start_lots=lots) for i, lots in zip(instruments, start_lots, strict=True)
        },
    )


def run(
    instruments: Sequence[Instrument],
    paths: Sequence[Sequence[int]],
    trades: Sequence[Trade],
    *,
    spreads: Sequence[int] | None = None,
    start_lots: Sequence[int] | None = None,
    cash: dict[str, Decimal] | None = None,
    fundings: Sequence[tuple[float, int, int, int, int]] = (),
    unfilled: int = 0,
    pairs: tuple[Pair, ...] = (),
    ending: Ending = Ending.COMPLETE,
    **changes: Any,
) -> RunFacts:
    """Facts of a run. fundings: (seconds, instrument, position lots, mark twice, rate in 1e-12)."""
    spreads = spreads or [2] * len(paths)
    start_lots = start_lots or [0] * len(paths)
    fills = fills_of(trades, start_lots)
    payments = np.zeros(len(fundings), FUNDING_PAYMENT)
    for i, (at_s, k, lots, mark, rate) in enumerate(fundings):
        payments[i] = (START + int(at_s * SECOND), k, lots, mark, rate)
    seconds = max(len(p) for p in paths)
    orders = orders_of(fills, unfilled)
    outcome = Outcome(
        fills=fills,
        orders=orders,
        samples=samples_of(paths, spreads, fills, start_lots),
        fundings=payments,
        counts={"rate_budget": 3},
        ending=ending,
        position_lots=tuple(start_lots),
        local_fills=len(fills),
        submitted=len(orders),
        decisions=len(orders),
        rows=seconds,
        start_ns=START,
        end_ns=START + seconds * SECOND,
    )
    values: dict[str, Any] = {
        "run_id": "r1",
        "session_id": "s1",
        "environment": "test",
        "universe_mode": "fixed",
        "strategy": "touch",
        "kind": StrategyKind.ARBITRAGE if pairs else StrategyKind.MAKING,
        "instruments": tuple(instruments),
        "settings": settings_of(instruments, start_lots, cash),
        "outcome": outcome,
        "rows": market(paths, spreads),
        "exchange_order": None,
        "provenance": "real",
        "config_digest": "0" * 64,
        "wall_start_ns": START,
        "wall_end_ns": START + 2 * SECOND,
        "pairs": pairs,
        "reporting": RATES,
        "flow_venue": "binance_usdm",
        "fee_venue": "binance_usdm",
        "latency_source": "assumed",
        "fx_source": "book" if pairs else "none",
    }
    return RunFacts(**(values | changes))


def without_tape(facts: RunFacts) -> RunFacts:
    """The same run where only samples are at hand."""
    return dataclasses.replace(facts, rows=np.zeros(0, ROW))


def later(facts: RunFacts, twice: npt.NDArray[np.int64] | None = None) -> npt.NDArray[np.int64]:
    """Mids after each fill for tests that need none."""
    return np.zeros(len(facts.outcome.fills), np.int64) if twice is None else twice
