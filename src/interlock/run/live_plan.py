"""Live: a configuration and what venues list become what the engine runs. The strategy, its parameters and our own limits are those of a replay."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from interlock.domain.clock import NS_PER_S
from interlock.domain.errors import BadInput
from interlock.domain.instruments import Instrument
from interlock.engine.edge import EdgeRule
from interlock.run.chosen_strategy import strategy_of
from interlock.run.config import RunConfig
from interlock.simulate.settings import Budget, InstrumentSettings, ReplaySettings, VenueSettings
from interlock.simulate.world import Strategy


@dataclass(frozen=True)
class LivePlan:
    """What the engine runs. `instruments` are in the order of their numbers, by venue and symbol; without `edge` none is measured."""

    instruments: tuple[Instrument, ...]
    settings: ReplaySettings
    strategy: Strategy
    edge: EdgeRule | None = None


def wanted(config: RunConfig, path: Path) -> dict[str, tuple[str, ...]]:
    """By venue: the symbols that a configuration names. Raises BadInput for a name that is none."""
    found: dict[str, list[str]] = {}
    for key in sorted(config.instruments, key=lambda one: tuple(one.split(":", 1))):
        venue, _, symbol = key.partition(":")
        if not symbol or venue not in config.venues:
            raise BadInput(
                path, f"instruments.{key}", f"expected venue:symbol with a venue of this configuration ({', '.join(config.venues)})"
            )
        found.setdefault(venue, []).append(symbol)
    return {venue: tuple(symbols) for venue, symbols in found.items()}


def live_plan(config: RunConfig, path: Path, instruments: Sequence[Instrument]) -> LivePlan:
    """Bring them together. Raises BadInput where they do not fit.

    Latencies of the configuration are for replays; here the wire has its own. Positions are what the gate tells.
    """
    known = {one.key: one for one in instruments}
    if set(known) != set(config.instruments):
        raise BadInput(path, "instruments", f"expected {', '.join(sorted(config.instruments))}, listed were {', '.join(sorted(known))}")
    ordered = tuple(known[key] for key in sorted(known, key=lambda key: (known[key].venue, known[key].symbol)))
    settings = ReplaySettings(
        venues={
            name: VenueSettings(
                order_ns=0,
                cancel_ns=0,
                response_ns=0,
                budgets=()
                if venue.rate_limits == "off"
                else tuple(Budget(one.messages, round(one.window_s * 1e9), one.cancel_reserve) for one in venue.rate_limits),
                place_weight=venue.place_weight,
                cancel_weight=venue.cancel_weight,
                cash=venue.cash,
            )
            for name, venue in config.venues.items()
        },
        instruments={
            key: InstrumentSettings(max_position_lots=one.max_position_lots, collar_millionths=round(one.collar_bps * 100))
            for key, one in config.instruments.items()
        },
        max_open_orders=config.model.max_open_orders,
        seed=config.seed,
    )
    strategy, _ = strategy_of(config, path, ordered)
    return LivePlan(ordered, settings, strategy, _edge(config))


def _edge(config: RunConfig) -> EdgeRule | None:
    asked = config.edge
    if asked is None:
        return None
    return EdgeRule(
        threshold_bps=asked.threshold_bps,
        horizon_ns=round(asked.horizon_s * NS_PER_S),
        window_fills=asked.window_fills,
        least_fills=asked.least_fills,
    )


def file_digest(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
