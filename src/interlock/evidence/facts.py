"""Everything that the evidence of a run needs and cannot derive: plain values, put together by the caller."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Literal

import numpy as np

from interlock.domain.instruments import Instrument
from interlock.simulate.outcome import Outcome
from interlock.simulate.settings import QueueModel, ReplaySettings


class StrategyKind(StrEnum):
    """What a strategy lives from; decides how its edge is taken apart."""

    MAKING = "making"
    ARBITRAGE = "arbitrage"


@dataclass(frozen=True, slots=True)
class ReportingRate:
    """A rate for reports, never for decisions. `as_of_ns`: the time of the rate, nanoseconds UTC."""

    value: Decimal
    source: str
    as_of_ns: int

    def __post_init__(self) -> None:
        if not (self.value.is_finite() and self.value > 0):
            raise ValueError(f"reporting rate from {self.source!r}: expected a positive number, found {self.value}")
        if not self.source:
            raise ValueError(f"reporting rate {self.value}: expected the name of its source, found none")


@dataclass(frozen=True, slots=True)
class Reporting:
    """The rates into which results are translated; None where nobody gave one.

    `krw_per_usdt_open` is the rate at the start of the run; with it the translation of opening balances is reported (on its own).
    """

    usd_per_usdt: ReportingRate | None = None
    krw_per_usdt: ReportingRate | None = None
    krw_per_usdt_open: ReportingRate | None = None


@dataclass(frozen=True, slots=True)
class Variation:
    """One named change of the world, for the fragility card (docs/model.md, fragility).

    Fees are fractions of notional; `latency_factor` multiplies what the settings say; `fx_shift` is a relative change of the FX rate that
    the strategy decides with.
    """

    name: str
    maker_fee_add: Decimal = Decimal(0)
    taker_fee_add: Decimal = Decimal(0)
    maker_fee_set: Decimal | None = None
    latency_factor: float = 1.0
    queue: QueueModel | None = None
    fx_shift: Decimal = Decimal(0)

    def apply(self, settings: ReplaySettings) -> ReplaySettings:
        """The settings of the changed world. `fx_shift` concerns the strategy and is left to the caller."""
        return dataclasses.replace(
            settings,
            maker_fee_add=settings.maker_fee_add + self.maker_fee_add,
            taker_fee_add=settings.taker_fee_add + self.taker_fee_add,
            maker_fee_set=settings.maker_fee_set if self.maker_fee_set is None else self.maker_fee_set,
            latency_factor=settings.latency_factor * self.latency_factor,
            queue=settings.queue if self.queue is None else self.queue,
        )


Rerun = Callable[[Variation], Outcome]
"""Replays the same tape and strategy under `variation.apply(settings)`."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A spot instrument and the perpetual that hedges it, by number. One base unit of the perpetual (multiplier applied) hedges `ratio`
    base units of the spot, normally 1."""

    spot: int
    perp: int
    ratio: Decimal = Decimal(1)


@dataclass(frozen=True)
class RunFacts:
    """A run, as its caller knows it. Times are nanoseconds UTC.

    rows, exchange_order: the tape, for mids at arbitrary times; without rows the 1 s samples serve.
    wall_start_ns, wall_end_ns: when the process ran (the market's window is the outcome's).
    loop_latency_ns: one int64 for each decision measured, frame to intent; None where nothing was measured.
    base_maker_rate: by instrument key, the maker rate without any programme; needed where the profile in force is not "base".
    expected_edge_bps: by order sequence number, the edge that the strategy expected of its trip, net, basis points of notional.
    exit_code: the process's; None takes it from how the run ended.
    """

    run_id: str
    session_id: str
    environment: str
    universe_mode: str
    strategy: str
    kind: StrategyKind
    instruments: tuple[Instrument, ...]
    settings: ReplaySettings
    outcome: Outcome
    rows: np.ndarray
    exchange_order: np.ndarray | None
    provenance: Literal["real", "constructed", "synthetic"]
    config_digest: str
    wall_start_ns: int
    wall_end_ns: int
    mode: str = "replay"
    loop_latency_ns: np.ndarray | None = None
    cpu_percent: float | None = None
    memory_mb: float | None = None
    pairs: tuple[Pair, ...] = ()
    reporting: Reporting = field(default_factory=Reporting)
    flow_venue: str = ""
    fee_venue: str = ""
    latency_source: str = ""
    feed_latency: Literal["measured", "assumed", "none"] = "assumed"
    depth_interval_ms: float | None = None
    bars: bool = False
    inferred_instruments: bool = False
    rate_limits_on: bool = True
    exit_reasons: Mapping[str, int] = field(default_factory=dict)
    fx_source: Literal["book", "implied", "none"] = "none"
    fx_age_s: float | None = None
    base_maker_rate: Mapping[str, Decimal] = field(default_factory=dict)
    expected_edge_bps: Mapping[int, Decimal] | None = None
    broken_invariants: tuple[str, ...] = ()
    exit_code: int | None = None
    rerun: Rerun | None = None

    def __post_init__(self) -> None:
        count = len(self.instruments)
        for pair in self.pairs:
            if not (0 <= pair.spot < count and 0 <= pair.perp < count and pair.spot != pair.perp and pair.ratio > 0):
                raise ValueError(f"run {self.run_id}: expected pairs of two of {count} instruments with a positive ratio, found {pair}")
        legs = [leg for pair in self.pairs for leg in (pair.spot, pair.perp)]
        if len(legs) != len(set(legs)):
            raise ValueError(f"run {self.run_id}: expected each instrument in one pair at most, found {self.pairs}")
        if self.kind is StrategyKind.ARBITRAGE and not self.pairs:
            raise ValueError(f"run {self.run_id}: an arbitrage needs its pairs (spot and perpetual by number), found none")
