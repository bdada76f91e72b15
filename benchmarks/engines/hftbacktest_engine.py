"""hftbacktest: ROI-vector depth, a decision on every feed event, on one core.

Modes are its queue models: `risk` (risk-averse) and `power` (probability, power 2.0). Constant order latency, no
partial fills, post-only quotes.

The strategy, which is the same in all engines: one bid at the best bid and one ask at the best ask; when the best
moves, cancel and place anew, but only once the present order is acknowledged. An order in flight is left alone; one
that is filled, expired or cancelled is replaced at once.

All rows of one receive time are one feed event to hftbacktest, so it decides once on the opening snapshot, after its
last row, and then once a row; the very last row ends the data and is not decided on.
"""

from typing import Any

import numba
import numpy as np
from hftbacktest import (  # type: ignore[import-not-found]
    BUY_EVENT,
    DEPTH_EVENT,
    DEPTH_SNAPSHOT_EVENT,
    EXCH_EVENT,
    GTX,
    LIMIT,
    LOCAL_EVENT,
    SELL_EVENT,
    TRADE_EVENT,
    BacktestAsset,
    ROIVectorMarketDepthBacktest,
)
from hftbacktest.order import NEW, NONE  # type: ignore[import-not-found]
from hftbacktest.types import event_dtype  # type: ignore[import-not-found]
from numba import njit

from benchmarks.engines import protocol

LOWEST_PRICE, HIGHEST_PRICE = 9000.0, 11000.0
"""The price range that the depth vector covers."""

_QUANTITY = protocol.ORDER_LOTS * protocol.LOT
_FAR_NS = 60_000_000_000
_END_OF_DATA = 1
_CLEAR_EVERY = 1000


def convert(rows: protocol.Rows) -> np.ndarray[Any, Any]:
    """Turn rows of the stream into hftbacktest's 64-byte events."""
    prices = rows["ticks"] * protocol.TICK
    if prices.min() < LOWEST_PRICE or prices.max() > HIGHEST_PRICE:
        raise SystemExit(f"expected prices in {LOWEST_PRICE}-{HIGHEST_PRICE}, found {prices.min()}-{prices.max()}")
    kind = np.where(rows["kind"] == protocol.TRADE, TRADE_EVENT, DEPTH_EVENT).astype(np.uint64)
    kind[: protocol.snapshot_length(rows)] = DEPTH_SNAPSHOT_EVENT
    side = np.where(rows["side"] > 0, BUY_EVENT, SELL_EVENT).astype(np.uint64)
    events = np.zeros(len(rows), event_dtype)
    events["ev"] = kind | side | np.uint64(EXCH_EVENT | LOCAL_EVENT)
    events["exch_ts"] = rows["exchange_ns"]
    events["local_ts"] = rows["receive_ns"]
    events["px"] = prices
    events["qty"] = rows["lots"] * protocol.LOT
    return events


def build(events: np.ndarray[Any, Any], queue: str) -> Any:
    """Make a fresh backtest over `events` with the queue model `risk` or `power`.

    It keeps a bare pointer to `events`: the caller must keep the array alive.
    """
    asset = BacktestAsset().data(events).linear_asset(1.0)
    asset = asset.constant_order_latency(protocol.ENTRY_LATENCY_NS, protocol.RESPONSE_LATENCY_NS)
    asset = asset.risk_adverse_queue_model() if queue == "risk" else asset.power_prob_queue_model(2.0)
    asset = asset.no_partial_fill_exchange().trading_value_fee_model(0.0002, 0.0005)
    asset = asset.tick_size(protocol.TICK).lot_size(protocol.LOT)
    asset = asset.roi_lb(LOWEST_PRICE).roi_ub(HIGHEST_PRICE).last_trades_capacity(0)
    return ROIVectorMarketDepthBacktest([asset])


@njit
def must_quote(orders: Any, order_id: int, at: int, best: int) -> tuple[bool, bool]:
    """Say whether a new quote is due, and whether the present one at tick `at` must be cancelled first."""
    order = orders.get(order_id)
    if order is None:
        return True, False
    alive = order.status == NEW or order.status == NONE or order.req != NONE
    if not alive:
        return True, False
    due = at != best and order.cancellable
    return due, due


@njit
def quote(backtest: Any) -> int:
    """Quote both sides until the data ends; return the number of orders submitted.

    Order ids are odd for bids and even for asks. hftbacktest refuses numba's cache for such a function (it holds
    ctypes pointers), so every process compiles it.
    """
    bid = ask = 0
    bid_tick = ask_tick = 0
    next_id = 1
    submitted = 0
    steps = 0
    while True:
        result = backtest.wait_next_feed(False, _FAR_NS)
        if result == _END_OF_DATA or result < 0:
            return submitted
        steps += 1
        depth = backtest.depth(0)
        best_bid = depth.best_bid_tick
        best_ask = depth.best_ask_tick
        orders = backtest.orders(0)

        due, cancel = must_quote(orders, bid, bid_tick, best_bid)
        if due:
            if cancel:
                backtest.cancel(0, bid, False)
            bid = next_id
            bid_tick = best_bid
            backtest.submit_buy_order(0, bid, bid_tick * depth.tick_size, _QUANTITY, GTX, LIMIT, False)
            next_id += 2
            submitted += 1

        due, cancel = must_quote(orders, ask, ask_tick, best_ask)
        if due:
            if cancel:
                backtest.cancel(0, ask, False)
            ask = next_id + 1
            ask_tick = best_ask
            backtest.submit_sell_order(0, ask, ask_tick * depth.tick_size, _QUANTITY, GTX, LIMIT, False)
            next_id += 2
            submitted += 1

        if steps % _CLEAR_EVERY == 0:
            backtest.clear_inactive_orders(0)


def finish(backtest: Any, submitted: int) -> protocol.Outcome:
    """Read what the backtest did, and release it."""
    state = backtest.state_values(0)
    position = round(float(state.position) / protocol.LOT)
    outcome = protocol.Outcome(int(submitted), int(state.num_trades), position)
    backtest.close()
    return outcome


def main() -> None:
    """Measure one queue model."""
    asked = protocol.arguments(["risk", "power"])
    rows = protocol.load(asked)
    count = len(rows)
    events = convert(rows)
    del rows
    first = build(events, asked.mode)
    quote.compile((numba.typeof(first),))  # type: ignore[no-untyped-call]
    first_event_s = protocol.since(asked.spawned_ns)
    first.close()
    run_s, outcome = protocol.timed_runs(asked.runs, lambda: build(events, asked.mode), quote, finish)
    protocol.report(
        asked,
        engine="hftbacktest",
        events=count,
        run_s=run_s,
        outcome=outcome,
        first_event_s=first_event_s,
        packages=["hftbacktest", "numpy", "numba"],
    )


if __name__ == "__main__":
    main()
