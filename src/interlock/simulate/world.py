"""Build the `World` of a replay from a tape's rows, instruments and settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

import numpy as np

from interlock.domain.errors import UsageError
from interlock.domain.instruments import Instrument, Kind, Status, ceiling
from interlock.market.book import FAR
from interlock.market.ladders import plan_ladders
from interlock.simulate.layout import (
    INSTRUMENTS,
    LATENCY_BOOTSTRAP,
    LATENCY_CONSTANT,
    LATENCY_FEED,
    LATENCY_SAMPLES,
    QUEUE_POWER,
    QUEUE_RISK_AVERSE,
    QUEUE_TRADE_THROUGH,
    VENUES,
    World,
)
from interlock.simulate.settings import LatencyKind, QueueModel, ReplaySettings, VenueSettings

LATENCY_THIRDS = 3
RATE_WINDOW_NS = 100_000_000

_QUEUE_MODELS = {
    QueueModel.RISK_AVERSE: QUEUE_RISK_AVERSE,
    QueueModel.POWER: QUEUE_POWER,
    QueueModel.TRADE_THROUGH: QUEUE_TRADE_THROUGH,
}
_LATENCY_MODES = {
    LatencyKind.CONSTANT: LATENCY_CONSTANT,
    LatencyKind.FEED: LATENCY_FEED,
    LatencyKind.BOOTSTRAP: LATENCY_BOOTSTRAP,
}


@dataclass(frozen=True)
class Strategy:
    """A kernel with everything it needs: parameters, size of its state, when it wakes and how often its timer rings."""

    name: str
    kernel: Any
    params: np.ndarray
    state_size: int
    wakes: int
    timer_period_ns: int = 0


def _venue_record(record: Any, name: str, settings: VenueSettings, latency_factor: float, samples: list[np.ndarray]) -> None:
    record["order_ns"] = int(settings.order_ns * latency_factor)
    record["cancel_ns"] = int(settings.cancel_ns * latency_factor)
    record["response_ns"] = int(settings.response_ns * latency_factor)
    record["latency_mode"] = _LATENCY_MODES[settings.latency]
    record["feed_multiple"] = settings.feed_multiple * latency_factor
    record["rate_window_ns"] = RATE_WINDOW_NS
    if settings.latency is LatencyKind.BOOTSTRAP:
        drawn = _latency_blocks(settings, latency_factor)
        record["samples_at"] = sum(len(s) for s in samples)
        record["samples_block"] = settings.samples_block
        record["samples_blocks"] = len(drawn) // (LATENCY_THIRDS * settings.samples_block)
        samples.append(drawn)
        record["track_rate"] = 1
    if settings.overload is not None:
        per_window = RATE_WINDOW_NS / 1e9
        record["overload_rate"] = settings.overload.rate * per_window
        record["overload_slope"] = settings.overload.slope
        record["overload_max"] = settings.overload.most
        record["track_rate"] = 1
    for budget, letter in zip(settings.budgets, "ab", strict=False):
        record[f"limit_{letter}"] = budget.messages
        record[f"window_{letter}_ns"] = budget.window_ns
        record[f"reserve_{letter}"] = budget.cancel_reserve
    record["place_weight"] = settings.place_weight
    record["cancel_weight"] = settings.cancel_weight
    record["cash"] = float(settings.cash - settings.opening_cost)
    record["check_funds"] = settings.funds_checked
    record["margin"] = settings.margined


def _latency_blocks(settings: VenueSettings, latency_factor: float) -> np.ndarray:
    """Samples cut into blocks, the blocks sorted by their mean and stacked in three thirds: quiet, usual, busy.

    Latency rises with activity, so a block's own mean stands for how busy it was.
    """
    assert settings.samples is not None
    size = settings.samples_block
    blocks = len(settings.samples) // size // LATENCY_THIRDS * LATENCY_THIRDS
    if blocks == 0:
        raise UsageError(
            f"bootstrapped latency: expected at least {LATENCY_THIRDS * size} samples, found {len(settings.samples)}; "
            "lower samples_block or use constant latency"
        )
    cut = (np.asarray(settings.samples[: blocks * size], dtype=np.int64) * latency_factor).astype(np.int64).reshape(blocks, size)
    return cut[np.argsort(cut.mean(axis=1), kind="stable")].reshape(-1)


def _book_record(record: Any, instrument: Instrument, settings: ReplaySettings, venue: int, day: date) -> None:
    """Write the fixed facts of an instrument into its book's record."""
    own = settings.instruments[instrument.key]
    record["venue"] = venue
    record["is_spot"] = instrument.kind is Kind.SPOT
    record["trading"] = instrument.status is Status.TRADING
    record["min_lots"] = instrument.min_lots
    record["max_lots"] = instrument.max_lots
    record["min_ticks"] = ceiling(instrument.min_price, instrument.quantum)
    record["max_ticks"] = int(instrument.max_price // instrument.quantum)
    record["max_position_lots"] = own.max_position_lots
    record["step_ticks"] = instrument.step_table(day)[0][1]
    record["band_end_ticks"] = FAR
    record["price_unit"] = float(instrument.quantum)
    record["lot_unit"] = float(instrument.lot)
    record["base_unit"] = float(instrument.lot * instrument.multiplier)
    record["min_notional"] = float(instrument.min_notional)
    maker, taker = fee_rates(instrument, settings)
    record["maker_rate"] = float(maker)
    record["taker_rate"] = float(taker)
    record["collar_millionths"] = own.collar_millionths
    record["participation_millionths"] = own.participation_millionths
    record["position_lots"] = own.start_lots


def _rate_thirds(rows: np.ndarray, numbers: Sequence[int]) -> tuple[int, int]:
    """The event counts of a window that part a venue's windows into quiet, usual and busy ones; windows without events left out."""
    times = rows["exchange_ns"][np.isin(rows["instrument"], numbers)]
    if len(times) == 0:
        return 0, 0
    counts = np.unique(times // RATE_WINDOW_NS, return_counts=True)[1]
    low, high = np.quantile(counts, [1 / LATENCY_THIRDS, 2 / LATENCY_THIRDS], method="lower")
    return int(low), int(high)


def fee_rates(instrument: Instrument, settings: ReplaySettings) -> tuple[Decimal, Decimal]:
    """(maker, taker) rates as fractions, with the changes that a fragility run asks for."""
    maker = instrument.fees.maker if settings.maker_fee_set is None else settings.maker_fee_set
    return maker + settings.maker_fee_add, instrument.fees.taker + settings.taker_fee_add


def build_world(
    rows: np.ndarray,
    exchange_order: np.ndarray | None,
    instruments: Sequence[Instrument],
    settings: ReplaySettings,
    strategy: Strategy,
    recycle: World | None = None,
) -> World:
    """Allocate and fill every array of a replay; `recycle` as for `World`. Raises UsageError if settings and tape do not fit each other."""
    names = sorted({i.venue for i in instruments})
    for name in names:
        if name not in settings.venues:
            raise UsageError(f"no settings for venue {name!r}; the configuration names {sorted(settings.venues)}")
    for instrument in instruments:
        if instrument.key not in settings.instruments:
            raise UsageError(f"no settings for instrument {instrument.key!r}; the configuration names {sorted(settings.instruments)}")
    count = len(instruments)
    if count > INSTRUMENTS or len(names) > VENUES:
        raise UsageError(f"a replay holds at most {INSTRUMENTS} instruments on {VENUES} venues, found {count} on {len(names)}")
    ladders = plan_ladders(rows, instruments)
    both_sides = (ladders.empty_books(), ladders.empty_books())
    for books in both_sides:
        for k, instrument in enumerate(instruments):
            _book_record(books[k], instrument, settings, names.index(instrument.venue), ladders.day)

    # The compiled code takes both read-only, whether they lie in memory or in a mapped file, and does not look whether they lie in one piece.
    rows = np.ascontiguousarray(rows)[:]
    rows.flags.writeable = False
    permutation = np.zeros(0, np.uint32) if exchange_order is None else np.ascontiguousarray(exchange_order, np.uint32)[:]
    permutation.flags.writeable = False
    world = World(
        rows,
        permutation,
        cells=ladders.total,
        instruments=count,
        params=np.ascontiguousarray(strategy.params, dtype=np.float64),
        state=np.zeros(max(strategy.state_size, 1), np.float64),
        recycle=recycle,
    )
    world.exchange_books[:], world.books[:] = both_sides
    samples: list[np.ndarray] = []
    for i, name in enumerate(names):
        _venue_record(world.venues[i], name, settings.venues[name], settings.latency_factor, samples)
        if settings.venues[name].latency is LatencyKind.BOOTSTRAP:
            numbers = [k for k, instrument in enumerate(instruments) if instrument.venue == name]
            world.venues[i]["rate_low"], world.venues[i]["rate_high"] = _rate_thirds(rows, numbers)
    if samples:
        drawn = np.concatenate(samples)
        if len(drawn) > LATENCY_SAMPLES:
            raise UsageError(f"bootstrapped latency: at most {LATENCY_SAMPLES} samples in all venues, found {len(drawn)}")
        world.latencies[: len(drawn)] = drawn

    steps: list[tuple[int, int, int]] = []
    tiers: list[tuple[int, float, float, float]] = []
    for k, instrument in enumerate(instruments):
        steps += [(first, step, k) for first, step in instrument.step_table(ladders.day)]
        tiers += [(k, float(t.max_notional), float(t.initial), float(t.maintenance)) for t in instrument.margin_tiers]

    for array, values, what in ((world.steps, steps, "price bands"), (world.tiers, tiers, "margin tiers")):
        if len(values) > len(array):
            raise UsageError(f"at most {len(array)} {what} in all instruments, found {len(values)}")
        array[: len(values)] = values

    c = world.control[0]
    c["venues"] = len(names)
    c["steps"] = len(steps)
    c["tiers"] = len(tiers)
    c["stop_row"] = len(rows)
    c["next_seq"] = 1
    c["wake_mask"] = strategy.wakes
    c["timer_period_ns"] = strategy.timer_period_ns
    first_ns = int(rows["receive_ns"][0])
    c["next_timer_ns"] = first_ns + strategy.timer_period_ns if strategy.timer_period_ns > 0 else FAR
    c["sample_period_ns"] = settings.sample_period_ns
    c["queue_model"] = _QUEUE_MODELS[settings.queue]
    c["queue_power"] = settings.queue_power
    c["partial_fills"] = settings.partial_fills
    c["self_match"] = settings.self_match_refused
    c["response_waits"] = settings.decide_on_feed_only
    c["track_feed"] = bool(world.venues["track_rate"].any() or (world.venues["latency_mode"] == LATENCY_FEED).any())
    c["max_open_orders"] = settings.max_open_orders
    c["rng"] = (settings.seed * 0x9E3779B97F4A7C15 + 0x2545F4914F6CDD1D) & (2**64 - 1) or 1

    return world
