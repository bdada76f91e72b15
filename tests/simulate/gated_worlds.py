"""Small markets of `worlds` with the gate's decision on the way out: one coin at one venue, and limits with room for everything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import msgspec
from tests.simulate.kernels import Act
from tests.simulate.worlds import TIERS, Line, Setup, perpetual, script_strategy, tape, venue_settings

from interlock.domain.orders import OrderType, Side, TimeInForce
from interlock.gate.limit_sheet import Account, Allow, Asset, Currency, LimitSheet, Strategy, Symbol, Venue
from interlock.simulate.full import replay_full
from interlock.simulate.gated.gate import Opening, ReplayGate
from interlock.simulate.gated.judge import GatedOrders
from interlock.simulate.gated.prices import Prices
from interlock.simulate.outcome import Outcome
from interlock.simulate.world import fee_rates

MS = 1_000_000
S = 1_000 * MS
MANY = 1 << 40
HOUR_NS = 3_600 * S
CASH = Decimal(1_000_000)
A = perpetual(margin_tiers=TIERS)
NAME = A.key


def sheet(**symbol: Any) -> LimitSheet:
    """Limits with room for everything, but for what is given of the one instrument."""
    wide: dict[str, Any] = {
        "allow": tuple(
            Allow(side=side, type=OrderType.LIMIT, tif=tif, reduce_only=reduce)
            for side in Side
            for tif in TimeInForce
            for reduce in (False, True)
        ),
        "max_order_lots": MANY,
        "max_order_notional_micro_usd": MANY,
        "max_position_lots": MANY,
        "max_position_notional_micro_usd": MANY,
        "max_open_orders_count": 1_000,
        "freshness_reference_ns": 3 * S,
        "max_reference_spread_millionths": 1_000_000,
        "max_book_disagreement_millionths": 1_000_000,
        "collar_reference_millionths": 1_000_000,
        "collar_peer_millionths": 1_000_000,
        "peer": "none",
        "max_drift_millionths": 1_000_000,
        "drift_window_ns": S,
        "tightening": ((0, 1_000_000),),
        **symbol,
    }
    return LimitSheet(
        account=Account(
            max_order_notional_micro_usd=MANY,
            max_gross_notional_micro_usd=MANY,
            max_daily_loss_micro_usd=MANY,
            max_drawdown_micro_usd=MANY,
            unrealised_breach_marks_count=1,
            mark_spacing_ns=S,
            freshness_mark_ns=5 * S,
            freshness_equity_ns=10 * S,
            freshness_engine_book_ns=HOUR_NS,
            max_leg_skew_ns=S,
            shock_millionths=1,
        ),
        venues={
            A.venue: Venue(
                accounts=("main",),
                max_gross_notional_micro_usd=MANY,
                max_messages_count=10_000,
                max_cancels_count=10_000,
                cancel_reserve_count=1,
                messages_window_ns=10 * S,
                max_unattended_resting_micro_usd=MANY,
                min_available_margin_micro_usd=0,
                max_margin_ratio_millionths=1_000_000,
                min_liquidation_distance_millionths=1,
                expected_reject_codes=(),
            )
        },
        symbols={NAME: Symbol(**wide)},
        assets={
            "A": Asset(
                max_naked_notional_micro_usd=MANY, naked_tolerance_micro_usd=MANY, max_naked_ns=HOUR_NS, max_group_loss_micro_usd=MANY
            )
        },
        currencies={
            "USDT": Currency(
                freshness_rate_ns=5 * S,
                min_sources_count=1,
                max_disagreement_millionths=1_000,
                lowest_rate_micro_usd=1,
                highest_rate_micro_usd=2_000_000,
                max_daily_loss_micro_units=MANY,
            )
        },
        strategies={
            "scripted": Strategy(
                max_orders_count=10_000,
                orders_window_ns=60 * S,
                max_identical_orders_count=10_000,
                identical_orders_window_ns=60 * S,
                max_reject_streak_count=1_000,
                max_losing_streak_count=1_000,
            )
        },
    )


def with_venue(found: LimitSheet, **changes: Any) -> LimitSheet:
    """The sheet with other values of its one venue."""
    return msgspec.structs.replace(found, venues={A.venue: msgspec.structs.replace(found.venues[A.venue], **changes)})


def with_account(found: LimitSheet, **changes: Any) -> LimitSheet:
    """The sheet with other values for everything together."""
    return msgspec.structs.replace(found, account=msgspec.structs.replace(found.account, **changes))


@dataclass(frozen=True)
class Played:
    """What came of a script: the outcome without the gate and with it, and that gate as it stood at the end."""

    bare: Outcome
    gated: Outcome
    gate: ReplayGate
    counts: dict[str, int]


def play(lines: Sequence[Line], acts: Sequence[Act], limits: LimitSheet, until_ns: int, tick_ns: int = 5 * MS, **setup: Any) -> Played:
    """Play a script over lines of a tape event by event, without a gate and with one."""
    usual = {"instruments": [A], "venues": {A.venue: venue_settings(cash=CASH)}}
    given = Setup(tape(lines, until_ns=until_ns), **{**usual, **setup})
    strategy = script_strategy(acts, tick_ns)
    bare = replay_full(given.world(strategy), strategy.kernel)
    world, settings = given.world(strategy), given.settings()
    own = settings.instruments[NAME].start_lots
    gate = ReplayGate(
        limits,
        given.instruments,
        {A.venue: "main"},
        "scripted",
        "scr1",
        [fee_rates(one, settings) for one in given.instruments],
        Opening({A.venue: settings.venues[A.venue].cash}, {0: (own, 100)}),
        seed=1,
        start_ns=int(world.rows["receive_ns"][0]),
        until_ns=until_ns + 1,
    )
    judge = GatedOrders(world, gate, Prices(world, given.instruments, gate.readings, limits, {"USDT": lambda: Decimal(1)}))
    return Played(bare, replay_full(world, strategy.kernel, judge=judge), gate, judge.counts)
