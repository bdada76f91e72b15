"""Arbitrage between a spot market in won and a perpetual in dollars, on several pairs: buy where the coin is cheap, sell where it is dear.

The **premium** of a pair is ln(spot price / (perpetual price x FX)). It is a forecast trade, not a lock: the profit is the change of the premium
between entry and exit. What is structural in it (a persistent basis, an FX error) is learned as an exponentially weighted mean with its
standard error; only the distance from that mean is opportunity.

    expected edge = direction x (mean - executable entry premium) - z x standard error - costs
    costs         = taker fees of four legs + half spreads of the exit + expected funding + FX uncertainty + buffer

Executable means at size: the book is walked for the order's lots. FX is an instrument's mid (Upbit's KRW-USDT), or the mean of what the **other**
pairs imply, never the judged one's own. Entries need fresh data on both legs and of FX; exits come in this order: health (which includes that
nothing could be judged for too long), stop, take-profit, time limit, reversal. Spot can only be sold if it is held, so a position that is
short the premium uses the inventory that the account opened with.

Both legs are sent at once as immediate-or-cancel limits; what fills on one leg only is hedged on the perpetual at the next decision, and what
does not fill then is tried again on newer data or after max_age_s. Sizes are floored to both legs' lots; the remainder is the hedge residual
of the report.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from interlock.market.book import lots_at
from interlock.market.compiled import compiled
from interlock.strategies.contract import KERNEL, PLACE, TIF_IOC, WAKE_BAR, WAKE_CANCELLED, WAKE_ENDED, WAKE_FILL, WAKE_SIZE, WAKE_TIMER
from interlock.strategies.params import Params, index_of
from interlock.strategies.tags import EDGE_OFFSET, EDGE_SCALE, Leg

WAKES = WAKE_BAR | WAKE_SIZE | WAKE_TIMER | WAKE_FILL | WAKE_ENDED | WAKE_CANCELLED


@dataclass(frozen=True)
class ArbitrageParams(Params):
    """What the operator sets for all pairs. `_bps` are 1e-4 of notional, `_s` seconds of market time.

    `fx_instrument` is the number of the KRW-USDT instrument, or -1: FX is what the other pairs imply. `entry_edge_bps` is the least expected
        edge, `standard_errors` the z of the forecast's discount, `fx_uncertainty_bps` half the spread plus half a tick of the FX source,
        `fx_shift_bps` a deliberate error of FX for fragility runs.
    """

    fx_instrument: int = -1
    entry_edge_bps: float = 5.0
    take_profit_bps: float = 10.0
    stop_loss_bps: float = 60.0
    time_limit_s: float = 86_400.0
    basis_half_life_s: float = 43_200.0
    basis_samples: float = 200.0
    standard_errors: float = 1.0
    fx_uncertainty_bps: float = 0.0
    buffer_bps: float = 0.0
    collar_bps: float = 100.0
    max_age_s: float = 1.0
    max_skew_s: float = 1.0
    health_age_s: float = 3_600.0
    max_premium: float = 0.3
    fx_shift_bps: float = 0.0

    def __post_init__(self) -> None:
        if not (self.take_profit_bps > 0 and self.stop_loss_bps > 0 and self.time_limit_s > 0):
            raise ValueError("arbitrage: take_profit_bps, stop_loss_bps and time_limit_s must be positive; 0 does not switch an exit off")
        if not (self.basis_half_life_s > 0 and self.basis_samples >= 2 and self.standard_errors >= 0 and self.collar_bps > 0):
            raise ValueError("arbitrage: expected positive basis_half_life_s and collar_bps, basis_samples >= 2, standard_errors >= 0")


@dataclass(frozen=True)
class PairParams(Params):
    """One pair: instrument numbers, the perpetual lots of one trade, how many trades may be open at once, and the opening positions."""

    spot: int
    perp: int
    trade_lots: int
    start_spot_lots: int
    start_perp_lots: int


_G = index_of(ArbitrageParams)
FX_INSTRUMENT, ENTRY_EDGE, TAKE_PROFIT, STOP_LOSS = _G["fx_instrument"], _G["entry_edge_bps"], _G["take_profit_bps"], _G["stop_loss_bps"]
TIME_LIMIT, HALF_LIFE, SAMPLES, STANDARD_ERRORS = _G["time_limit_s"], _G["basis_half_life_s"], _G["basis_samples"], _G["standard_errors"]
FX_UNCERTAINTY, BUFFER, COLLAR = _G["fx_uncertainty_bps"], _G["buffer_bps"], _G["collar_bps"]
MAX_AGE, MAX_SKEW, HEALTH_AGE, MAX_PREMIUM = _G["max_age_s"], _G["max_skew_s"], _G["health_age_s"], _G["max_premium"]
FX_SHIFT = _G["fx_shift_bps"]
GLOBALS = len(_G)
_P = index_of(PairParams)
SPOT, PERP, TRADE_LOTS, START_SPOT, START_PERP = (
    _P["spot"],
    _P["perp"],
    _P["trade_lots"],
    _P["start_spot_lots"],
    _P["start_perp_lots"],
)
PAIR = len(_P)

# state of one pair
MEAN, VARIANCE, COUNT, SEEN_S, ENTRY_PREMIUM, ENTRY_S, DIRECTION, EVALUATED_S, TRIED_S = 0, 1, 2, 3, 4, 5, 6, 7, 8
PAIR_STATE = 9

ENTRY, TOOK_PROFIT, STOPPED_LOSS, TIMED_OUT, REVERSED, UNHEALTHY, HEDGED = (int(leg) for leg in Leg)
UNKNOWN = -1e9


def pack(params: ArbitrageParams, pairs: Sequence[PairParams]) -> np.ndarray:
    """The kernel's parameter array: the globals, then each pair."""
    return np.concatenate([params.pack(), *[p.pack() for p in pairs]])


def state_size(pairs: int) -> int:
    """Floats of state for a number of pairs."""
    return PAIR_STATE * pairs


@compiled(inline=True)
def data_ns(book: Any) -> int:
    """When the prices of a book became known, receive nanoseconds."""
    return book.bar_ns if book.is_bars != 0 else book.receive_ns


@compiled()
def executable_ticks(book: Any, depth: Any, side: int, lots: int) -> float:
    """Average price in ticks of taking `lots` now (side +1 buys), 0 if the book does not hold them."""
    if book.is_bars != 0:
        if lots > book.ask_lots:
            return 0.0
        return float(book.ask_ticks) if side > 0 else float(book.bid_ticks)
    left = lots
    paid = 0.0
    cell = book.ask_cell if side > 0 else book.bid_cell
    while left > 0 and 0 <= cell < book.cells:
        shown = min(left, lots_at(book, depth, -side, cell))
        paid += shown * float(book.base_ticks + cell * book.cell_ticks)
        left -= shown
        cell += side
    return paid / lots if left == 0 else 0.0


@compiled(inline=True)
def log_ratio(spot: Any, perp: Any) -> float:
    """ln(spot mid / perpetual mid): the FX rate that the pair implies, in logs; UNKNOWN without prices."""
    if spot.mid_twice <= 0 or perp.mid_twice <= 0:
        return UNKNOWN
    per_base = perp.base_unit / perp.lot_unit
    spot_per_base = spot.base_unit / spot.lot_unit
    return math.log(spot.mid_twice * spot.price_unit / spot_per_base) - math.log(perp.mid_twice * perp.price_unit / per_base)


@compiled()
def log_fx(books: Any, params: Any, pairs: int, judged: int, skew_ns: int) -> float:
    """ln(KRW per USDT) without the judged pair's own say; UNKNOWN if nothing fresh tells it."""
    number = int(params[FX_INSTRUMENT])
    now = data_ns(books[int(params[GLOBALS + PAIR * judged + SPOT])])
    if number >= 0:
        book = books[number]
        if book.mid_twice <= 0 or (now - data_ns(book)) * 1e-9 > params[MAX_AGE]:
            return UNKNOWN
        return math.log(book.mid_twice * 0.5 * book.price_unit) + params[FX_SHIFT] * 1e-4
    total = 0.0
    used = 0
    for p in range(pairs):
        if p == judged:
            continue
        spot = books[int(params[GLOBALS + PAIR * p + SPOT])]
        perp = books[int(params[GLOBALS + PAIR * p + PERP])]
        ratio = log_ratio(spot, perp)
        if ratio != UNKNOWN and abs(data_ns(spot) - now) <= skew_ns and abs(data_ns(perp) - now) <= skew_ns:
            total += ratio
            used += 1
    return total / used + params[FX_SHIFT] * 1e-4 if used > 0 else UNKNOWN


@compiled(inline=True)
def is_crossed(book: Any) -> bool:
    """Whether a book's best prices are no market. A bar's extremes may be equal."""
    return book.is_bars == 0 and (book.bid_ticks <= 0 or book.bid_ticks >= book.ask_ticks)


@compiled(inline=True)
def learn(state: Any, at: int, premium: float, seconds: float, half_life_s: float) -> None:
    """Update mean and variance of the premium with one observation; observations are weighted by the time since the last."""
    if state[at + COUNT] == 0.0:
        state[at + MEAN] = premium
        state[at + VARIANCE] = 0.0
    else:
        keep = 0.5 ** ((seconds - state[at + SEEN_S]) / half_life_s)
        # Until a half-life of data is in, a plain average keeps the first observations from ruling.
        weight = max(1.0 - keep, 1.0 / (state[at + COUNT] + 1.0))
        distance = premium - state[at + MEAN]
        state[at + MEAN] += weight * distance
        state[at + VARIANCE] = (1.0 - weight) * (state[at + VARIANCE] + weight * distance * distance)
    state[at + SEEN_S] = seconds
    state[at + COUNT] += 1.0


@compiled(inline=True)
def put(intents: Any, n: int, instrument: int, side: int, ticks: int, lots: int, tag: int) -> int:
    """Write one immediate-or-cancel order; returns the new count."""
    intent = intents[n]
    intent.kind = PLACE
    intent.slot = -1
    intent.instrument = instrument
    intent.side = side
    intent.tif = TIF_IOC
    intent.ticks = ticks
    intent.lots = lots
    intent.tag = tag
    intent.reduce_only = 0
    return n + 1


@compiled(inline=True)
def collared(book: Any, side: int, price_ticks: float, collar_bps: float) -> int:
    """The limit of a taking order: the collar beyond the expected price, rounded toward it to the price step, in ticks.

    It stays in the price band of the book's step: beyond it another step holds, and the venue would refuse the one leg.
    """
    step = book.step_ticks
    if side > 0:
        limit = math.floor(price_ticks * (1.0 + collar_bps * 1e-4) / step) * step
        return min(limit, book.band_end_ticks - step) if book.band_end_ticks > 0 else limit
    limit = math.ceil(price_ticks * (1.0 - collar_bps * 1e-4) / step) * step
    return max(limit, -(-book.band_first_ticks // step) * step)


@compiled(inline=True)
def tag_of(reason: int, pair: int, edge_bps: float) -> int:
    """Pack an order's tag (interlock.strategies.tags)."""
    edge = int(max(-10_000.0, min(10_000.0, edge_bps)) * EDGE_SCALE) + EDGE_OFFSET
    return (edge << 16) | (pair << 8) | reason


@compiled()
def _pair_step(books: Any, depth: Any, params: Any, state: Any, pairs: int, p: int, now_ns: int, intents: Any, n: int) -> int:
    """Decide for one pair; returns the number of intents so far."""
    base = GLOBALS + PAIR * p
    at = PAIR_STATE * p
    spot_number = int(params[base + SPOT])
    perp_number = int(params[base + PERP])
    spot = books[spot_number]
    perp = books[perp_number]
    if spot.open_orders > 0 or perp.open_orders > 0:
        return n
    seconds = now_ns * 1e-9
    collar = params[COLLAR]
    held_spot = spot.position_lots - int(params[base + START_SPOT])
    held_perp = perp.position_lots - int(params[base + START_PERP])

    # What one leg filled and the other did not is hedged on the perpetual, whatever else is true.
    naked = held_spot * spot.base_unit + held_perp * perp.base_unit
    fix_lots = int(abs(naked) / perp.base_unit + 1e-9)
    tried_s = state[at + TRIED_S]
    # What did not fill is not sent again on the same data at once: a venue that fills nothing would be sent an order each round trip.
    tired = seconds - tried_s < params[MAX_AGE] and data_ns(perp) * 1e-9 <= tried_s
    if fix_lots >= perp.min_lots and perp.trading != 0 and perp.mid_twice > 0:
        if tired:
            return n
        state[at + TRIED_S] = seconds
        side = -1 if naked > 0 else 1
        price = 0.5 * perp.mid_twice
        return put(intents, n, perp_number, side, collared(perp, side, price, collar), fix_lots, tag_of(HEDGED, p, 0.0))

    known_ns = min(data_ns(spot), data_ns(perp))
    age_s = (now_ns - known_ns) * 1e-9
    skew_ns = int(params[MAX_SKEW] * 1e9)
    fresh = age_s <= params[MAX_AGE] and abs(data_ns(spot) - data_ns(perp)) <= skew_ns
    if is_crossed(spot) or is_crossed(perp):
        fresh = False
    if spot.is_bars != 0:
        fresh = fresh and spot.bar_lots > 0 and perp.bar_lots > 0
    fx = log_fx(books, params, pairs, p, skew_ns)
    ratio = log_ratio(spot, perp)
    direction = int(state[at + DIRECTION])
    flat = abs(held_perp) < perp.min_lots
    if flat:
        direction = 0
        state[at + DIRECTION] = 0.0
    if not fresh or fx == UNKNOWN or ratio == UNKNOWN:
        blind_s = seconds - state[at + EVALUATED_S] if state[at + EVALUATED_S] > 0.0 else age_s
        if flat or blind_s <= params[HEALTH_AGE] or tired or spot.mid_twice <= 0 or perp.mid_twice <= 0:
            return n
        state[at + TRIED_S] = seconds
        return _close(spot, perp, spot_number, perp_number, held_spot, held_perp, collar, tag_of(UNHEALTHY, p, 0.0), intents, n)
    if known_ns * 1e-9 <= state[at + EVALUATED_S]:
        return n
    state[at + EVALUATED_S] = known_ns * 1e-9

    premium = ratio - fx
    usable = abs(premium) <= params[MAX_PREMIUM]
    perp_lots = int(params[base + TRADE_LOTS]) if flat else abs(held_perp)
    spot_lots = int(perp_lots * perp.base_unit / spot.base_unit + 1e-6) if flat else abs(held_spot)
    if flat:
        # Where a spot lot is more than a contract, the perpetual follows what spot can do.
        perp_lots = min(perp_lots, int(spot_lots * spot.base_unit / perp.base_unit + 1e-6))
    per_base = perp.base_unit / perp.lot_unit
    spot_per_base = spot.base_unit / spot.lot_unit
    spot_ask = executable_ticks(spot, depth, 1, spot_lots) * spot.price_unit / spot_per_base
    spot_bid = executable_ticks(spot, depth, -1, spot_lots) * spot.price_unit / spot_per_base
    perp_ask = executable_ticks(perp, depth, 1, perp_lots) * perp.price_unit / per_base
    perp_bid = executable_ticks(perp, depth, -1, perp_lots) * perp.price_unit / per_base
    if spot_ask <= 0.0 or spot_bid <= 0.0 or perp_ask <= 0.0 or perp_bid <= 0.0:
        if usable:
            learn(state, at, premium, seconds, params[HALF_LIFE])
        return n
    buy_premium = math.log(spot_ask / perp_bid) - fx
    sell_premium = math.log(spot_bid / perp_ask) - fx
    fees_bps = 2e4 * (spot.taker_rate + perp.taker_rate)

    if direction != 0:
        # Long the pair means bought spot, sold perpetual; it closes at the sell premium.
        exit_premium = sell_premium if direction > 0 else buy_premium
        net_bps = 1e4 * direction * (exit_premium - state[at + ENTRY_PREMIUM]) - fees_bps
        reason = 0
        if not usable:
            reason = UNHEALTHY
        elif net_bps <= -params[STOP_LOSS]:
            reason = STOPPED_LOSS
        elif net_bps >= params[TAKE_PROFIT]:
            reason = TOOK_PROFIT
        elif seconds - state[at + ENTRY_S] >= params[TIME_LIMIT]:
            reason = TIMED_OUT
        elif direction * (premium - state[at + MEAN]) > 0.0 and direction * (exit_premium - state[at + MEAN]) > 0.0:
            reason = REVERSED
        if usable:
            learn(state, at, premium, seconds, params[HALF_LIFE])
        if reason != 0:
            return _close(spot, perp, spot_number, perp_number, held_spot, held_perp, collar, tag_of(reason, p, net_bps), intents, n)
        return n

    mean = state[at + MEAN]
    count = state[at + COUNT]
    error_bps = 1e4 * math.sqrt(state[at + VARIANCE] / min(count, params[SAMPLES])) if count > 0 else 0.0
    ready = count >= params[SAMPLES]
    # A short perpetual receives funding when the rate is positive. Only the published prediction is known; without one the carry is not claimed.
    funding_bps = 1e4 * perp.funding_next * 1e-12 if perp.funding_known != 0 else 0.0
    exit_half_bps = 0.5e4 * (buy_premium - sell_premium)
    costs_bps = fees_bps + exit_half_bps + params[FX_UNCERTAINTY] + params[BUFFER] + params[STANDARD_ERRORS] * error_bps
    long_edge = 1e4 * (mean - buy_premium) - costs_bps + min(funding_bps, 0.0)
    short_edge = 1e4 * (sell_premium - mean) - costs_bps - max(funding_bps, 0.0)
    if usable:
        learn(state, at, premium, seconds, params[HALF_LIFE])
    if not usable or not ready or spot.trading == 0 or perp.trading == 0 or spot_lots < spot.min_lots or perp_lots < perp.min_lots:
        return n
    spot_notional = spot_lots * spot.lot_unit * 0.5 * spot.mid_twice * spot.price_unit
    perp_notional = perp_lots * perp.lot_unit * 0.5 * perp.mid_twice * perp.price_unit
    if spot_notional < spot.min_notional or perp_notional < perp.min_notional:
        return n
    # With a negative least edge both directions can pass: the better one that we can do is judged, so that a cost never turns one into the other.
    side = -1 if short_edge > long_edge and spot.position_lots >= spot_lots else 1
    edge = long_edge if side > 0 else short_edge
    if edge < params[ENTRY_EDGE]:
        return n
    spot_price = spot_ask if side > 0 else spot_bid
    perp_price = perp_bid if side > 0 else perp_ask
    tag = tag_of(ENTRY, p, edge)
    n = put(intents, n, spot_number, side, collared(spot, side, spot_price / spot.price_unit * spot_per_base, collar), spot_lots, tag)
    n = put(intents, n, perp_number, -side, collared(perp, -side, perp_price / perp.price_unit * per_base, collar), perp_lots, tag)
    state[at + DIRECTION] = side
    state[at + ENTRY_PREMIUM] = buy_premium if side > 0 else sell_premium
    state[at + ENTRY_S] = seconds
    return n


@compiled()
def _close(
    spot: Any,
    perp: Any,
    spot_number: int,
    perp_number: int,
    held_spot: int,
    held_perp: int,
    collar: float,
    tag: int,
    intents: Any,
    n: int,
) -> int:
    """Send both legs back to the opening position."""
    if held_spot != 0:
        side = -1 if held_spot > 0 else 1
        n = put(intents, n, spot_number, side, collared(spot, side, 0.5 * spot.mid_twice, collar), abs(held_spot), tag)
    if held_perp != 0:
        side = -1 if held_perp > 0 else 1
        n = put(intents, n, perp_number, side, collared(perp, side, 0.5 * perp.mid_twice, collar), abs(held_perp), tag)
    return n


@compiled(KERNEL)
def arbitrage(view: Any, books: Any, depth: Any, orders: Any, params: Any, state: Any, now_ns: int, intents: Any) -> int:
    """Decide for every pair whose legs are free."""
    pairs = (params.shape[0] - GLOBALS) // PAIR
    n = 0
    for p in range(pairs):
        if n + 2 > intents.shape[0]:
            break
        n = _pair_step(books, depth, params, state, pairs, p, now_ns, intents, n)
    return n
