"""Replay: a configuration and a tape become a world, a kernel, an outcome and the evidence of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

from interlock.domain.clock import NS_PER_MS
from interlock.domain.errors import BadInput, UsageError
from interlock.domain.instruments import Instrument, Kind
from interlock.market.tape import Tape
from interlock.run.chosen_strategy import strategy_of
from interlock.run.config import FeesConfig, RunConfig, VenueConfig
from interlock.run.replay_gate import GateParts, Limits, gate_parts
from interlock.simulate.fast import replay_fast
from interlock.simulate.full import replay_full
from interlock.simulate.layout import World
from interlock.simulate.outcome import Outcome
from interlock.simulate.settings import Budget, InstrumentSettings, LatencyKind, Overload, QueueModel, ReplaySettings, VenueSettings
from interlock.simulate.world import Strategy, build_world
from interlock.strategies import arbitrage
from interlock.strategies.params import index_of

BOOTSTRAP_SAMPLES = 8_192

Progress = Callable[[int, int], bool]
"""(rows done, rows in all) -> go on?"""


@dataclass(frozen=True)
class Plan:
    """Everything that a replay of one tape needs; `run` may be called again under other settings for the fragility card.

    With a `gate` every order of every such run passes the gate's decision, event by event.
    """

    config: RunConfig
    tape: Tape
    instruments: tuple[Instrument, ...]
    settings: ReplaySettings
    strategy: Strategy
    pairs: tuple[tuple[int, int], ...]
    gate: GateParts | None = None

    def run(
        self,
        settings: ReplaySettings | None = None,
        *,
        fx_shift: Decimal = Decimal(0),
        full: bool = False,
        progress: Progress | None = None,
        recycle: list[World] | None = None,
    ) -> Outcome:
        """Replay the tape, by default under the plan's own settings.

        With `recycle` the world of the call before, whose outcome must not be read any more, lends its memory to this one.
        """
        strategy = self.strategy
        if fx_shift and self.config.arbitrage is not None:
            params = strategy.params.copy()
            params[index_of(arbitrage.ArbitrageParams)["fx_shift_bps"]] += float(fx_shift) * 1e4
            strategy = dataclasses.replace(strategy, params=params)
        used = recycle.pop() if recycle else None
        world = build_world(self.tape.rows, self.tape.exchange_order, self.instruments, settings or self.settings, strategy, used)
        if recycle is not None:
            recycle.append(world)
        if self.gate is not None:
            judge = self.gate.judge(world, settings or self.settings)
            outcome = replay_full(world, strategy.kernel, on_block=progress, judge=judge)
            return dataclasses.replace(outcome, counts=outcome.counts | judge.counts)
        if full:
            return replay_full(world, strategy.kernel, on_block=progress)
        return replay_fast(world, strategy.kernel, progress)


def make_plan(config: RunConfig, config_path: Path, tape: Tape, limits: Limits | None = None) -> Plan:
    """Bring configuration and tape together, and a gate with `limits`. Raises BadInput or UsageError where one names what another does not hold."""
    held = {i.key: i for i in tape.instruments}
    for key in config.instruments:
        if key not in held:
            raise BadInput(
                config_path, f"instruments.{key}", f"the tape {tape.path} does not hold this symbol; it holds {', '.join(sorted(held))}"
            )
    missing = [key for key in held if key not in config.instruments]
    if missing:
        raise BadInput(
            config_path, "instruments", f"the tape {tape.path} also holds {', '.join(missing)}: give each a section with its limits"
        )
    for venue in sorted({i.venue for i in tape.instruments}):
        if venue not in config.venues:
            raise BadInput(config_path, "venues", f"the tape {tape.path} has data of {venue!r}: give it a section")
    if config.model.queue != "trade_through":
        _check_depth_interval(config_path, tape)
    instruments = tuple(_with_fees(i, config.instruments[i.key].fees) for i in tape.instruments)
    settings = _settings(config, tape)
    strategy, pairs = strategy_of(config, config_path, instruments)
    settings = _opened_perpetuals(settings, instruments, tape)
    gate = None if limits is None else gate_parts(limits, config, config_path, instruments, pairs, strategy.name)
    return Plan(config, tape, instruments, settings, strategy, pairs, gate)


FINEST_DEPTH_MS = 100.0


def _check_depth_interval(config_path: Path, tape: Tape) -> None:
    """Queue models need depth at 100 ms or finer (docs/model.md); a synthetic tape need not say, a bar tape has no queue."""
    if tape.info.bars or tape.info.provenance == "synthetic":
        return
    for key, interval in tape.info.depth_interval_ms.items():
        known = [ms for ms in (interval.declared_ms, interval.measured_ms) if ms is not None]
        if not known or max(known) > FINEST_DEPTH_MS:
            found = f"{max(known):g} ms" if known else "an unknown interval"
            raise BadInput(
                config_path,
                "model.queue",
                f'expected depth of {key} at {FINEST_DEPTH_MS:g} ms or finer for a queue model, found {found}; use "trade_through"',
            )


def _with_fees(instrument: Instrument, fees: FeesConfig | None) -> Instrument:
    if fees is None:
        return instrument
    return _replaced(instrument, fees=fees.fees)


def _replaced(instrument: Instrument, **changes: Any) -> Instrument:
    values = {f: getattr(instrument, f) for f in instrument.__struct_fields__}
    return Instrument(**(values | changes))


def _settings(config: RunConfig, tape: Tape) -> ReplaySettings:
    samples = _feed_latencies(tape) if any(v.latency == "bootstrap" for v in config.venues.values()) else None
    return ReplaySettings(
        venues={name: _venue(venue, samples) for name, venue in config.venues.items()},
        instruments={
            key: InstrumentSettings(
                max_position_lots=i.max_position_lots,
                collar_millionths=round(i.collar_bps * 100),
                participation_millionths=round(i.bar_participation * 1_000_000),
                start_lots=i.start_lots,
            )
            for key, i in config.instruments.items()
        },
        queue=QueueModel(config.model.queue),
        queue_power=config.model.queue_power,
        partial_fills=config.model.partial_fills,
        max_open_orders=config.model.max_open_orders,
        sample_period_ns=round(config.model.sample_period_s * 1e9),
        seed=config.seed,
    )


def _venue(venue: VenueConfig, samples: np.ndarray | None) -> VenueSettings:
    budgets: tuple[Budget, ...] = ()
    if venue.rate_limits != "off":
        budgets = tuple(Budget(b.messages, round(b.window_s * 1e9), b.cancel_reserve) for b in venue.rate_limits)
    return VenueSettings(
        order_ns=round(venue.order_latency_ms * NS_PER_MS),
        cancel_ns=round(venue.cancel_latency_ms * NS_PER_MS),
        response_ns=round(venue.response_latency_ms * NS_PER_MS),
        latency=LatencyKind(venue.latency),
        feed_multiple=venue.feed_multiple,
        samples=samples if venue.latency == "bootstrap" else None,
        budgets=budgets,
        place_weight=venue.place_weight,
        cancel_weight=venue.cancel_weight,
        overload=None if venue.overload is None else Overload(venue.overload.events_per_s, venue.overload.slope, venue.overload.most),
        cash=venue.cash,
        funds_checked=venue.funds_checked,
        margined=venue.margined,
    )


def _feed_latencies(tape: Tape) -> np.ndarray:
    """Feed latencies of the tape, evenly thinned, as the pool that bootstrapped order latencies are drawn from."""
    latencies = np.asarray(tape.rows["receive_ns"] - tape.rows["exchange_ns"])
    every = max(1, len(latencies) // BOOTSTRAP_SAMPLES)
    thinned: np.ndarray = np.maximum(latencies[::every][:BOOTSTRAP_SAMPLES], 0)
    return thinned


def _opened_perpetuals(settings: ReplaySettings, instruments: tuple[Instrument, ...], tape: Tape) -> ReplaySettings:
    """Give the venue's running cash what an opening derivative position would otherwise appear to have earned at once.

    A position that is held at the start was opened at the first price of the tape: its notional is owed (long) or was received (short).
    """
    starts = {k: settings.instruments[i.key].start_lots for k, i in enumerate(instruments) if i.kind is Kind.PERPETUAL}
    if not any(starts.values()):
        return settings
    venues = dict(settings.venues)
    for k, lots in starts.items():
        if lots == 0:
            continue
        instrument = instruments[k]
        prices = tape.rows[(tape.rows["instrument"] == k) & ((tape.rows["kind"] == 10) | (tape.rows["kind"] == 1))]["ticks"]
        if not len(prices):
            raise UsageError(f"{instrument.key}: start_lots is {lots}, but the tape has no price to open that position at")
        owed = instrument.notional(int(prices[0]), lots)
        venue = venues[instrument.venue]
        venues[instrument.venue] = dataclasses.replace(venue, opening_cost=venue.opening_cost + owed)
    return dataclasses.replace(settings, venues=venues)
