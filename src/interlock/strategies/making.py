"""Maker-rebate market making on one instrument.

Fair value = mid + micro_weight x (micro-price - mid) + imbalance_weight x imbalance x half the spread, where the micro-price weighs each side's best
price by the other side's size and the imbalance runs over the best levels. The quotes stand around a centre that leans **against** the
inventory: centre = fair x (1 - skew), skew = skew_bps x inventory / max_inventory, so that a long position lowers both quotes. Half-spread =
max(min_half_spread, volatility_multiple x volatility over the horizon), volatility from an exponentially weighted mean of squared returns a
second. Levels stand step_bps apart, each smaller by level_shrink.

An order is left alone while it is within the tolerance of where it should be, replaced when it is not (or when it is older than max_age and not
exact), and cancelled at once when the centre has come too close to it or the inventory's bound no longer has room for it. All orders are
post-only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from interlock.market.book import lots_at
from interlock.market.compiled import compiled
from interlock.strategies.contract import (
    CANCEL,
    KERNEL,
    PLACE,
    REPLACE,
    STATUS_CANCELLING,
    STATUS_FREE,
    STATUS_OPEN,
    TIF_POST_ONLY,
    WAKE_ACCEPTED,
    WAKE_CANCELLED,
    WAKE_ENDED,
    WAKE_FILL,
    WAKE_SIZE,
    WAKE_TIMER,
)
from interlock.strategies.params import Params, index_of

WAKES = WAKE_SIZE | WAKE_TIMER | WAKE_ACCEPTED | WAKE_FILL | WAKE_ENDED | WAKE_CANCELLED
STATE_SIZE = 8


@dataclass(frozen=True)
class MakingParams(Params):
    """What the operator sets. `_bps` are 1e-4 of the price, `_lots` lots of the instrument, `_ms` and `_s` time.

    The strategy's own inventory bound `max_inventory_lots` must lie inside the position limit: the limit counts every open order as filled.
    """

    order_lots: int = 10
    levels: int = 2
    step_bps: float = 0.5
    level_shrink: float = 0.8
    max_inventory_lots: int = 50
    target_inventory_lots: int = 0
    micro_weight: float = 0.6
    imbalance_weight: float = 0.4
    imbalance_levels: int = 5
    min_half_spread_bps: float = 0.8
    max_half_spread_bps: float = 25.0
    volatility_multiple: float = 1.0
    volatility_horizon_s: float = 1.0
    volatility_half_life_s: float = 30.0
    skew_bps: float = 1.5
    tolerance_bps: float = 0.3
    max_age_ms: float = 3_000.0
    min_age_ms: float = 100.0
    fast_cancel_bps: float = 0.2

    def __post_init__(self) -> None:
        if not (self.order_lots > 0 and 1 <= self.levels <= 8 and self.max_inventory_lots > 0):
            raise ValueError("making: expected order_lots > 0, 1 <= levels <= 8, max_inventory_lots > 0")
        if not (0 < self.min_half_spread_bps <= self.max_half_spread_bps and self.skew_bps >= 0):
            raise ValueError("making: expected 0 < min_half_spread_bps <= max_half_spread_bps and skew_bps >= 0")
        if min(self.step_bps, self.tolerance_bps, self.fast_cancel_bps, self.max_age_ms, self.min_age_ms) < 0:
            raise ValueError("making: distances and ages must not be negative")
        if not (self.volatility_half_life_s > 0 and self.volatility_horizon_s > 0 and 0 < self.level_shrink <= 1):
            raise ValueError("making: expected positive volatility times and 0 < level_shrink <= 1")
        if (
            min(self.micro_weight, self.imbalance_weight) < 0
            or self.micro_weight + self.imbalance_weight > 1 + 1e-9
            or self.imbalance_levels < 1
        ):
            raise ValueError(
                "making: expected imbalance_levels >= 1 and micro_weight and imbalance_weight >= 0 with a sum of at most 1, "
                "so that fair value stays between bid and ask"
            )
        if not self.fast_cancel_bps < self.min_half_spread_bps:
            raise ValueError("making: expected fast_cancel_bps < min_half_spread_bps; every quote would be cancelled as soon as it rests")


_I = index_of(MakingParams)
ORDER_LOTS, LEVELS, STEP_BPS, LEVEL_SHRINK = _I["order_lots"], _I["levels"], _I["step_bps"], _I["level_shrink"]
MAX_INVENTORY, TARGET_INVENTORY = _I["max_inventory_lots"], _I["target_inventory_lots"]
MICRO_WEIGHT, IMBALANCE_WEIGHT, IMBALANCE_LEVELS = _I["micro_weight"], _I["imbalance_weight"], _I["imbalance_levels"]
MIN_HALF, MAX_HALF = _I["min_half_spread_bps"], _I["max_half_spread_bps"]
VOL_MULTIPLE, VOL_HORIZON, VOL_HALF_LIFE = _I["volatility_multiple"], _I["volatility_horizon_s"], _I["volatility_half_life_s"]
SKEW_BPS, TOLERANCE_BPS = _I["skew_bps"], _I["tolerance_bps"]
MAX_AGE_MS, MIN_AGE_MS, FAST_CANCEL_BPS = _I["max_age_ms"], _I["min_age_ms"], _I["fast_cancel_bps"]

# state
VARIANCE, LAST_MID, LAST_NS_HIGH, LAST_NS_LOW, SEEN = 0, 1, 2, 3, 4
SPLIT = 1_000_000_000


@compiled(inline=True)
def micro_price(book: Any) -> float:
    """Best prices weighted by the other side's size, in ticks."""
    # In floats: the integer product of a price and a size of a small coin does not fit into 64 bits.
    return (book.bid_ticks * float(book.ask_lots) + book.ask_ticks * float(book.bid_lots)) / (book.bid_lots + book.ask_lots)


@compiled(inline=True)
def imbalance(book: Any, depth: Any, levels: int) -> float:
    """(bids - asks) / (bids + asks) over the best `levels` prices of each side, -1..1."""
    bids = 0
    asks = 0
    for i in range(levels):
        bids += lots_at(book, depth, 1, book.bid_cell - i)
        asks += lots_at(book, depth, -1, book.ask_cell + i)
    return (bids - asks) / (bids + asks) if bids + asks > 0 else 0.0


@compiled(inline=True)
def update_variance(state: Any, mid: float, now_ns: int, half_life_s: float) -> float:
    """Exponentially weighted variance of returns a second (fraction squared); the time is kept in two floats to stay exact."""
    seconds = float(now_ns // SPLIT)
    rest_ns = float(now_ns % SPLIT)
    if state[SEEN] == 0.0:
        state[SEEN] = 1.0
    else:
        elapsed_s = (seconds - state[LAST_NS_HIGH]) + (rest_ns - state[LAST_NS_LOW]) * 1e-9
        if elapsed_s <= 0.0 or (mid == state[LAST_MID] and elapsed_s < 0.05):
            return state[VARIANCE]
        move = math.log(mid / state[LAST_MID])
        keep = 0.5 ** (elapsed_s / half_life_s)
        state[VARIANCE] = keep * state[VARIANCE] + (1.0 - keep) * move * move / elapsed_s
    state[LAST_MID] = mid
    state[LAST_NS_HIGH] = seconds
    state[LAST_NS_LOW] = rest_ns
    return state[VARIANCE]


@compiled(inline=True)
def fair_value(book: Any, depth: Any, params: Any) -> float:
    """Fair value in ticks."""
    mid = 0.5 * (book.bid_ticks + book.ask_ticks)
    half_spread = 0.5 * (book.ask_ticks - book.bid_ticks)
    lean = params[IMBALANCE_WEIGHT] * imbalance(book, depth, int(params[IMBALANCE_LEVELS])) * half_spread
    return mid + params[MICRO_WEIGHT] * (micro_price(book) - mid) + lean


@compiled(inline=True)
def quote_ticks(side: int, centre: float, distance: float, book: Any) -> int:
    """The price of a quote, rounded away from the market to the price step and never crossing it, in ticks."""
    step = book.step_ticks
    if side > 0:
        ticks = math.floor((centre - distance) / step) * step
        # The market itself may stand between two steps, on a recording from before the venue made them coarser.
        return min(ticks, (book.ask_ticks - 1) // step * step)
    ticks = math.ceil((centre + distance) / step) * step
    return max(ticks, (book.bid_ticks // step + 1) * step)


@compiled(inline=True)
def quoting(book: Any, depth: Any, params: Any, variance: float) -> tuple[float, float, float, float, float]:
    """(fair value in ticks, volatility in bps over the horizon, half-spread in bps, lean of the inventory -1..1, centre in ticks)."""
    fair = fair_value(book, depth, params)
    volatility_bps = 1e4 * math.sqrt(variance * params[VOL_HORIZON])
    half_bps = min(max(params[MIN_HALF], params[VOL_MULTIPLE] * volatility_bps), params[MAX_HALF])
    inventory = book.position_lots - int(params[TARGET_INVENTORY])
    lean = max(-1.0, min(1.0, inventory / params[MAX_INVENTORY]))
    return fair, volatility_bps, half_bps, lean, fair * (1.0 - params[SKEW_BPS] * lean * 1e-4)


@compiled(KERNEL)
def making(view: Any, books: Any, depth: Any, orders: Any, params: Any, state: Any, now_ns: int, intents: Any) -> int:
    """Quote both sides of instrument 0."""
    book = books[0]
    high = view[0].orders_high
    n = 0
    if book.bid_lots == 0 or book.ask_lots == 0 or book.bid_ticks >= book.ask_ticks or book.trading == 0:
        # No market to quote in: take everything back.
        for s in range(high):
            if orders[s].status == STATUS_OPEN:
                intents[n].kind = CANCEL
                intents[n].slot = s
                n += 1
        return n
    mid = 0.5 * (book.bid_ticks + book.ask_ticks)
    variance = update_variance(state, mid, now_ns, params[VOL_HALF_LIFE])
    fair, _, half_bps, _, centre = quoting(book, depth, params, variance)
    inventory = book.position_lots - int(params[TARGET_INVENTORY])
    tolerance = params[TOLERANCE_BPS] * 1e-4 * fair
    too_close = params[FAST_CANCEL_BPS] * 1e-4 * fair
    levels = int(params[LEVELS])
    for side in (1, -1):
        lots = params[ORDER_LOTS]
        room = params[MAX_INVENTORY] - side * inventory
        for level in range(levels):
            tag = side * (level + 1)
            distance = (half_bps + level * params[STEP_BPS]) * 1e-4 * fair
            ticks = quote_ticks(side, centre, distance, book)
            size = int(min(lots, room))
            room -= size
            lots *= params[LEVEL_SHRINK]
            slot = -1
            for s in range(high):
                if orders[s].tag == tag and orders[s].status != STATUS_FREE and orders[s].status != STATUS_CANCELLING:
                    slot = s
            notional = float(size) * ticks * book.price_unit * book.lot_unit
            wanted = ticks > 0 and size >= book.min_lots and notional >= book.min_notional
            kind = 0
            if slot < 0:
                kind = PLACE if wanted else 0
            elif orders[slot].status == STATUS_OPEN:
                order = orders[slot]
                age_ms = (now_ns - order.decided_ns) * 1e-6
                if not wanted or order.leaves_lots > size or (centre - order.ticks) * side < too_close:
                    kind = CANCEL
                elif (abs(order.ticks - ticks) > tolerance and age_ms >= params[MIN_AGE_MS]) or (
                    order.ticks != ticks and age_ms >= params[MAX_AGE_MS]
                ):
                    kind = REPLACE
            if kind != 0:
                intent = intents[n]
                intent.kind = kind
                intent.slot = slot
                intent.instrument = 0
                intent.side = side
                intent.tif = TIF_POST_ONLY
                intent.ticks = ticks
                intent.lots = size
                intent.tag = tag
                intent.reduce_only = 0
                n += 1
    return n
