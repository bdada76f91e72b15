"""Generated markets for the property tests: several instruments on several venues, full of ties in time."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
from hypothesis import strategies as st
from tests.simulate.kernels import restless
from tests.simulate.worlds import TIERS, Rows, Setup, fees, perpetual, spot

from interlock.domain.instruments import Instrument
from interlock.domain.price_rules import PriceBand, PriceRule, PriceTable
from interlock.market.columns import ROW, RowKind
from interlock.market.tape_write import receive_order
from interlock.simulate.settings import Budget, InstrumentSettings, LatencyKind, Overload, QueueModel, VenueSettings
from interlock.simulate.world import Strategy
from interlock.strategies.contract import WAKE_ACCEPTED, WAKE_FRAME, WAKE_PRICE, WAKE_RESPONSES, WAKE_TIMER

TWO_BANDS = PriceRule(
    "bands",
    "made up",
    (PriceTable(perpetual().valid_from, (PriceBand(Decimal(0), Decimal(1)), PriceBand(Decimal(100), Decimal(5)))),),
)

INSTRUMENTS: tuple[Instrument, ...] = (
    perpetual("AUSDT", "binance", margin_tiers=TIERS, fees=fees("0.0002", "0.0005"), max_lots=50),
    perpetual("BUSDT", "binance", min_notional=Decimal(150), fees=fees("-0.0001", "0.0005")),
    perpetual("CUSDT", "bybit", margin_tiers=TIERS, min_lots=2),
    spot("KRW-A", "upbit", price_rule=TWO_BANDS, fees=fees("0.0005", "0.0005")),
    spot("KRW-B", "upbit"),
)
"""The third is of bars in half of the markets."""


def market(seed: int, events: int, *, bars: bool, spread_ns: int, feed_ns: int) -> Rows:
    """Random levels around a wandering price, trades at and through them, and everything else now and then.

    Times are drawn from few values, so that events of all instruments fall together; `spread_ns` is the mean step between them.
    """
    draw = np.random.default_rng(seed)
    lines: list[tuple[int, int, int, int, int, int, int, int]] = []
    now = 1_000
    middle = np.full(len(INSTRUMENTS), 100)
    for frame in range(events):
        now += int(draw.integers(0, 2 * spread_ns + 1)) * 5
        k = int(draw.integers(len(INSTRUMENTS)))
        receive = now + (int(draw.integers(0, 3)) * feed_ns if feed_ns else 0)
        middle[k] += int(draw.integers(-1, 2))
        middle[k] = max(20, middle[k])
        step = 5 if k == 3 and middle[k] >= 100 else 1
        chance = int(draw.integers(100))
        side = 1 - 2 * int(draw.integers(2))
        at = int(middle[k]) // step * step

        def add(
            kind: RowKind,
            side: int = 0,
            ticks: int = 0,
            lots: int = 0,
            k: int = k,
            frame: int = frame,
            now: int = now,
            receive: int = receive,
        ) -> None:
            lines.append((now, receive, ticks, lots, frame, k, int(kind), side))

        if bars and k == 2:
            if chance < 30:
                low, high = at - int(draw.integers(0, 4)), at + int(draw.integers(0, 4))
                add(RowKind.BAR_OPEN, 0, at)
                add(RowKind.BAR_HIGH, 0, high)
                add(RowKind.BAR_LOW, 0, low)
                add(RowKind.BAR_CLOSE, 0, at, int(draw.integers(0, 3)) * 500)
        elif chance < 60:
            for _ in range(int(draw.integers(1, 4))):
                away = int(draw.integers(1, 5)) * step
                # Clear what the price has left behind, so that the book stays mostly uncrossed.
                add(RowKind.DEPTH, side, at - side * away, int(draw.integers(0, 9)))
                add(RowKind.DEPTH, -side, at - side * away, 0)
        elif chance < 85:
            add(RowKind.TRADE, side, at + side * step * int(draw.integers(-1, 4)), int(draw.integers(1, 12)))
        elif chance < 88:
            add(RowKind.MARK, 0, at)
        elif chance < 90:
            add(RowKind.FUNDING_NEXT, 0, 0, int(draw.integers(-(10**9), 10**9)))
        elif chance < 92:
            add(RowKind.FUNDING, 0, at * int(draw.integers(2)), int(draw.integers(-(10**9), 10**9)))
        elif chance < 94:
            add(RowKind.CLEAR)
            for away in range(1, 4):
                add(RowKind.DEPTH, 1, at - away * step, int(draw.integers(1, 9)))
                add(RowKind.DEPTH, -1, at + away * step, int(draw.integers(1, 9)))
        elif chance < 95:
            add(RowKind.STATUS, 0, 0, int(draw.integers(0, 3) > 0))
        elif chance < 97:
            add(RowKind.BLOCK_TRADE, side, at, 50)
        else:
            add(RowKind.TOP, side, at, 5)
    rows = np.zeros(len(lines), ROW)
    for name, column in zip(ROW.names or (), zip(*lines, strict=True), strict=True):
        rows[name] = column
    return receive_order(rows)


@dataclass(frozen=True)
class Case:
    """One random replay."""

    setup: Setup
    strategy: Strategy
    block_rows: int


@st.composite
def venue(draw: st.DrawFn) -> VenueSettings:
    """A venue with any mixture of what can be set; delays are often zero and often equal."""
    delay = st.sampled_from([0, 5, 10, 35, 100])
    kind = draw(st.sampled_from(list(LatencyKind)))
    samples = np.arange(60, dtype=np.int64) % 7 * 5 if kind is LatencyKind.BOOTSTRAP else None
    budgets = draw(st.sampled_from([(), (Budget(20, 500, 5),), (Budget(100, 2_000, 0), Budget(3, 50, 1))]))
    return VenueSettings(
        order_ns=draw(delay),
        cancel_ns=draw(delay),
        response_ns=draw(delay),
        latency=kind,
        feed_multiple=draw(st.sampled_from([0.0, 0.5, 1.0])),
        samples=samples,
        samples_block=5,
        budgets=budgets,
        cancel_weight=draw(st.integers(1, 2)),
        overload=draw(st.sampled_from([None, Overload(rate=10.0, slope=0.001, most=0.3)])),
        cash=draw(st.sampled_from([Decimal(3_000), Decimal(10**9)])),
        funds_checked=draw(st.booleans()),
        margined=draw(st.booleans()),
    )


@st.composite
def cases(draw: st.DrawFn, events: int = 250) -> Case:
    """A market, venues, limits and a restless kernel."""
    bars = draw(st.booleans())
    rows = market(
        draw(st.integers(0, 2**32)), events, bars=bars, spread_ns=draw(st.integers(0, 4)), feed_ns=draw(st.sampled_from([0, 5, 20]))
    )
    own = {
        i.key: InstrumentSettings(
            max_position_lots=draw(st.sampled_from([5, 40, 10**6])),
            collar_millionths=draw(st.sampled_from([0, 20_000])),
            start_lots=draw(st.sampled_from([0, 7])),
        )
        for i in INSTRUMENTS
    }
    more: dict[str, Any] = {
        "queue": draw(st.sampled_from(list(QueueModel))),
        "queue_power": draw(st.sampled_from([1.0, 2.0, 3.5])),
        "partial_fills": draw(st.booleans()),
        "self_match_refused": draw(st.booleans()),
        "decide_on_feed_only": draw(st.booleans()),
        "max_open_orders": draw(st.sampled_from([3, 32])),
        "sample_period_ns": draw(st.sampled_from([1, 100, 10**9])),
        "seed": draw(st.integers(0, 2**31)),
        "latency_factor": draw(st.sampled_from([1.0, 2.0])),
    }
    wakes = draw(
        st.sampled_from([WAKE_FRAME | WAKE_RESPONSES | WAKE_TIMER, WAKE_PRICE | WAKE_ACCEPTED, WAKE_TIMER, WAKE_RESPONSES | WAKE_FRAME])
    )
    period = draw(st.sampled_from([0, 5, 25])) if wakes & WAKE_TIMER else 0
    params = np.array([draw(st.sampled_from([20.0, 60.0])), 4.0, 12.0])
    strategy = Strategy("restless", restless, params, 2, wakes, period)
    # The generator in the kernel's state starts at zero; the tape's seed makes the runs differ.
    venues = {name: draw(venue()) for name in ("binance", "bybit", "upbit")}
    return Case(Setup(rows, INSTRUMENTS, venues, own, more), strategy, draw(st.sampled_from([1, 3, 64, 10**6])))
