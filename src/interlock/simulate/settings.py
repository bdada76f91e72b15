"""What a replay assumes about venues, accounts and our own limits. Plain values; configuration files are parsed elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

import numpy as np


class LatencyKind(StrEnum):
    """How the delay of a message is found; the constants of `VenueSettings` are added in every case."""

    CONSTANT = "constant"
    FEED = "feed"
    BOOTSTRAP = "bootstrap"


class QueueModel(StrEnum):
    """How our place in the queue is estimated (`interlock.simulate.queue`)."""

    RISK_AVERSE = "risk_averse"
    POWER = "power"
    TRADE_THROUGH = "trade_through"
    """No queue is estimated: only a trade through our price fills, or the opposite best price reaching it. For depth coarser than 100 ms."""


@dataclass(frozen=True, slots=True)
class Budget:
    """At most `messages` in each fixed window of `window_ns`, `cancel_reserve` of them for cancels alone."""

    messages: int
    window_ns: int
    cancel_reserve: int

    def __post_init__(self) -> None:
        if not (self.messages > 0 and self.window_ns > 0 and 0 <= self.cancel_reserve < self.messages):
            raise ValueError(f"message budget: expected messages > cancel_reserve >= 0 and a positive window, found {self}")


@dataclass(frozen=True, slots=True)
class Overload:
    """Above `rate` events a second the venue refuses orders with probability slope x (rate / threshold - 1), at most `most`."""

    rate: float
    slope: float
    most: float


@dataclass(frozen=True, slots=True)
class VenueSettings:
    """One venue: delays in nanoseconds, up to two message budgets, and the account there.

    `cash` is the opening balance of the quote currency; `opening_cost` the notional of derivative positions held at the start (negative for
    shorts), so that the venue's own equity starts at `cash`. `funds_checked` makes the venue refuse spot orders that the account cannot pay for;
    `margined` applies margin tiers, refusals and liquidation. An empty `budgets` means that message rates are not limited, which caps what
    the result may claim.
    """

    order_ns: int
    cancel_ns: int
    response_ns: int
    latency: LatencyKind = LatencyKind.CONSTANT
    feed_multiple: float = 1.0
    samples: np.ndarray | None = None
    samples_block: int = 50
    budgets: tuple[Budget, ...] = ()
    place_weight: int = 1
    cancel_weight: int = 1
    overload: Overload | None = None
    cash: Decimal = Decimal(0)
    opening_cost: Decimal = Decimal(0)
    funds_checked: bool = True
    margined: bool = True

    def __post_init__(self) -> None:
        if min(self.order_ns, self.cancel_ns, self.response_ns) < 0:
            raise ValueError("latencies: expected nanoseconds >= 0")
        if len(self.budgets) > 2:
            raise ValueError("message budgets: at most two windows")
        if self.latency is LatencyKind.BOOTSTRAP and self.samples is None:
            raise ValueError("bootstrapped latency needs samples")


@dataclass(frozen=True, slots=True)
class InstrumentSettings:
    """Limits and opening position of one instrument, in lots; a collar of 0 is off.

    `participation_millionths` is the share of a bar's volume that our orders may take.
    """

    max_position_lots: int
    collar_millionths: int = 0
    participation_millionths: int = 50_000
    start_lots: int = 0


@dataclass(frozen=True, slots=True)
class ReplaySettings:
    """Everything about a replay but the tape and the strategy. Keys: venue name, and `venue:symbol`."""

    venues: Mapping[str, VenueSettings]
    instruments: Mapping[str, InstrumentSettings]
    queue: QueueModel = QueueModel.RISK_AVERSE
    queue_power: float = 2.0
    partial_fills: bool = True
    self_match_refused: bool = True
    decide_on_feed_only: bool = False
    max_open_orders: int = 32
    sample_period_ns: int = 1_000_000_000
    seed: int = 1
    maker_fee_add: Decimal = Decimal(0)
    taker_fee_add: Decimal = Decimal(0)
    maker_fee_set: Decimal | None = None
    latency_factor: float = 1.0
